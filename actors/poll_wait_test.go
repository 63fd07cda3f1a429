package actors

import (
	"fmt"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// parkPoll starts a poll of a topic without new records and parks it at its
// partition. The channel receives once for each resume.
func parkPoll(t *testing.T, n *Node, id protocol.ConsumerID, done <-chan struct{}, change ...func(*protocol.PollRequest)) (*pollSession, chan struct{}) {
	t.Helper()
	req := &protocol.PollRequest{
		Group: fmt.Sprintf("g%d", id), ConsumerID: id, Topics: []string{"a"}, MaxRecords: 10, MaxBytes: 1 << 20,
		AutoCommit: true, Timeout: time.Minute, SessionTimeout: time.Minute,
	}
	for _, c := range change {
		c(req)
	}
	p := n.startPoll(req, done)
	resumed := make(chan struct{}, 2)
	for {
		_, waits, err := p.Advance()
		require.Nil(t, err)
		require.True(t, waits)
		asks := p.question != nil
		p.Park(func() { resumed <- struct{}{} })
		if !asks {
			return p, resumed
		}
		awaitResume(t, resumed)
	}
}

// finish goes on with a parked poll until it has its answer.
func finish(t *testing.T, p *pollSession, resumed chan struct{}) *protocol.PollReply {
	t.Helper()
	for {
		awaitResume(t, resumed)
		reply, waits, err := p.Advance()
		require.Nil(t, err)
		if !waits {
			return reply
		}
		p.Park(func() { resumed <- struct{}{} })
	}
}

func awaitResume(t *testing.T, resumed <-chan struct{}) {
	t.Helper()
	select {
	case <-resumed:
	case <-time.After(10 * time.Second):
		require.Fail(t, "nobody resumes the poll")
	}
}

func pollNode(t *testing.T) *Node {
	n := startNode(t, t.TempDir())
	t.Cleanup(func() { stopNode(t, n) })
	createTestTopic(t, n, &protocol.TopicSpec{Name: "a", Partitions: ptr(1)})
	return n
}

// A poll that waits has no goroutine, and every one of them is resumed.
func TestParkedPollsHaveNoGoroutine(t *testing.T) {
	n := pollNode(t)
	const count = 50
	var polls []*pollSession
	var ends []chan struct{}
	for id := range protocol.ConsumerID(count) {
		p, resumed := parkPoll(t, n, id+1, nil)
		polls, ends = append(polls, p), append(ends, resumed)
	}
	var all strings.Builder
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&all, 1))
	assert.NotContains(t, all.String(), "pollSession")
	produce(t, n, "a", 0, "1")
	for i, p := range polls {
		assert.Len(t, finish(t, p, ends[i]).Records, 1)
	}
}

// The end of the front end, or of the node, ends its polls, parked before it
// or after.
func TestParkedPollsEndWithTheFrontEndAndTheNode(t *testing.T) {
	n := startNode(t, t.TempDir())
	createTestTopic(t, n, &protocol.TopicSpec{Name: "a", Partitions: ptr(1)})
	done := make(chan struct{})
	of, resumed := parkPoll(t, n, 1, done)
	other, later := parkPoll(t, n, 2, make(chan struct{}))
	close(done)
	assert.True(t, finish(t, of, resumed).TimedOut)
	third, tooLate := parkPoll(t, n, 3, done)
	assert.True(t, finish(t, third, tooLate).TimedOut)
	awaitResume(t, later) // it looked, and
	_, waits, err := other.Advance()
	require.Nil(t, err)
	require.True(t, waits) // is not concerned
	other.Park(func() { later <- struct{}{} })
	stopNode(t, n)
	awaitResume(t, later)
}

// What does not concern a poll leaves it parked where it was.
func TestNudgedPollStaysParked(t *testing.T) {
	n := pollNode(t)
	p, resumed := parkPoll(t, n, 1, nil)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "b", Partitions: ptr(1)})
	awaitResume(t, resumed)
	_, waits, err := p.Advance()
	require.Nil(t, err)
	require.True(t, waits)
	p.Park(func() { resumed <- struct{}{} })
	produce(t, n, "a", 0, "1")
	assert.Len(t, finish(t, p, resumed).Records, 1)
}

// A poll ends when its client has left.
func TestPollOfADepartedClient(t *testing.T) {
	n := pollNode(t)
	var gone atomic.Bool
	left := make(chan struct{})
	p, resumed := parkPoll(t, n, 1, nil, func(r *protocol.PollRequest) { r.Gone, r.Left = gone.Load, left })
	gone.Store(true)
	close(left)
	p.Nudge()
	assert.Empty(t, finish(t, p, resumed).Records)
}

// However many causes come at a time, a parked poll is resumed once.
func TestParkedPollIsResumedOnce(t *testing.T) {
	n := pollNode(t)
	for round := range 50 {
		done := make(chan struct{})
		p, resumed := parkPoll(t, n, 1, done)
		var causes sync.WaitGroup
		causes.Go(func() { close(done) })
		causes.Go(p.Nudge)
		causes.Go(func() { n.env.sleepers.nudge() })
		causes.Go(func() { produce(t, n, "a", 0, fmt.Sprint(round)) })
		causes.Wait()
		awaitResume(t, resumed)
		assert.Empty(t, resumed)
		resumed <- struct{}{} // which was taken above
		finish(t, p, resumed)
	}
	n.env.sleepers.mu.Lock()
	defer n.env.sleepers.mu.Unlock()
	assert.Empty(t, n.env.sleepers.parked)
}
