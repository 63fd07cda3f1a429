package replica

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
)

// farBehind is a calm partition whose third replica lacks what the others have no longer in
// memory. It has been started again, and nobody has told it anything yet.
func farBehind(t *testing.T) (s *replicaSim, leader, behind *simReplica) {
	s = newReplicaSim(t, 3, nil)
	s.begin()
	s.calm = true
	require.True(t, s.run(100))
	leader, behind = s.nodes[0], s.nodes[2]
	require.True(t, leader.rep.Leads())
	behind.crash(false)
	for range 60 {
		s.produce(leader)
		for range 40 {
			for _, n := range s.nodes[:2] {
				n.execute()
				n.sync()
			}
			s.deliver()
		}
	}
	s.net = nil
	leader.do(func() { leader.rep.Tick() }) // nothing is under way: memory is given up
	behind.open()
	return s, leader, behind
}

// TestAFollowerFarBehindIsFedAside: what a leader does not have in memory is never read
// while the replica is called.
func TestAFollowerFarBehindIsFedAside(t *testing.T) {
	s, leader, behind := farBehind(t)
	asked := 0
	for range 2000 {
		s.deliver()
		for _, n := range s.nodes {
			n.execute()
			n.sync()
		}
		if len(s.net) == 0 {
			s.tick(leader)
		}
		if len(leader.reads) > 0 {
			asked++
			require.Zero(t, s.tally["fed"]-s.tally["counted"], "entries were sent that were not read")
			rd := leader.reads[0]
			require.True(t, rd.Voter)
			require.Equal(t, behind.id, rd.To)
			require.Positive(t, rd.Behind)
			leader.read()
			s.tally["counted"] = s.tally["fed"]
		}
		if behind.rep.applied == leader.rep.applied {
			break
		}
	}
	assert.Equal(t, leader.rep.applied, behind.rep.applied)
	assert.Positive(t, asked)
	require.True(t, s.run(100))
	assert.Empty(t, leader.held, "what was read is given back")
	assert.Empty(t, leader.rep.Lags())
	s.check()
}

// TestAFollowerThatDoesNotTakeWhatItLacksHoldsNothing: its disk hangs, and heartbeats are
// answered all the same.
func TestAFollowerThatDoesNotTakeWhatItLacksHoldsNothing(t *testing.T) {
	s, leader, behind := farBehind(t)
	dropped, seen := false, map[*Read]bool{}
	for range 40 { // the follower writes nothing
		s.tick(leader)
		for len(s.net) > 0 || len(leader.reads) > 0 {
			s.deliver()
			for len(leader.reads) > 0 {
				seen[leader.reads[0]] = true
				leader.read()
			}
		}
		held := 0
		for rd := range leader.held {
			if rd.Context.Err() == nil {
				held++
			}
		}
		for rd := range seen {
			dropped = dropped || rd.Context.Err() != nil
		}
		require.LessOrEqual(t, held, feedAhead)
	}
	assert.True(t, dropped, "for an election timeout at most")
	require.True(t, leader.rep.Leads(), "others go on")
	for len(behind.queue) > 0 {
		behind.execute()
	}
	require.True(t, s.run(200), "once it writes, it gets what it lacks")
	s.check()
}

// TestAReadThatFails: what cannot be read ends the replica, what only changed meanwhile does
// not.
func TestAReadThatFails(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		ends bool
	}{
		"the log was truncated":    {logfile.ErrStale, false},
		"the log was closed":       {logfile.ErrClosed, false},
		"retention has removed it": {logfile.ErrBelowStart, false},
		"damage, told elsewhere":   {&logfile.CorruptError{Path: "x", Err: errors.New("y")}, false},
		"the disk fails":           {errors.New("input/output error"), true},
	} {
		t.Run(name, func(t *testing.T) {
			s, leader, _ := farBehind(t)
			for len(leader.reads) == 0 {
				s.tick(leader)
				for len(s.net) > 0 {
					s.deliver()
				}
			}
			rd := leader.reads[0]
			released := false
			rd.Release = func() { released = true }
			rd.err = tt.err
			leader.reads = nil
			leader.rep.Fed(rd)
			assert.True(t, released)
			assert.Error(t, rd.Context.Err())
			assert.Equal(t, tt.ends, leader.rep.Err() != nil)
			if !tt.ends {
				leader.collect()
				require.True(t, s.run(200), "raft asks again")
			}
		})
	}
}

func TestIntact(t *testing.T) {
	data := encodeEntry(append(make([]byte, entryHeaderSize), "line\n"...), logfile.KindRecords, 5, 1, 7)
	m := &raftpb.Message{Type: raftpb.MsgApp, Entries: []raftpb.Entry{
		{Index: 4}, {Index: 5, Type: raftpb.EntryConfChangeV2, Data: []byte("x")}, {Index: 6, Data: data},
	}}
	require.NoError(t, Intact(m))
	for i := range data {
		broken := []byte(string(data))
		broken[i] ^= 4
		m.Entries[2].Data = broken
		err := Intact(m)
		if i == 0 || i >= 22 { // the version, the checksum and what it covers
			require.Error(t, err, "byte %d", i)
		}
	}
	m.Entries[2].Data = []byte(strings.Repeat("x", entryHeaderSize-1))
	require.Error(t, Intact(m))
}
