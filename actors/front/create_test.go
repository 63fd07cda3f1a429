package front

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/actors/metarecord"
	"ottla/protocol"
)

// leaderlessControl makes topics whose partitions have no leaders yet.
type leaderlessControl struct {
	fakeControl
	w    *world
	name string
}

func (c *leaderlessControl) Change(time.Time, func(*catalog.State) ([]metarecord.Record, *protocol.Error)) *protocol.Error {
	c.w.publish(c.w.topic(c.name, 2))
	return nil
}

// Whoever has a topic made by the way has done nothing yet when that has no leaders in time:
// a record that is said to be written all the same would be lost. Who asks for the topic
// itself has it.
func TestATopicMadeByTheWayIsNotWhatWasAskedFor(t *testing.T) {
	w := newWorld(t)
	w.opt.AutoCreateTopics, w.opt.AutoCreatesPerMinute = true, 10
	control := &leaderlessControl{w: w, name: "fresh"}
	w.cluster.Control = control
	_, err := w.LookupTopic("", "fresh", true, time.Now().Add(20*time.Millisecond))
	require.NotNil(t, err)
	require.Equal(t, protocol.CodeNoLeader, err.Code)
	require.Equal(t, protocol.OutcomeNone, err.Outcome)

	control.name = "fresh.dead"
	err = w.makeDeadLetterTopic(w.cluster, "none", "fresh.dead", time.Now().Add(20*time.Millisecond))
	require.NotNil(t, err)
	require.Equal(t, protocol.OutcomeNone, err.Outcome, "the queue is not made")

	w.remove("fresh")
	control.name = "fresh"
	_, _, err = w.CreateTopic(t.Context(), &protocol.TopicSpec{Name: "fresh"})
	require.NotNil(t, err)
	require.Equal(t, protocol.OutcomeApplied, err.Outcome)
}
