package peers

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/link"
)

// clocked is a tenure with a clock that a test sets.
type clocked struct {
	tenure
	now     time.Duration
	vouched map[link.NodeID]time.Duration // since when; none: its word does not hold
}

func (c *clocked) send(kind raftpb.MessageType, term, request uint64) {
	m := &raftpb.Message{Type: kind, Term: term, From: 1}
	if request > 0 {
		m.Context = binary.BigEndian.AppendUint64(nil, request)
	}
	c.sends(m, func() time.Duration { return c.now })
}

func (c *clocked) get(kind raftpb.MessageType, from, term, request uint64) {
	m := &raftpb.Message{Type: kind, Term: term, From: from}
	if request > 0 {
		m.Context = binary.BigEndian.AppendUint64(nil, request)
	}
	c.gets(m)
}

// of says what holds for replica 1, of this process, as the leader of a term of replicas 1
// to 5, the others of which run at nodes of the same number; replica 9 at node 9 is none of
// the voters.
func (c *clocked) of(term uint64) Touch {
	return c.ofVoters(term, &voters{incoming: []uint64{1, 2, 3, 4, 5}})
}

func (c *clocked) ofVoters(term uint64, v *voters) Touch {
	running := map[uint64]Mailbox{1: {PID: actor.NewPID("test", "1")}}
	for _, id := range []uint64{2, 3, 4, 5, 9} {
		running[id] = Mailbox{Node: link.NodeID(id)}
	}
	return c.touch(term, v, running, func(id link.NodeID) (time.Duration, bool) {
		since, holds := c.vouched[id]
		return since, holds
	})
}

// everybody vouches since a time.
func (c *clocked) everybody(since time.Duration) {
	c.vouched = map[link.NodeID]time.Duration{}
	for id := link.NodeID(2); id <= 5; id++ {
		c.vouched[id] = since
	}
}

const ms = time.Millisecond

// A leader is in touch while a majority vouches for its node, and has acknowledged its
// term; whoever does one of both only is none of it.
func TestALeaderIsInTouchWithThoseWhoFollow(t *testing.T) {
	c := &clocked{now: 1000 * ms}
	c.everybody(500 * ms)
	assert.Equal(t, Unconfirmed, c.of(7), "nobody has acknowledged anything")
	c.send(raftpb.MsgApp, 7, 0)
	c.get(raftpb.MsgAppResp, 2, 7, 0)
	assert.Equal(t, Unconfirmed, c.of(7))
	c.get(raftpb.MsgHeartbeatResp, 3, 7, 0)
	assert.Equal(t, InTouch, c.of(7))
	delete(c.vouched, 4)
	assert.Equal(t, InTouch, c.of(7), "it is none of the two")
	delete(c.vouched, 3)
	assert.Equal(t, Unconfirmed, c.of(7), "replica 5 has not acknowledged it")
	delete(c.vouched, 2)
	assert.Equal(t, OutOfTouch, c.of(7))
}

// This process has stood still, or could not be reached: the others have given it up, and
// vouch for it anew. That does not count until they have acknowledged the leader again,
// in answer to what it asked after they had begun to.
func TestAVoucherAfterAGapNeedsAnAcknowledgement(t *testing.T) {
	c := &clocked{now: 1000 * ms}
	c.everybody(500 * ms)
	c.send(raftpb.MsgApp, 7, 0)
	for id := uint64(2); id <= 5; id++ {
		c.get(raftpb.MsgAppResp, id, 7, 0)
	}
	c.send(raftpb.MsgHeartbeat, 7, 1)
	assert.Equal(t, InTouch, c.of(7))

	c.now = 5000 * ms
	c.everybody(4990 * ms)
	assert.Equal(t, Unconfirmed, c.of(7))
	c.get(raftpb.MsgAppResp, 2, 7, 0)
	c.get(raftpb.MsgHeartbeatResp, 3, 7, 0)
	c.get(raftpb.MsgHeartbeatResp, 3, 7, 1)
	assert.Equal(t, Unconfirmed, c.of(7), "they answer what may have been sent before")

	c.send(raftpb.MsgHeartbeat, 7, 2)
	c.get(raftpb.MsgHeartbeatResp, 4, 7, 2)
	assert.Equal(t, Unconfirmed, c.of(7))
	c.get(raftpb.MsgHeartbeatResp, 5, 7, 9)
	assert.Equal(t, InTouch, c.of(7), "who answers a later request follows as well")
	c.vouched[5] = 5001 * ms
	assert.Equal(t, Unconfirmed, c.of(7), "another gap")
}

// Learners and those that are voters no more count for nothing, and in a joint change each
// half has to follow.
func TestOnlyVotersCount(t *testing.T) {
	c := &clocked{now: 1000 * ms}
	c.everybody(500 * ms)
	c.vouched[9] = 500 * ms
	c.send(raftpb.MsgApp, 7, 0)
	for _, id := range []uint64{2, 9} {
		c.get(raftpb.MsgAppResp, id, 7, 0)
	}
	three := &voters{incoming: []uint64{1, 3, 4}}
	assert.Equal(t, Unconfirmed, c.ofVoters(7, three), "2 and 9 have acknowledged it, and are none of them")
	delete(c.vouched, 3)
	delete(c.vouched, 4)
	assert.Equal(t, OutOfTouch, c.ofVoters(7, three))
	assert.Equal(t, InTouch, c.ofVoters(7, &voters{incoming: []uint64{1}}), "alone, with learners")
	assert.Equal(t, InTouch, c.ofVoters(7, &voters{incoming: []uint64{1, 2, 3}}))
	assert.Equal(t, OutOfTouch, c.ofVoters(7, &voters{incoming: []uint64{1, 2, 3}, outgoing: []uint64{1, 3, 4}}))
	c.get(raftpb.MsgAppResp, 4, 7, 0)
	c.vouched[4] = 500 * ms
	assert.Equal(t, InTouch, c.ofVoters(7, &voters{incoming: []uint64{1, 2, 3}, outgoing: []uint64{1, 3, 4}}))
	c.vouched[4] = 5000 * ms
	assert.Equal(t, Unconfirmed, c.ofVoters(7, &voters{incoming: []uint64{1, 2}, outgoing: []uint64{1, 4}}))
	assert.Equal(t, OutOfTouch, c.ofVoters(7, &voters{incoming: []uint64{1, 2}, outgoing: []uint64{1, 7}}), "7 does not run")
}

// A replica that was opened again may vote for another leader at once, although its node
// has never given this one up.
func TestAReplicaThatRestartsHasToAcknowledgeAgain(t *testing.T) {
	c := &clocked{now: 1000 * ms}
	c.everybody(500 * ms)
	c.send(raftpb.MsgApp, 7, 0)
	c.get(raftpb.MsgAppResp, 2, 7, 0)
	c.get(raftpb.MsgAppResp, 3, 7, 0)
	c.send(raftpb.MsgHeartbeat, 7, 1)
	assert.Equal(t, InTouch, c.of(7))
	c.now = 2000 * ms
	c.restarted(2, c.now)
	assert.Equal(t, Unconfirmed, c.of(7))
	c.get(raftpb.MsgAppResp, 2, 7, 0)
	c.get(raftpb.MsgHeartbeatResp, 2, 7, 1)
	assert.Equal(t, Unconfirmed, c.of(7), "it answers what came before")
	c.now = 2001 * ms
	c.send(raftpb.MsgHeartbeat, 7, 2)
	c.get(raftpb.MsgHeartbeatResp, 2, 7, 2)
	assert.Equal(t, InTouch, c.of(7))
}

// Who is told to campaign at once is voted for by those who follow: nobody counts for as
// long as that may take. If nothing comes of it, those who are asked afterwards do.
func TestALeaderThatHandsOverIsNotInTouch(t *testing.T) {
	c := &clocked{now: 1000 * ms}
	c.everybody(500 * ms)
	c.send(raftpb.MsgApp, 7, 0)
	confirm := func(request uint64) {
		c.send(raftpb.MsgHeartbeat, 7, request)
		for id := uint64(2); id <= 5; id++ {
			c.get(raftpb.MsgHeartbeatResp, id, 7, request)
			c.get(raftpb.MsgAppResp, id, 7, 0)
		}
	}
	confirm(1)
	assert.Equal(t, InTouch, c.of(7))
	c.now = 2000 * ms
	c.send(raftpb.MsgTimeoutNow, 7, 0)
	assert.Equal(t, Unconfirmed, c.of(7))
	for c.now < 2000*ms+handOverPause {
		c.now += 100 * ms
		confirm(uint64(c.now))
		assert.Equal(t, c.now >= 2000*ms+handOverPause, c.of(7) == InTouch, "%s", c.now)
	}
	c.send(raftpb.MsgTimeoutNow, 7, 0)
	c.send(raftpb.MsgApp, 8, 0)
	c.get(raftpb.MsgAppResp, 2, 8, 0)
	c.get(raftpb.MsgAppResp, 3, 8, 0)
	assert.Equal(t, InTouch, c.of(8), "a later term of this process")
}

// Whoever speaks for a later term makes all doubtful that was acknowledged, before the
// replica here hears of it. A candidate does not: it may come to nothing. Nor is it the end:
// a replica that is a member no more has terms of its own.
func TestALaterTermIsAReasonToAskAgain(t *testing.T) {
	for _, kind := range []raftpb.MessageType{raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap, raftpb.MsgAppResp, raftpb.MsgHeartbeatResp} {
		c := &clocked{now: 1000 * ms}
		c.everybody(500 * ms)
		c.send(raftpb.MsgHeartbeat, 7, 1)
		for id := uint64(2); id <= 4; id++ {
			c.get(raftpb.MsgAppResp, id, 7, 0)
		}
		for _, vote := range []raftpb.MessageType{raftpb.MsgPreVote, raftpb.MsgPreVoteResp, raftpb.MsgVote, raftpb.MsgVoteResp} {
			c.get(vote, 5, 8, 0)
		}
		c.get(kind, 5, 6, 0)
		assert.Equal(t, InTouch, c.of(7), "%s of a term before", kind)
		c.get(kind, 5, 8, 0)
		assert.Equal(t, Unconfirmed, c.of(7), "%s", kind)
		c.get(raftpb.MsgAppResp, 2, 7, 0)
		c.get(raftpb.MsgAppResp, 3, 7, 0)
		c.get(raftpb.MsgHeartbeatResp, 4, 7, 1)
		assert.Equal(t, Unconfirmed, c.of(7), "late acknowledgements")
		c.send(raftpb.MsgHeartbeat, 7, 2)
		c.get(raftpb.MsgHeartbeatResp, 2, 7, 2)
		c.get(raftpb.MsgHeartbeatResp, 3, 7, 2)
		assert.Equal(t, InTouch, c.of(7), "a majority follows it all the same")

		c.send(raftpb.MsgApp, 9, 0)
		assert.Equal(t, OutOfTouch, c.of(7), "this process leads in a later term")
		assert.Equal(t, Unconfirmed, c.of(9))
		c.send(raftpb.MsgHeartbeat, 7, 5)
		c.get(raftpb.MsgAppResp, 2, 9, 0)
		c.get(raftpb.MsgAppResp, 3, 9, 0)
		assert.Equal(t, InTouch, c.of(9))
		assert.Equal(t, Unconfirmed, c.of(10), "of what has sent nothing yet")
	}
}

// However often a leader asks, and however long answers take, an answer counts from a
// request that is not much older than the one that it answers, and never from a later one.
func TestAnswersCountFromWhatTheyAnswer(t *testing.T) {
	for _, late := range []uint64{0, 10, 100, 450, 1500} {
		c := &clocked{now: 1000 * ms}
		c.send(raftpb.MsgApp, 7, 0)
		asked := map[uint64]time.Duration{}
		for request := uint64(1); request <= 8000; request++ {
			c.now += ms
			asked[request] = c.now
			c.send(raftpb.MsgHeartbeat, 7, request)
			c.send(raftpb.MsgHeartbeat, 7, request) // to another replica
			if request <= late+2000 {
				continue
			}
			c.mu.Lock()
			at, kept := c.askedAt(request-late), len(c.probes)
			c.mu.Unlock()
			require.LessOrEqual(t, at, asked[request-late])
			require.Greater(t, at, asked[request-late]-2*probesGap-2*time.Duration(late)*ms)
			require.Less(t, kept, 64)
		}
	}
}
