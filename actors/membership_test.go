package actors

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"
)

// TestLostSnapshotIsSentAgain loses the snapshot for a new replica: raft would
// wait for its answer until the leader changes.
func TestLostSnapshotIsSentAgain(t *testing.T) {
	s := newReplicaSim(t, 1)
	s.plus = newSimChanges(s)
	s.nodes[0].rep.campaign(false)
	s.nodes[0].collect()
	s.settle()
	s.plus.replace(s.nodes[2])
	require.Equal(t, 1, s.plus.replaced)
	lost := 0
	s.drop = func(m raftpb.Message) bool {
		if m.Type != raftpb.MsgSnap || lost > 2 {
			return false
		}
		lost++
		return true
	}
	s.settle()
	require.Equal(t, 3, lost)
	s.check()
}

// TestLearnerVotesOnlyWhenItHasCaughtUp: one that has nothing yet would count
// for majorities and hold them up.
func TestLearnerVotesOnlyWhenItHasCaughtUp(t *testing.T) {
	s := newReplicaSim(t, 1)
	s.plus = newSimChanges(s)
	s.nodes[0].rep.campaign(false)
	s.nodes[0].collect()
	s.settle()
	s.plus.replace(s.nodes[2])
	s.drop = func(m raftpb.Message) bool { return m.To == 4 }
	s.run(300)
	i := slices.IndexFunc(s.live(), func(n *simReplica) bool { return n.rep.leading != nil })
	require.GreaterOrEqual(t, i, 0)
	leader := s.live()[i].rep
	require.Equal(t, []uint64{4}, leader.storage.conf.Learners)
	require.NotContains(t, leader.storage.conf.Voters, uint64(4))
	s.drop = nil
	s.settle()
	require.Contains(t, leader.storage.conf.Voters, uint64(4))
	s.check()
}
