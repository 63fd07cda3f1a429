package peers

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/link"
	"ottla/protocol"
)

// Appends of one group never overtake each other, whatever their size, so they have one
// lane; what an election waits for does not stand behind the records of clients.
func TestLanesOfRaftMessages(t *testing.T) {
	l := NewLinks("c", nil)
	clients, internal := l.Group(protocol.PartitionID{TopicID: "t"}), l.Group(protocol.PartitionID{TopicID: "m"})
	internal.Urgent()
	for kind := range fromReplicas {
		want := link.Control
		if kind == raftpb.MsgApp || kind == raftpb.MsgSnap {
			want = link.Bulk
		}
		assert.Equal(t, want, clients.lane(kind), "%s", kind)
		assert.Equal(t, link.Control, internal.lane(kind), "%s of an internal topic", kind)
	}
}
