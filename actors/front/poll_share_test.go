package front

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/routing"
	"ottla/protocol"
)

// A topic may be deleted after it was looked up and before its group is asked.
func TestTopicDeletedBeforeTheGroupIsAsked(t *testing.T) {
	w := newWorld(t)
	w.withTopic("q", 1)
	p := w.pollOf(nil)
	require.Equal(t, stateAhead, p.onResolve())
	w.remove("q")
	p.state = stateShare
	_, err := p.finish()
	requireCode(t, protocol.CodeTopicNotFound, err)
	assert.Empty(t, messages[*routing.GroupPoll](w.groups))
	assert.Empty(t, messages[*routing.GroupPollEnded](w.groups), "the group does not know of the poll")
}

// One deleted and made anew under its name is another topic.
func TestTopicMadeAnewWhileWaiting(t *testing.T) {
	w := newWorld(t)
	w.withTopic("q", 1)
	p := w.pollOf(func(r *protocol.PollRequest) { r.Ack = "" })
	p.until(stateWait)
	w.withTopic("q", 1)
	_, err := p.finish()
	requireCode(t, protocol.CodeTopicNotFound, err)
	assert.Equal(t, protocol.OutcomeNone, err.Outcome)
	assert.Len(t, messages[*routing.GroupPollEnded](w.groups), 1)
}

func TestPartitionsAddedWhileWaiting(t *testing.T) {
	w := newWorld(t)
	q, _ := w.withTopic("q", 1)
	p := w.pollOf(nil)
	p.until(stateWait)
	more := *q
	more.Partitions = 2
	route := *routing.Of(q)
	route.Partitions = append(route.Partitions[:1:1], routing.NewPartition(protocol.PartitionID{TopicID: q.ID, Partition: 1}, &w.replicas, 1))
	more.Route = &route
	added := w.lead(&more, 1)
	added.append("1")
	w.publish(&more)
	reply := p.answered()
	assert.Equal(t, []string{"1"}, values(reply.Records))
	assert.Equal(t, protocol.Generation(2), reply.Generation)
}

func TestOtherTopicsDoNotConcernAWaitingPoll(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	p := w.pollOf(nil)
	p.until(stateWait)
	w.withTopic("r", 1)
	p.resumed()
	_, waits, err := p.Advance()
	require.Nil(t, err)
	require.True(t, waits)
	assert.Equal(t, stateWait, p.state)
	assert.True(t, p.wait.registered, "it stays registered")
	p.parkNow()
	p.requireParked()
	leaders[0].append("1")
	assert.Equal(t, []string{"1"}, values(p.answered().Records))
	assert.Len(t, messages[*routing.GroupPoll](w.groups), 1)
}

// Where a group starts is committed by the first member that finds it out. The
// others start there, too.
func TestStartIsCommittedOnce(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	leaders[0].append("1", "2", "3")
	latest := func(r *protocol.PollRequest) { r.From.Latest = true }
	p := w.pollOf(latest)
	w.groups.intercept(func(m routing.Question) bool {
		if m, ok := m.(*routing.GroupStart); ok && len(m.Starts) > 0 {
			assert.Equal(t, protocol.Offset(3), m.Starts[0].Offset)
			first := *m
			first.Starts, first.Reply = append(first.Starts[:0:0], first.Starts...), protocol.NewFuture[routing.GroupOffsets]()
			first.Starts[0].Offset = 1
			w.groups.group("g").answer(t, &first)
		}
		return false
	})
	assert.Equal(t, []string{"2", "3"}, values(p.answered().Records))
	assert.Equal(t, protocol.Offset(3), w.groups.committed("g", q.ID, 0))
	w.groups.intercept(nil)
	leaders[0].append("4")
	assert.Equal(t, []string{"4"}, values(w.pollOf(latest).answered().Records))
	assert.Len(t, messages[*routing.GroupStart](w.groups), 1)
}

// A generation that passes between the share and the start begins the poll
// again.
func TestStartOfAnOldGeneration(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 2)
	leaders[0].append("1")
	leaders[1].append("2")
	p := w.pollOf(nil)
	joined := false
	w.groups.intercept(func(m routing.Question) bool {
		if _, ok := m.(*routing.GroupStart); ok && !joined {
			joined = true
			other := &routing.GroupPoll{
				Consumer: 8, SessionMs: 60_000, Handle: &routing.PollHandle{Waiter: protocol.NewWaiter(func() {})},
				Reply: protocol.NewFuture[routing.GroupShare](),
			}
			other.Topics = messages0[*routing.GroupPoll](w.groups.asked).Topics
			w.groups.group("g").answer(t, other)
		}
		return false
	})
	reply := p.answered()
	assert.Equal(t, protocol.Generation(2), reply.Generation)
	assert.Len(t, reply.Records, 1, "the other partition is the other member's")
	assert.Len(t, messages[*routing.GroupPoll](w.groups), 2)
	starts := messages[*routing.GroupStart](w.groups)
	assert.Len(t, starts[len(starts)-1].Starts, 1)
	assert.Equal(t, protocol.Offset(-1), w.groups.committed("g", q.ID, 1-reply.Records[0].Partition))
}

// messages0 is the first message of a kind.
func messages0[M routing.Question](asked []routing.Question) (first M) {
	for _, q := range asked {
		if m, ok := q.(M); ok {
			return m
		}
	}
	return first
}

// What a poll acknowledges is committed with the group's first answer. An error
// that comes later says so.
func TestErrorAfterAckSaysApplied(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	leaders[0].append("1", "2")
	noCommit := func(r *protocol.PollRequest) { r.AutoCommit, r.MaxRecords = false, 1 }
	first := w.pollOf(noCommit).answered()
	require.Equal(t, protocol.Offset(0), w.groups.committed("g", q.ID, 0))
	ack := func(r *protocol.PollRequest) { noCommit(r); r.Ack = first.Cursor }

	p := w.pollOf(ack)
	w.groups.intercept(func(m routing.Question) bool {
		_, poll := m.(*routing.GroupPoll)
		if poll {
			m.Refuse(protocol.Errorf(protocol.CodeTooManyRequests, "the group is full"))
		}
		return poll
	})
	_, err := p.finish()
	requireCode(t, protocol.CodeTooManyRequests, err)
	assert.Equal(t, protocol.OutcomeNone, err.Outcome, "it failed before the group had taken it")
	assert.Equal(t, protocol.Offset(0), w.groups.committed("g", q.ID, 0))

	w.forgetPlaces()
	p = w.pollOf(ack)
	w.groups.intercept(func(m routing.Question) bool {
		_, delivered := m.(*routing.GroupDelivered)
		if delivered {
			m.Refuse(protocol.Errorf(protocol.CodeStorageFailed, "the disk is full"))
		}
		return delivered
	})
	_, err = p.finish()
	requireCode(t, protocol.CodeStorageFailed, err)
	assert.Equal(t, protocol.OutcomeApplied, err.Outcome)
	assert.Equal(t, protocol.Offset(1), w.groups.committed("g", q.ID, 0))

	w.forgetPlaces()
	p = w.pollOf(func(r *protocol.PollRequest) { ack(r); r.Ack = "" })
	_, err = p.finish()
	assert.Equal(t, protocol.OutcomeNone, err.Outcome, "nothing was acknowledged")
}

func TestAfterReadsWhereTheCursorIs(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	leaders[0].append("1", "2", "3")
	one := w.pollOf(func(r *protocol.PollRequest) { r.MaxRecords = 1 }).answered()
	assert.Equal(t, []string{"1"}, values(one.Records))
	assert.Equal(t, []string{"2", "3"}, values(w.pollOf(nil).answered().Records))
	back := w.pollOf(func(r *protocol.PollRequest) { r.After = one.Cursor }).answered()
	assert.Equal(t, []string{"2", "3"}, values(back.Records), "read a second time")
}

func TestClusterWithoutCoordinatorsYet(t *testing.T) {
	w := newWorld(t)
	w.withTopic("q", 1)
	w.remove(protocol.OffsetsTopic)
	_, err := w.pollOf(nil).finish()
	requireCode(t, protocol.CodeStarting, err)
}

// The group's leader may be silent, or gone, when it was asked: then the poll
// asks the next one, and whether the first was without effect is open.
func TestCoordinatorMovesWhileItIsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		next bool // there is a next one
		want *protocol.Code
	}{
		"another one":  {true, nil},
		"no other one": {false, &protocol.CodeOutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if c.next {
				w.opt.RequestTimeout = patience
			}
			_, leaders := w.withTopic("q", 1)
			leaders[0].append("1")
			w.groups.intercept(func(routing.Question) bool { return true }) // and never answers
			p := w.pollOf(nil)
			p.until(stateShare)
			offsets := w.table(protocol.OffsetsTopic)
			routing.Of(offsets).Partitions[0].Clear(routing.Of(offsets).Partitions[0].Leader())
			w.groups.intercept(nil)
			if c.next {
				w.lead(offsets, 0).ask = w.groups.ask
			}
			p.resumed() // after a while it looks
			began := time.Now()
			reply, err := p.finish()
			assert.Less(t, time.Since(began), unansweredLeader, "who does not lead any more is not waited for")
			if c.want != nil {
				requireCode(t, *c.want, err)
				return
			}
			require.Nil(t, err)
			assert.Equal(t, []string{"1"}, values(reply.Records))
			assert.Len(t, messages[*routing.GroupPoll](w.groups), 2)
		})
	}
}

func TestNobodyCoordinates(t *testing.T) {
	w := newWorld(t)
	w.withTopic("q", 1)
	offsets := routing.Of(w.table(protocol.OffsetsTopic)).Partitions[0]
	offsets.Clear(offsets.Leader())
	began := time.Now()
	_, err := w.pollOf(nil).finish()
	requireCode(t, protocol.CodeNoLeader, err)
	assert.Equal(t, protocol.OutcomeNone, err.Outcome, "nobody was asked")
	assert.GreaterOrEqual(t, time.Since(began), w.opt.RequestTimeout)
	w.replicas.running.Store(0)
	_, err = w.pollOf(nil).finish()
	requireCode(t, protocol.CodeNotEnoughReplicas, err)
}
