package front

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/protocol"
)

// refuseDeliveries has the group refuse so many deliveries with err.
func refuseDeliveries(c *fakeCoordinator, times int, err *protocol.Error) {
	c.intercept(func(m routing.Question) bool {
		_, delivered := m.(*routing.GroupDelivered)
		if !delivered || times == 0 {
			return false
		}
		times--
		m.Refuse(err)
		return true
	})
}

func TestStaleDeliveryIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	leaders[0].append("1")
	refuseDeliveries(w.groups, 2, protocol.Errorf(protocol.CodeStaleGeneration, "moved"))
	reply := w.pollOf(nil).answered()
	assert.Equal(t, []string{"1"}, values(reply.Records))
	assert.Equal(t, protocol.Offset(1), w.groups.committed("g", q.ID, 0))
	assert.Len(t, messages[*routing.GroupPoll](w.groups), 3)
	assert.Len(t, messages[*routing.GroupDelivered](w.groups), 3)
}

// A poll that begins again has no use for its cursor: what it acknowledged is
// committed. It looks at its new share as if it had not waited.
func TestPollThatBeginsAgain(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	leaders[0].append("1", "2")
	first := w.pollOf(func(r *protocol.PollRequest) { r.AutoCommit, r.MaxRecords = false, 1 }).answered()
	refuseDeliveries(w.groups, 1, protocol.Errorf(protocol.CodeStaleGeneration, "moved"))
	w.forgetPlaces()
	reply := w.pollOf(func(r *protocol.PollRequest) { r.Ack = first.Cursor }).answered()
	assert.Equal(t, []string{"2"}, values(reply.Records))
	polls := messages[*routing.GroupPoll](w.groups)
	require.Len(t, polls, 3)
	assert.Equal(t, first.Cursor, polls[1].Ack)
	assert.False(t, polls[1].Continue)
	assert.Empty(t, polls[2].Ack)
	assert.True(t, polls[2].Continue)

	p := w.pollOf(nil)
	p.look.woken, p.look.last = true, true
	require.Equal(t, stateShare, p.shareAgain())
	assert.False(t, p.look.woken || p.look.last)
}

// A group that moved while its disk hung is no reason to refuse who named no
// generation: there is nothing to deliver, unless it may have been committed.
func TestDeliveryThatStaysStale(t *testing.T) {
	stale := protocol.Errorf(protocol.CodeStaleGeneration, "moved")
	for name, c := range map[string]struct {
		auto    bool
		records int
		err     *protocol.Error
		want    *protocol.Code // nil: an answer without records
	}{
		"committed on delivery":            {true, 1, stale, nil},
		"committed by the client":          {false, 1, stale, nil},
		"unknown, committed by the client": {false, 1, stale.WithOutcome(protocol.OutcomeUnknown), nil},
		"unknown, committed on delivery":   {true, 1, stale.WithOutcome(protocol.OutcomeUnknown), &protocol.CodeOutcomeUnknown},
		"unknown, but nothing to commit":   {true, 0, stale.WithOutcome(protocol.OutcomeUnknown), nil},
		"another error":                    {true, 1, protocol.Errorf(protocol.CodeStorageFailed, "full"), &protocol.CodeStorageFailed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, leaders := w.withTopic("q", 1)
			for range c.records {
				leaders[0].append("1")
			}
			w.groups.late = true
			p := w.pollOf(func(r *protocol.PollRequest) { r.AutoCommit, r.Timeout = c.auto, 0 })
			p.until(stateDeliver)
			p.deadline = time.Now().Add(-time.Hour)
			require.Equal(t, stateDone, p.delivered(routing.GroupCursor{}, c.err))
			if c.want != nil {
				requireCode(t, *c.want, p.err)
				return
			}
			require.Nil(t, p.err)
			assert.Empty(t, p.reply.Records)
			assert.Empty(t, p.reply.Cursor)
			assert.True(t, p.reply.TimedOut)
		})
	}
}

func TestDeliveryOfASupersededPoll(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	leaders[0].append("1")
	p := w.pollOf(nil)
	w.groups.intercept(func(m routing.Question) bool {
		d, delivered := m.(*routing.GroupDelivered)
		if delivered {
			d.Handle.Tell(routing.PollSuperseded)
			m.Refuse(protocol.Errorf(protocol.CodeStaleGeneration, "a newer poll took over"))
		}
		return delivered
	})
	reply := p.answered()
	assert.True(t, reply.Superseded)
	assert.Empty(t, reply.Records)
}

// A poll that has read what another one has committed in the meantime, through another node
// and coordinator, does not deliver it.
func TestWhatAnotherPollHasCommittedIsNotDelivered(t *testing.T) {
	for name, c := range map[string]struct {
		own  bool // the commit is its own, and its answer was lost
		want string
	}{"another's": {false, "2"}, "its own": {true, "1"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			q, leaders := w.withTopic("q", 1)
			leaders[0].append("1", "2")
			failed := false
			w.groups.intercept(func(m routing.Question) bool {
				d, is := m.(*routing.GroupDelivered)
				if !is || failed {
					return false
				}
				failed = true
				other := *d
				other.Handle, other.Reply = &routing.PollHandle{}, protocol.NewFuture[routing.GroupCursor]()
				if !c.own {
					other.Poll++
				}
				w.groups.group("g").answer(t, &other)
				w.groups.group("g").newest, w.groups.group("g").polls = map[protocol.ConsumerID]uint64{}, map[protocol.ConsumerID]*routing.PollHandle{}
				m.Refuse(protocol.Unknownf("the coordinator changed"))
				return true
			})
			assert.Equal(t, []string{c.want}, values(w.pollOf(one).answered().Records))
			if c.own {
				assert.Equal(t, protocol.Offset(1), w.groups.committed("g", q.ID, 0))
			}
		})
	}
}

// Nothing is committed for a client that has left while the poll waited.
func TestNothingIsDeliveredToWhoLeft(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	gone := false
	p := w.pollOf(func(r *protocol.PollRequest) { r.Gone = func() bool { return gone } })
	p.until(stateWait)
	gone = true
	leaders[0].append("1")
	assert.Empty(t, p.answered().Records)
	assert.Equal(t, protocol.Offset(0), w.groups.committed("g", q.ID, 0))
	assert.Empty(t, messages[*routing.GroupDelivered](w.groups))
	assert.Len(t, messages[*routing.GroupPollEnded](w.groups), 1)
}

func TestWithoutAutoCommitNothingIsCommitted(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	leaders[0].append("1")
	manual := func(r *protocol.PollRequest) { r.AutoCommit = false }
	reply := w.pollOf(manual).answered()
	require.Len(t, reply.Records, 1)
	assert.Equal(t, protocol.Offset(0), w.groups.committed("g", q.ID, 0), "where it starts")
	w.pollOf(func(r *protocol.PollRequest) { manual(r); r.Ack, r.Timeout = reply.Cursor, 0 }).answered()
	assert.Equal(t, protocol.Offset(1), w.groups.committed("g", q.ID, 0))
}

// Each record has the cursor after it: those of other partitions stand where
// the answer has got to by then.
func TestRecordCursors(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 2)
	leaders[0].append("1", "2")
	leaders[1].append("3")
	reply := w.pollOf(func(r *protocol.PollRequest) { r.RecordCursors = true }).answered()
	require.Len(t, reply.Records, 3)
	require.Len(t, reply.Cursors, 3)
	at := map[int]protocol.Offset{0: 0, 1: 0}
	for i, token := range reply.Cursors {
		at[reply.Records[i].Partition] = reply.Records[i].Offset + 1
		c, err := group.DecodeCursor(token, nil)
		require.Nil(t, err)
		require.Len(t, c.Positions, 2)
		for _, p := range c.Positions {
			assert.Equal(t, at[p.Partition], p.Offset, "partition %d after record %d", p.Partition, i)
		}
	}
	assert.Equal(t, reply.Cursor, reply.Cursors[2])
}
