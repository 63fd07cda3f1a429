package webhook

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// oneTopic is a Backend that knows topics, and nothing else.
type oneTopic struct{ Backend }

func (oneTopic) LookupTopic(_, topic string, _ bool, _ time.Time) (*protocol.Topic, *protocol.Error) {
	return &protocol.Topic{ID: "id-of-" + topic, Name: topic, Partitions: 8}, nil
}

// What was delivered and is not committed counts in the next generation, too, unless
// there was a seek: then it is to be delivered once more, though the offset is the same.
func TestLanesAfterASeek(t *testing.T) {
	first := []protocol.TopicPartition{{Topic: "orders", Partition: 0}}
	both := []protocol.TopicPartition{{Topic: "orders", Partition: 0}, {Topic: "orders", Partition: 1}}
	for name, c := range map[string]struct {
		generation protocol.Generation
		assigned   []protocol.TopicPartition
		offset     protocol.Offset
		keeps      bool
	}{
		"the same generation":              {7, first, 5, true},
		"a rebalance":                      {8, both, 5, true},
		"a rebalance, and another commits": {8, both, 6, false},
		"a seek to the committed offset":   {8, first, 5, false},
		"a seek elsewhere":                 {8, first, 2, false},
		"a seek and a rebalance":           {9, both, 5, false},
		"a group of this name that is new": {1, first, 5, false},
		"a rebalance away, and one back":   {9, first, 5, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := &worker{
				d: &Deliverer{b: oneTopic{}}, sub: &protocol.Subscription{SubscriptionSpec: protocol.SubscriptionSpec{Batch: 1}},
				log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			}
			offsets := func(at protocol.Offset) (o []protocol.OffsetInfo) {
				for p := range 2 {
					o = append(o, protocol.OffsetInfo{Topic: "orders", Partition: p, Committed: &at})
				}
				return o
			}
			w.renewedWith(renewed{generation: 7, assigned: first, offsets: offsets(5)})
			before := w.lanes[first[0]]
			require.NotNil(t, before)
			w.generation = 0 // asked for again
			w.renewedWith(renewed{generation: c.generation, assigned: c.assigned, offsets: offsets(c.offset)})
			require.Len(t, w.lanes, len(c.assigned))
			assert.Equal(t, c.keeps, w.lanes[first[0]] == before)
			assert.Equal(t, c.offset, w.lanes[first[0]].committed)
		})
	}
}
