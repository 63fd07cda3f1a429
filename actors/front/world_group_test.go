package front

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/group"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// fakeCoordinator answers for groups as the coordinator does, but commits at
// once.
type fakeCoordinator struct {
	t *testing.T

	mu     sync.Mutex
	groups map[string]*fakeGroup
	asked  []routing.Question // all messages for groups
	// before is called with each message; it returns true when it has answered
	// the message itself, or never will.
	before func(routing.Question) bool
	// late has questions wait until the poll that has asked is parked.
	late    bool
	waiting []routing.Question
}

// forgetPlaces has the next poll of each consumer ask for its share first.
func (w *world) forgetPlaces() {
	for i := range w.shared.places.shards {
		w.shared.places.shards[i].all, w.shared.places.shards[i].positions = nil, 0
	}
}

// fakeGroup is a group, and of each member the poll that is under way and the
// number of the newest one.
type fakeGroup struct {
	*group.State
	polls  map[protocol.ConsumerID]*routing.PollHandle
	newest map[protocol.ConsumerID]uint64

	numbered uint64 // polls
}

// superseded refuses a poll when a later one of its consumer was here.
func (g *fakeGroup) superseded(id protocol.ConsumerID, number uint64, h *routing.PollHandle, q routing.Question) bool {
	if number != 0 && number < g.newest[id] {
		h.Tell(routing.PollSuperseded)
	}
	if h.Signal() < routing.PollLeft {
		return false
	}
	q.Refuse(g.Stale("a newer poll of this consumer took over"))
	return true
}

func (c *fakeCoordinator) ask(q routing.Question) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.late {
		c.waiting = append(c.waiting, q)
		return
	}
	switch m := q.(type) {
	case *routing.GroupRequest:
		c.asked = append(c.asked, m.Msg)
		if c.before != nil && c.before(m.Msg) {
			return
		}
		c.group(m.Group).answer(c.t, m.Msg)
	case *routing.ListGroups:
		list := routing.GroupList{}
		for name, g := range c.groups {
			if m.Consumer == 0 || g.IsMember(m.Consumer) {
				list.Groups = append(list.Groups, name)
			}
		}
		m.Reply.Put(list)
	default:
		q.Refuse(protocol.Errorf(protocol.CodeInvalidParameter, "%T", q))
	}
}

func (c *fakeCoordinator) group(name string) *fakeGroup {
	g := c.groups[name]
	if g == nil {
		g = &fakeGroup{State: group.New(name), polls: map[protocol.ConsumerID]*routing.PollHandle{}, newest: map[protocol.ConsumerID]uint64{}}
		c.groups[name] = g
	}
	return g
}

// intercept has messages pass by before first.
func (c *fakeCoordinator) intercept(before func(routing.Question) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.before = before
}

// answerLate answers what was asked since late was set.
func (c *fakeCoordinator) answerLate() {
	c.mu.Lock()
	asked, late := c.waiting, c.late
	c.waiting, c.late = nil, false
	c.mu.Unlock()
	for _, q := range asked {
		c.ask(q)
	}
	c.late = late
}

// tell answers a message as if a client had sent it.
func (c *fakeCoordinator) tell(name string, q routing.Question) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.group(name).answer(c.t, q)
}

// committed is the group's offset of a partition, -1 without one.
func (c *fakeCoordinator) committed(name, topicID string, partition int) protocol.Offset {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.group(name).CommittedList() {
		if o.TopicID == topicID && o.Partition == partition {
			return o.Offset
		}
	}
	return -1
}

// messages counts the messages of one kind.
func messages[M routing.Question](c *fakeCoordinator) (all []M) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range c.asked {
		if m, ok := q.(M); ok {
			all = append(all, m)
		}
	}
	return all
}

// join makes another consumer a member, which is a new generation.
func (c *fakeCoordinator) join(name string, id protocol.ConsumerID, t *protocol.Topic) {
	c.tell(name, &routing.GroupPoll{
		Consumer: id, SessionMs: 60_000, WaitMs: 60_000, Handle: &routing.PollHandle{Waiter: protocol.NewWaiter(func() {})},
		Topics: []group.SubscribedTopic{{Name: t.Name, ID: t.ID, Partitions: t.Partitions}},
		Reply:  protocol.NewFuture[routing.GroupShare](),
	})
}

func (g *fakeGroup) answer(t *testing.T, q routing.Question) {
	now := time.Now().UnixMilli()
	before := g.Generation()
	switch m := q.(type) {
	case *routing.GroupPoll:
		g.poll(t, now, m)
		return
	case *routing.GroupStart:
		held, recs, err := g.DecideStart(now, m.Consumer, m.Generation, m.Starts)
		g.apply(t, recs)
		m.Reply.Put(routing.GroupOffsets{Offsets: held, Err: err})
	case *routing.GroupDelivered:
		if !g.superseded(m.Consumer, m.Number, m.Handle, m) {
			m.Reply.Put(g.delivered(t, now, m))
		}
	case *routing.GroupPollEnded:
		delete(g.polls, m.Consumer)
	case *routing.GroupCommit:
		recs, err := g.DecideCommit(now, m.Consumer, m.Generation, m.Offsets, m.Force)
		g.apply(t, recs)
		m.Reply.Put(routing.GroupOffsets{Offsets: m.Offsets, Err: err})
	case *routing.GroupRead:
		m.Reply.Put(routing.GroupReading{Info: g.Describe(now), Offsets: g.CommittedList()})
	case *routing.GroupChange:
		g.change(t, now, m)
	}
	g.rebalanced(before)
}

// rebalanced tells the polls that are under way of a new generation.
func (g *fakeGroup) rebalanced(before protocol.Generation) {
	if g.Generation() == before {
		return
	}
	for id, h := range g.polls {
		if g.IsMember(id) {
			h.Tell(routing.PollRebalanced)
		} else {
			h.Tell(routing.PollLeft)
		}
	}
}

func (g *fakeGroup) poll(t *testing.T, now int64, m *routing.GroupPoll) {
	if g.superseded(m.Consumer, m.Number, m.Handle, m) {
		return
	}
	share := routing.GroupShare{Number: m.Number}
	if share.Number == 0 {
		g.numbered++
		share.Number = g.numbered
	}
	if token := m.Ack + m.After; token != "" {
		c, err := group.DecodeCursor(token, nil)
		require.Nil(t, err)
		if m.After != "" {
			share.After = c.Positions
		} else {
			recs, err := g.DecideAck(now, m.Consumer, c.Generation, g.CursorOffsets(c))
			if err != nil {
				m.Refuse(err)
				return
			}
			g.apply(t, recs)
		}
	}
	if old := g.polls[m.Consumer]; old != nil && old != m.Handle {
		old.Tell(routing.PollSuperseded)
	}
	delete(g.polls, m.Consumer)
	before := g.Generation()
	d, err := g.DecidePoll(now, m.Consumer, m.Topics, m.SessionMs)
	g.apply(t, d.Records)
	g.rebalanced(before)
	if m.Ahead != nil {
		recs, ok := g.Ahead(now, m.Consumer, &d, &m.Ahead.Ahead, share.After, m.Ahead.Token, false)
		if ok && g.Delivered(m.Consumer, d.Generation, m.Ahead.Positions) {
			g.apply(t, recs)
			g.Polled(now, m.Consumer, 0)
			g.newest[m.Consumer] = share.Number
			m.Reply.Put(routing.GroupShare{Generation: d.Generation, Number: share.Number, Cursor: g.CursorFor("c", m.Consumer, 1, m.Ahead.Positions)})
			return
		}
	}
	share.Generation, share.Assigned, share.Err = d.Generation, d.Assigned, err
	g.Polled(now, m.Consumer, m.WaitMs)
	g.polls[m.Consumer], g.newest[m.Consumer] = m.Handle, share.Number
	m.Reply.Put(share)
}

func (g *fakeGroup) delivered(t *testing.T, now int64, m *routing.GroupDelivered) routing.GroupCursor {
	if m.From != nil && !g.GoesOn(m.Positions, m.From, m.Poll, false) {
		return routing.GroupCursor{Err: g.Stale("the offsets were changed")}
	}
	if m.Commit {
		recs, err := g.DecideAutoCommit(now, m.Consumer, m.Generation, m.Positions, m.Poll)
		if err != nil {
			return routing.GroupCursor{Err: err}
		}
		g.apply(t, recs)
	}
	if !g.Delivered(m.Consumer, m.Generation, m.Positions) {
		return routing.GroupCursor{Err: g.Stale("generation %d is not the current one", m.Generation)}
	}
	switch {
	case m.Stay:
		g.polls[m.Consumer], g.newest[m.Consumer] = m.Handle, m.Number
	case g.polls[m.Consumer] == m.Handle:
		delete(g.polls, m.Consumer)
	}
	return routing.GroupCursor{Cursor: g.CursorFor("c", m.Consumer, 1, m.Positions)}
}

func (g *fakeGroup) change(t *testing.T, now int64, m *routing.GroupChange) {
	var recs []metarecord.Record
	var err *protocol.Error
	switch {
	case m.Leave != 0:
		recs, err = g.DecideLeave(now, m.Leave)
	case m.Delete:
		recs, err = g.DecideDelete(now)
	default:
		recs, err = g.DecideSeek(now, m.Seek, m.Create)
	}
	g.apply(t, recs)
	m.Reply.Put(err)
}

func (g *fakeGroup) apply(t *testing.T, recs []metarecord.Record) {
	for _, rec := range recs {
		require.NoError(t, g.Apply(rec))
	}
}
