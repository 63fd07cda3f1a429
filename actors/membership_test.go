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
	s := newReplicaSim(t, 3, nil)
	s.plus = newSimChanges(s)
	s.calm = true
	s.begin()
	s.settle()
	s.plus.replace(s.nodes[2])
	require.Equal(t, 1, s.tally["replaced"])
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
	s := newReplicaSim(t, 3, nil)
	s.plus = newSimChanges(s)
	s.calm = true
	s.begin()
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

// TestSoleReplicaReadsWhatItAcknowledged: after a restart raft's commit index
// lags behind until the first entry of the new term, and with nobody else to
// ask raft would answer a read with it at once.
func TestSoleReplicaReadsWhatItAcknowledged(t *testing.T) {
	s := newReplicaSim(t, 1, nil)
	s.calm = true
	s.begin()
	n := s.nodes[0]
	require.Len(t, s.nodes, 1)
	s.settle()
	s.produce(n)
	s.settle()
	require.NotEmpty(t, s.acked)

	n.crash(false)
	n.open()
	n.do(func() { n.rep.campaign(false) })
	for n.rep.leading == nil {
		require.NotEmpty(t, n.queue)
		n.execute()
		n.sync()
	}
	s.read(n)
	require.Zero(t, s.tally["reads"], "it does not know yet")
	s.settle()
	require.Equal(t, 1, s.tally["reads"], "and when it does it answers without being asked again")
}
