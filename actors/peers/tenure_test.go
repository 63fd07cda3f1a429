package peers

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
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

// of says what holds for replica 1, of this process, as the leader of a term of five
// replicas, the others of which run at nodes of the same number.
func (c *clocked) of(term uint64) Touch {
	running := map[uint64]Mailbox{1: {PID: actor.NewPID("test", "1")}}
	for id := uint64(2); id <= 5; id++ {
		running[id] = Mailbox{Node: link.NodeID(id)}
	}
	return c.touch(term, 5, running, func(id link.NodeID) (time.Duration, bool) {
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

// Whoever speaks for a later term has ended this one, before the replica here hears of it.
// A candidate has not: it may come to nothing.
func TestALaterTermEndsATenure(t *testing.T) {
	for _, kind := range []raftpb.MessageType{raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap, raftpb.MsgAppResp, raftpb.MsgHeartbeatResp} {
		c := &clocked{now: 1000 * ms}
		c.everybody(500 * ms)
		c.send(raftpb.MsgHeartbeat, 7, 0)
		for id := uint64(2); id <= 4; id++ {
			c.get(raftpb.MsgAppResp, id, 7, 0)
		}
		for _, vote := range []raftpb.MessageType{raftpb.MsgPreVote, raftpb.MsgPreVoteResp, raftpb.MsgVote, raftpb.MsgVoteResp} {
			c.get(vote, 5, 8, 0)
		}
		c.get(kind, 5, 6, 0)
		assert.Equal(t, InTouch, c.of(7), "%s of a term before", kind)
		c.get(kind, 5, 8, 0)
		assert.Equal(t, OutOfTouch, c.of(7), "%s", kind)
		c.get(raftpb.MsgAppResp, 2, 7, 0)
		assert.Equal(t, OutOfTouch, c.of(7), "a late acknowledgement")

		c.send(raftpb.MsgApp, 9, 0)
		assert.Equal(t, OutOfTouch, c.of(7))
		assert.Equal(t, Unconfirmed, c.of(9))
		c.send(raftpb.MsgHeartbeat, 7, 5)
		c.get(raftpb.MsgAppResp, 2, 9, 0)
		c.get(raftpb.MsgAppResp, 3, 9, 0)
		assert.Equal(t, InTouch, c.of(9))
		assert.Equal(t, Unconfirmed, c.of(10), "of what has sent nothing yet")
	}
}

// However often a leader asks, an answer counts from some request of the last 400 ms on,
// and never from a later one than it answers.
func TestAnswersCountFromWhatTheyAnswer(t *testing.T) {
	c := &clocked{now: 1000 * ms}
	c.send(raftpb.MsgApp, 7, 0)
	asked := map[uint64]time.Duration{}
	for request := uint64(1); request <= 5000; request++ {
		c.now += ms
		asked[request] = c.now
		c.send(raftpb.MsgHeartbeat, 7, request)
		c.send(raftpb.MsgHeartbeat, 7, request) // to another replica
		if late := uint64(request % 400); late < request {
			c.mu.Lock()
			at := c.askedAt(request - late)
			c.mu.Unlock()
			assert.LessOrEqual(t, at, asked[request-late])
			if late < uint64((probesKept-2)*probesGap/ms) && request > 400 {
				assert.Greater(t, at, asked[request-late]-2*probesGap)
			}
		}
	}
}
