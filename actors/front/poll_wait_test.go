package front

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/routing"
	"ottla/protocol"
)

func TestPollWaitsForARecord(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 2)
	p := w.pollOf(nil)
	p.until(stateWait)
	p.requireParked()
	assert.Equal(t, 1, leaders[0].registered())
	assert.Equal(t, 1, leaders[1].registered())
	leaders[1].append("1")
	reply := p.answered()
	assert.Equal(t, []string{"1"}, values(reply.Records))
	assert.Equal(t, protocol.Offset(1), w.groups.committed("g", q.ID, 1))
	assert.Zero(t, leaders[0].registered(), "an answered poll waits nowhere")
	assert.Empty(t, w.shared.parked.all)
}

// What ends a wait that brings nothing, and what the poll says then.
func TestWaitEnds(t *testing.T) {
	for name, c := range map[string]struct {
		happens  func(w *world, p *testPoll)
		check    func(t *testing.T, reply *protocol.PollReply)
		released bool // the group is told that the poll ends without a delivery
	}{
		"time over": {func(_ *world, p *testPoll) {
			p.deadline = time.Now()
			p.Nudge()
		}, func(t *testing.T, r *protocol.PollReply) {
			assert.True(t, r.TimedOut)
			assert.NotEmpty(t, r.Cursor)
		}, false},
		"the process ends": {func(w *world, p *testPoll) { close(w.stop) }, func(t *testing.T, r *protocol.PollReply) {
			assert.False(t, r.TimedOut, "the client has not been told that there is nothing")
			assert.NotEmpty(t, r.Cursor)
		}, false},
		"the front end ends": {func(_ *world, p *testPoll) { close(p.done) }, func(t *testing.T, r *protocol.PollReply) {
			assert.False(t, r.TimedOut, "the client has not been told that there is nothing")
			assert.NotEmpty(t, r.Cursor)
		}, false},
		"a newer poll": {func(w *world, p *testPoll) {
			newer := w.pollOf(func(r *protocol.PollRequest) { r.Timeout = 0 })
			assert.False(p.t, newer.answered().Superseded)
			assert.Greater(p.t, newer.number, p.number)
		}, func(t *testing.T, r *protocol.PollReply) {
			assert.True(t, r.Superseded)
			assert.False(t, r.TimedOut)
			assert.Empty(t, r.Cursor)
		}, false},
		"its consumer leaves": {func(w *world, _ *testPoll) {
			w.groups.tell("g", &routing.GroupChange{Leave: 7, Reply: protocol.NewFuture[*protocol.Error]()})
		}, func(t *testing.T, r *protocol.PollReply) {
			assert.False(t, r.Superseded)
			assert.False(t, r.TimedOut)
			assert.Empty(t, r.Cursor)
		}, false},
		"its client leaves": {func(_ *world, p *testPoll) {
			left := make(chan struct{})
			close(left)
			p.req.Left, p.req.Gone = left, func() bool { return true }
			p.Nudge()
		}, func(t *testing.T, r *protocol.PollReply) {
			assert.Empty(t, r.Cursor)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, leaders := w.withTopic("q", 1)
			p := w.pollOf(nil)
			p.until(stateWait)
			c.happens(w, p)
			reply := p.answered()
			assert.Empty(t, reply.Records)
			c.check(t, reply)
			assert.Zero(t, leaders[0].registered())
			assert.Empty(t, w.shared.parked.all)
			ended := messages[*routing.GroupPollEnded](w.groups)
			assert.Equal(t, c.released, len(ended) == 1)
		})
	}
}

// A client that has only just left was alive until then: its lease runs from
// now on. One of which nobody knows when it left was alive when last seen.
func TestSilenceOfAClient(t *testing.T) {
	w := newWorld(t)
	w.withTopic("q", 1)
	p := w.pollOf(nil)
	p.until(stateWait)
	p.req.Gone = func() bool { return true }
	p.client.alive = time.Now().Add(-time.Hour)
	p.Nudge()
	assert.Empty(t, p.answered().Cursor)
	assert.GreaterOrEqual(t, messages[*routing.GroupPollEnded](w.groups)[0].SilentMs, time.Hour.Milliseconds())

	p = w.pollOf(nil)
	p.until(stateWait)
	left := make(chan struct{})
	close(left)
	p.req.Left, p.req.Gone = left, func() bool { return true }
	p.client.alive = time.Now().Add(-time.Hour)
	p.Nudge()
	assert.Empty(t, p.answered().Cursor)
	assert.Less(t, messages[*routing.GroupPollEnded](w.groups)[1].SilentMs, time.Minute.Milliseconds())
}

// The connection of a client may say that it left, and be wrong.
func TestClientThatIsStillThere(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	p := w.pollOf(nil)
	p.until(stateWait)
	left := make(chan struct{})
	close(left)
	p.req.Left, p.req.Gone = left, func() bool { return false }
	p.Nudge()
	p.resumed()
	_, waits, err := p.Advance()
	require.Nil(t, err)
	require.True(t, waits)
	assert.Nil(t, p.req.Left, "it is looked for from now on")
	p.parkNow()
	p.requireParked()
	leaders[0].append("1")
	assert.Len(t, p.answered().Records, 1)
}

func TestPollLooksForItsClient(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		session time.Duration
		left    chan struct{}
		gone    func() bool
		want    time.Duration
	}{
		"a short session":   {time.Millisecond, nil, func() bool { return false }, minAliveInterval},
		"a usual session":   {8 * time.Second, nil, func() bool { return false }, 2 * time.Second},
		"a long session":    {time.Hour, nil, func() bool { return false }, maxAliveInterval},
		"it is told":        {time.Second, make(chan struct{}), func() bool { return false }, time.Hour},
		"it cannot be told": {time.Second, nil, nil, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			p := &poll{deadline: now.Add(time.Hour), req: &protocol.PollRequest{SessionTimeout: c.session, Left: c.left, Gone: c.gone}}
			assert.InDelta(t, c.want.Seconds(), p.nextNudge().Sub(now).Seconds(), 1)
		})
	}
}

// A new generation has a waiting poll ask for its share again. One that
// announces it answers at once.
func TestShareChangesWhileWaiting(t *testing.T) {
	for name, announce := range map[string]bool{"waits on": false, "is announced": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			q, leaders := w.withTopic("q", 2)
			p := w.pollOf(func(r *protocol.PollRequest) { r.Announce = announce })
			p.until(stateWait)
			require.Len(t, p.share.Assigned, 2)
			w.groups.join("g", 8, q)
			p.resumed()
			if announce {
				reply := p.answered()
				assert.Equal(t, protocol.Generation(2), reply.Generation)
				assert.True(t, reply.TimedOut)
				return
			}
			p.until(stateWait)
			require.Len(t, p.share.Assigned, 1)
			mine := p.share.Assigned[0].Partition
			assert.Zero(t, leaders[1-mine].registered(), "it waits at its own partitions only")
			assert.Equal(t, 1, leaders[mine].registered())
			leaders[mine].append("1")
			reply := p.answered()
			assert.Equal(t, protocol.Generation(2), reply.Generation)
			assert.Equal(t, []string{"1"}, values(reply.Records))
		})
	}
}

// A group may call a poll between its answer and the moment at which the poll
// takes it: that wake is used up by the answer. The poll must not stay parked.
func TestPollHearsTheSignalThatCameWithItsShare(t *testing.T) {
	w := newWorld(t)
	w.withTopic("q", 1)
	p := w.pollOf(nil)
	_, waits, err := p.Advance()
	require.Nil(t, err)
	require.True(t, waits)
	require.Equal(t, stateWait, p.state)
	w.groups.late = true // the next question waits
	p.share.handle.Tell(routing.PollRebalanced)
	p.flags.Store(0) // as by the answer to the question
	p.parkNow()
	p.resumed()
	_, waits, err = p.Advance()
	require.Nil(t, err)
	require.True(t, waits)
	assert.Equal(t, stateShare, p.state)
}

// Polls of one number are one reader: who has polled since it began is newer
// than any of them, and is not ended by the next one.
func TestPollsOfAStreamEndWithANewerPoll(t *testing.T) {
	w := newWorld(t)
	w.withTopic("q", 1)
	at := func(number uint64, timeout time.Duration) *protocol.PollReply {
		return w.pollOf(func(r *protocol.PollRequest) { r.Timeout, r.Number = timeout, number }).answered()
	}
	first := at(0, 0)
	assert.False(t, at(first.Number, 0).Superseded)
	newer := at(0, 0)
	assert.Greater(t, newer.Number, first.Number)
	assert.True(t, at(first.Number, time.Hour).Superseded)
	assert.False(t, at(newer.Number, 0).Superseded)
}

// While a partition has no leader, the poll cannot register there, and looks
// again at once.
func TestWaitWithoutALeader(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	p := w.pollOf(nil)
	for p.state != stateWait {
		_, _, err := p.Advance()
		require.Nil(t, err)
		if p.state != stateWait {
			p.parkNow()
			p.resumed()
		}
	}
	leaders[0].resign()
	p.parkNow()
	p.resumed()
	assert.False(t, p.wait.registered)
	w.lead(q, 0).append("1")
	assert.Equal(t, []string{"1"}, values(p.answered().Records))
}
