package replica

import (
	"math/rand"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
	"ottla/logfile/faultfs"
	"ottla/protocol"
)

// calmChanges are three replicas that agree and of which some may be
// replaced; nothing fails.
func calmChanges(t *testing.T) *replicaSim {
	s := newReplicaSim(t, 3, nil)
	s.plus = newSimChanges(s)
	s.calm = true
	s.begin()
	s.converge()
	return s
}

// TestLostSnapshotIsSentAgain loses the snapshot for a new replica: raft would
// wait for its answer until the leader changes.
func TestLostSnapshotIsSentAgain(t *testing.T) {
	s := calmChanges(t)
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
	s.converge()
	require.Equal(t, 3, lost)
	s.check()
}

// TestLearnerVotesOnlyWhenItHasCaughtUp: one that has nothing yet would count
// for majorities and hold them up.
func TestLearnerVotesOnlyWhenItHasCaughtUp(t *testing.T) {
	s := calmChanges(t)
	s.plus.replace(s.nodes[2])
	s.drop = func(m raftpb.Message) bool { return m.To == 4 }
	s.run(300)
	i := slices.IndexFunc(s.live(), func(n *simReplica) bool { return n.rep.leading != nil })
	require.GreaterOrEqual(t, i, 0)
	leader := s.live()[i].rep
	require.Equal(t, []uint64{4}, leader.storage.conf.Learners)
	require.NotContains(t, leader.storage.conf.Voters, uint64(4))
	s.drop = nil
	s.converge()
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
	s.converge()
	s.produce(n)
	s.converge()
	require.NotEmpty(t, s.acked)

	n.crash(false)
	n.open()
	n.do(func() { n.rep.Campaign(false) })
	for n.rep.leading == nil {
		require.NotEmpty(t, n.queue)
		n.execute()
		n.sync()
	}
	s.read(n)
	require.Zero(t, s.tally["reads"], "it does not know yet")
	s.converge()
	require.Equal(t, 1, s.tally["reads"], "and when it does it answers without being asked again")
}

// TestLogProvesEarlierChangesCommitted: a leader proposes a change only when it
// has applied the one before. A replica that has both in its log, and lost its
// checkpoints, must come back with the membership that the first one made.
func TestLogProvesEarlierChangesCommitted(t *testing.T) {
	s := calmChanges(t)
	n := s.nodes[1]
	open := func(fs *faultfs.FS) (*logfile.Log, *logfile.Recovered) {
		log, rec, err := logfile.Open(fs, simDir, simLogOptions(0))
		require.NoError(t, err)
		return log, rec
	}
	changes := []raftpb.ConfChangeV2{
		single(raftpb.ConfChangeAddLearnerNode, 4),
		{Changes: []raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeAddNode, NodeID: 4}, {Type: raftpb.ConfChangeRemoveNode, NodeID: 3}}},
		{},
	}
	known := []raftpb.ConfState{ // by the number of changes in the log: the last one is in doubt
		{Voters: []uint64{1, 2, 3}},
		{Voters: []uint64{1, 2, 3}},
		{Voters: []uint64{1, 2, 3}, Learners: []uint64{4}},
		{Voters: []uint64{1, 2, 4}, VotersOutgoing: []uint64{1, 2, 3}, AutoLeave: true},
	}
	for have := range known {
		fs := n.fs.Clone()
		log, rec := open(fs)
		for _, cc := range changes[:have] {
			data, err := cc.Marshal()
			require.NoError(t, err)
			e := raftpb.Entry{Index: log.LastIndex() + 1, Term: rec.HardTerm, Type: raftpb.EntryConfChangeV2, Data: data}
			f, err := frameOf(&e, log.NextOffset(), log.LastAppendTime())
			require.NoError(t, err)
			var b logfile.Batch
			require.NoError(t, log.Append(&b, []logfile.Frame{f}))
			require.NoError(t, b.Execute())
		}
		require.NoError(t, log.Close())
		log, rec = open(fs)
		require.Len(t, rec.ConfChanges, have)
		rep, err := New(n.config(), log, rec)
		require.NoError(t, err)
		require.NoError(t, rep.storage.conf.Equivalent(known[have]), "%d changes", have)
		require.NoError(t, log.Close())
	}
}

// TestReplacementIsOverWhenAMajorityHasItOnDisk: a leader that said so earlier
// would let a further replica be lost while the only ones that know of the
// change could forget it.
func TestReplacementIsOverWhenAMajorityHasItOnDisk(t *testing.T) {
	for seed := range int64(fewer(50, 5)) {
		s := calmChanges(t)
		s.rnd = rand.New(rand.NewSource(1 + seed))
		s.plus.replace(s.nodes[2])
		s.drop = func(m raftpb.Message) bool { // mostly, a commit is heard of only with the next entry
			return m.Type == raftpb.MsgApp && len(m.Entries) == 0 || m.Type == raftpb.MsgHeartbeat && s.rnd.Intn(8) > 0
		}
		for i := 0; s.plus.replacing; i++ {
			require.Less(t, i, 100_000)
			n := s.live()[s.rnd.Intn(3)]
			switch p := s.rnd.Intn(40); { // in any order, so that some disks are far behind
			case p < 4:
				n.execute()
			case p < 8:
				n.sync()
			case p < 9 && len(n.reads) > 0:
				n.read()
			case p < 9:
				s.clock = s.clock.Add(10 * time.Millisecond)
				s.tick(n)
			default:
				s.deliver()
			}
			n.do(func() { s.plus.tick(n) }) // it says so as early as it can
		}
		known := 0
		for _, n := range s.live() {
			n.crash(true)
			n.open()
			if slices.Contains(n.rep.storage.conf.Voters, uint64(4)) && len(n.rep.storage.conf.VotersOutgoing) == 0 {
				known++
			}
		}
		require.GreaterOrEqual(t, known, 2, "seed %d", seed)
	}
}

// TestMembershipOfASnapshotStaysAhead: a snapshot brings the membership of the
// moment, and with the entries behind it come the changes that led to it. A
// checkpoint written between the two must not say that they are still to come:
// a change applied twice can even make raft panic.
func TestMembershipOfASnapshotStaysAhead(t *testing.T) {
	const confIndex = 40
	fs := faultfs.New()
	n := &simReplica{sim: &replicaSim{t: t}, id: 1, fs: fs}
	opt := simLogOptions(0)
	voters := raftpb.ConfState{Voters: []uint64{1, 2, 3}}
	conf, err := voters.Marshal()
	require.NoError(t, err)
	log, err := logfile.Create(fs, simDir, n.identity(), logfile.Checkpoint{
		Index: 10, Term: 1, HardTerm: 1, Applied: confIndex, ConfState: conf,
	}, opt)
	require.NoError(t, err)
	require.NoError(t, log.Close())
	log, rec, err := logfile.Open(fs, simDir, opt)
	require.NoError(t, err)
	rep, err := New(n.config(), log, rec)
	require.NoError(t, err)
	for index := uint64(11); index <= 20; index++ {
		lines := &protocol.Lines{}
		lines.Add(1, "sim", 0, []byte("-"), []byte("1"), protocol.ActionProduce, nil)
		body := lines.AppendNumbered(make([]byte, entryHeaderSize), protocol.Offset(log.NextOffset()))
		e := raftpb.Entry{Index: index, Term: 1, Data: encodeEntry(body, logfile.KindRecords, log.NextOffset(), 1, 1)}
		f, err := frameOf(&e, log.NextOffset(), log.LastAppendTime())
		require.NoError(t, err)
		var b logfile.Batch
		require.NoError(t, log.Append(&b, []logfile.Frame{f}))
		require.NoError(t, b.Execute())
		log.Synced(index)
		rep.storageApply(raftpb.Message{Entries: []raftpb.Entry{e}})
	}
	var b logfile.Batch
	require.True(t, log.Roll(&b)) // its head has a checkpoint
	require.NoError(t, b.Execute())
	require.NoError(t, log.Close())
	_, rec, err = logfile.Open(fs, simDir, opt)
	require.NoError(t, err)
	require.EqualValues(t, confIndex, rec.Checkpoint.Applied)
}

// TestProofGoesOnWithoutWhoWasFirst: the replica that began to acknowledge is
// lost; the others are a majority and must do.
func TestProofGoesOnWithoutWhoWasFirst(t *testing.T) {
	s := calmChanges(t)
	s.plus.replace(s.nodes[2])
	var first uint64
	s.drop = func(m raftpb.Message) bool { return first != 0 && (m.From == first || m.To == first) }
	for i := 0; s.plus.replacing; i++ {
		require.Less(t, i, 3000, "first was %d", first)
		for _, n := range s.live() {
			for len(n.queue) > 0 {
				n.execute()
			}
			n.sync()
			for len(n.reads) > 0 {
				n.read()
			}
			if l := n.rep.leading; l != nil {
				n.do(func() { s.plus.tick(n) })
				for id, v := range l.proof.voters {
					if first == 0 && id != n.id && v.acks == 1 {
						first = id
					}
				}
			}
		}
		s.deliver()
		if len(s.net) == 0 {
			s.clock = s.clock.Add(100 * time.Millisecond)
			for _, n := range s.live() {
				s.tick(n)
			}
		}
	}
	require.NotZero(t, first)
}

// TestTheOnlyVoterGetsTheVote of who knows of no other one, however long that one's log is:
// what the log has more was not committed.
func TestTheOnlyVoterGetsTheVote(t *testing.T) {
	for name, tt := range map[string]struct {
		conf    raftpb.ConfState
		granted bool
	}{
		"it has left":         {raftpb.ConfState{Voters: []uint64{1}}, true},
		"it is a learner":     {raftpb.ConfState{Voters: []uint64{1}, Learners: []uint64{2}}, true},
		"another one votes":   {raftpb.ConfState{Voters: []uint64{3}}, false},
		"there are several":   {raftpb.ConfState{Voters: []uint64{1, 3}}, false},
		"it may vote for now": {raftpb.ConfState{Voters: []uint64{1}, VotersOutgoing: []uint64{2}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newReplicaSim(t, 3, nil)
			s.begin()
			s.calm = true
			require.True(t, s.run(100))
			n := s.nodes[1]
			n.rep.ForgetLeader()
			n.rep.storage.conf = tt.conf
			term := n.rep.rn.BasicStatus().Term
			n.rep.Step(raftpb.Message{Type: raftpb.MsgPreVote, From: 1, To: 2, Term: term + 1, LogTerm: 1, Index: 1})
			fx := n.rep.Take()
			require.Len(t, fx.Messages, 1)
			assert.Equal(t, raftpb.MsgPreVoteResp, fx.Messages[0].Type)
			assert.Equal(t, tt.granted, !fx.Messages[0].Reject)
		})
	}
}
