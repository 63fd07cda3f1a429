package front

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/protocol"
)

// testPoll is a poll that a test carries on.
type testPoll struct {
	*poll
	w     *world
	t     *testing.T
	done  chan struct{} // its front end's
	woken chan struct{} // closed by the resume of the last Park
}

// pollOf begins a poll of topic "q" by consumer 7 of group "g".
func (w *world) pollOf(change func(*protocol.PollRequest)) *testPoll {
	req := &protocol.PollRequest{
		Topics: []string{"q"}, ConsumerID: 7, Group: "g", MaxRecords: 10, MaxBytes: 1 << 20, Timeout: time.Hour,
		SessionTimeout: 30 * time.Second, AutoCommit: true,
	}
	if change != nil {
		change(req)
	}
	done := make(chan struct{})
	return &testPoll{poll: w.startPoll(req, done), w: w, t: w.t, done: done}
}

// until carries the poll on until it waits in that state, and parks it.
func (p *testPoll) until(state pollState) {
	p.t.Helper()
	for {
		_, waits, err := p.Advance()
		require.Nil(p.t, err)
		require.True(p.t, waits, "it is answered in state %d", p.state)
		p.parkNow()
		if p.state == state {
			return
		}
		p.resumed()
	}
}

func (p *testPoll) parkNow() {
	woken := make(chan struct{})
	p.woken = woken
	p.Park(func() { close(woken) })
	p.w.groups.answerLate()
}

// resumed waits until the poll has to go on.
func (p *testPoll) resumed() {
	p.t.Helper()
	select {
	case <-p.woken:
	case <-time.After(patience):
		p.t.Fatalf("the poll still waits in state %d", p.state)
	}
}

// requireParked checks that nothing has ended the wait.
func (p *testPoll) requireParked() {
	p.t.Helper()
	select {
	case <-p.woken:
		p.t.Fatalf("the poll was resumed in state %d", p.state)
	default:
	}
}

// finish carries the poll on, parked or not, to its answer.
func (p *testPoll) finish() (*protocol.PollReply, *protocol.Error) {
	p.t.Helper()
	if p.parked {
		p.resumed()
	}
	for {
		reply, waits, err := p.Advance()
		if !waits {
			return reply, err
		}
		p.parkNow()
		p.resumed()
	}
}

func (p *testPoll) answered() *protocol.PollReply {
	p.t.Helper()
	reply, err := p.finish()
	require.Nil(p.t, err)
	return reply
}

func values(records []protocol.Record) []string {
	list := []string{}
	for i := range records {
		list = append(list, string(records[i].Value))
	}
	return list
}

func TestPollGoesThroughItsStates(t *testing.T) {
	w := newWorld(t)
	w.groups.late = true
	_, leaders := w.withTopic("q", 1)
	leaders[0].append("1", "2")
	p := w.pollOf(nil)
	var states []pollState
	for waits := true; waits; {
		if p.parked {
			p.resumed()
			assert.NotZero(t, p.flags.Load()&woken, "the answer wakes it, not the timer")
		}
		states = append(states, p.state)
		var err *protocol.Error
		_, waits, err = p.Advance()
		require.Nil(t, err)
		if waits {
			p.parkNow()
		}
	}
	assert.Equal(t, []pollState{stateResolve, stateShare, stateStart, stateDeliver}, states, "where it was advanced")
	assert.Equal(t, stateDone, p.state)
	assert.Equal(t, []string{"1", "2"}, values(p.reply.Records))
	assert.Len(t, messages[*routing.GroupPoll](w.groups), 1)
	assert.Len(t, messages[*routing.GroupStart](w.groups), 1)
	assert.Len(t, messages[*routing.GroupDelivered](w.groups), 1)

	again := w.pollOf(func(r *protocol.PollRequest) { r.Timeout = 0 }).answered()
	assert.Empty(t, again.Records)
	assert.True(t, again.TimedOut)
	assert.Len(t, messages[*routing.GroupStart](w.groups), 1, "the start is committed once")
	deliveries := messages[*routing.GroupDelivered](w.groups)
	assert.True(t, deliveries[0].Commit)
	assert.False(t, deliveries[1].Commit, "there is nothing to commit")
}

// An answer that is there when the question was put is not waited for, and wakes nobody
// later.
func TestPollGoesOnWithAnswersThatAreThere(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	leaders[0].append("1")
	p := w.pollOf(nil)
	reply, waits, err := p.Advance()
	require.Nil(t, err)
	require.False(t, waits)
	assert.Equal(t, []string{"1"}, values(reply.Records))

	next := w.pollOf(nil)
	_, waits, err = next.Advance()
	require.Nil(t, err)
	require.True(t, waits)
	assert.Equal(t, stateWait, next.state, "only records are waited for")
	next.parkNow()
	next.requireParked()
}

// A state uses what is there, whoever has found it out: a poll that knows its
// share can begin to read.
func TestPollBeginsWhereItsShareIsKnown(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	leaders[0].append("1")
	first := w.pollOf(nil)
	require.Equal(t, []string{"1"}, values(first.answered().Records))
	leaders[0].append("2")
	next := w.pollOf(nil)
	next.state, next.joined, next.share, next.cluster, next.topics, next.waiter = stateRead, true, first.share, first.cluster, first.topics, first.waiter
	assert.Equal(t, []string{"2"}, values(next.answered().Records))
	assert.Len(t, messages[*routing.GroupPoll](w.groups), 1)
}

func TestPollResolves(t *testing.T) {
	w := newWorld(t)
	w.withTopic("q", 1)
	for name, c := range map[string]struct {
		change func(*protocol.PollRequest)
		want   *protocol.Code
	}{
		"a topic that is there":    {func(*protocol.PollRequest) {}, nil},
		"a topic that is not":      {func(r *protocol.PollRequest) { r.Topics = []string{"q", "none"} }, &protocol.CodeTopicNotFound},
		"a cluster that is not":    {func(r *protocol.PollRequest) { r.Cluster = "none" }, &protocol.CodeClusterNotFound},
		"a cursor that is not one": {func(r *protocol.PollRequest) { r.ConsumerID, r.Resume, r.After = 0, true, "none" }, &protocol.CodeInvalidCursor},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.pollOf(c.change)
			next := p.onResolve()
			if c.want != nil {
				assert.Equal(t, stateDone, next)
				requireCode(t, *c.want, p.err)
				return
			}
			assert.Equal(t, stateAhead, next)
		})
	}
}

func TestPollResolvesItsConsumer(t *testing.T) {
	w := newWorld(t)
	w.withTopic("q", 1)
	nobody := func(r *protocol.PollRequest) { r.ConsumerID, r.Group, r.SessionTimeout = 0, "", 0 }

	p := w.pollOf(nobody)
	require.Equal(t, stateAhead, p.onResolve())
	assert.Positive(t, p.req.ConsumerID)
	assert.Equal(t, fmt.Sprintf("consumer-%d", p.req.ConsumerID), p.req.Group)
	assert.Equal(t, w.opt.SessionTimeout, p.req.SessionTimeout)

	p = w.pollOf(func(r *protocol.PollRequest) {
		nobody(r)
		r.Resume, r.After = true, group.EncodeCursor(&group.Cursor{Group: "of the cursor", ConsumerID: 42}, nil)
	})
	require.Equal(t, stateAhead, p.onResolve())
	assert.Equal(t, protocol.ConsumerID(42), p.req.ConsumerID)
	assert.Equal(t, "of the cursor", p.req.Group)
}

func TestPollOfTopicsInTwoClusters(t *testing.T) {
	w := newWorld(t)
	w.withTopic("q", 1)
	other := &routing.Cluster{Name: "other", Known: time.Now()}
	topic := w.topic("r", 1)
	routing.Of(topic).Cluster = other
	other.Publish(&routing.Table{Topics: map[string]*protocol.Topic{"r": topic}}, &routing.View{})
	w.directory.Put("other", other)
	p := w.pollOf(func(r *protocol.PollRequest) { r.Topics = []string{"q", "r"} })
	require.Equal(t, stateDone, p.onResolve())
	requireCode(t, protocol.CodeAmbiguousTopic, p.err)
}
