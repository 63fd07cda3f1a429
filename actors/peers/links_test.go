package peers

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"

	"ottla/protocol"
)

// Replicas here and elsewhere are reachable, only those here are told by their
// mailboxes, and where all brokers are in one process nobody has to vouch for anything.
func TestGroupKnowsWhereReplicasRun(t *testing.T) {
	l := NewLinks("c", nil)
	g := l.Group(protocol.PartitionID{TopicID: "t"})
	one, two := actor.NewPID("test", "1"), actor.NewPID("test", "2")
	assert.Empty(t, g.Register(1, Mailbox{PID: one}))
	assert.Equal(t, []*actor.PID{one}, g.Register(2, Mailbox{PID: two}))
	assert.Len(t, g.Register(3, Mailbox{Node: 9}), 2)
	assert.Equal(t, 2, g.Locals())
	assert.Equal(t, 3, g.Running())
	assert.True(t, g.Reachable(3))
	assert.True(t, g.MayLead(2))
	assert.False(t, g.MayLead(4))
	assert.Equal(t, InTouch, g.touches(1, &voters{incoming: []uint64{1, 2, 3, 4, 5}}), "all brokers are here")
	assert.Equal(t, []*actor.PID{two}, g.Register(1, Mailbox{}))
	assert.False(t, g.Reachable(1))
	assert.Equal(t, 1, g.Locals())
	assert.Same(t, g, l.Find(protocol.PartitionID{TopicID: "t"}))
	l.Forget(protocol.PartitionID{TopicID: "t"})
	assert.Nil(t, l.Find(protocol.PartitionID{TopicID: "t"}))

	assert.False(t, l.Spread())
	l.Join(1, Mailbox{PID: one})
	assert.False(t, l.Spread())
	l.Join(2, Mailbox{Node: 9})
	assert.True(t, l.Spread())
	assert.Same(t, one, l.Broker(1))
	assert.Nil(t, l.Broker(2))
}
