package coordinator

import (
	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/group"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// pollNumberBits is how many bits of a poll's number count polls; those above are
// the coordinator's term. So a poll that a later coordinator numbers is newer than
// all that came before, through whichever nodes they came.
const pollNumberBits = 40

// poll subscribes a consumer, commits what it acknowledges, and answers with its share.
//
// The order: an outdated poll changes nothing, nor does one with a bad cursor. Then what it
// acknowledges is applied before its subscription, because a rebalance may take the
// partitions away that it acknowledges.
func (g *groupActor) poll(ctx actor.Context, m *routing.GroupPoll) {
	now := g.now()
	number := m.Number
	if number == 0 {
		number = g.term<<pollNumberBits | (g.numbers.Next() + 1)
	}
	if !g.isNewest(m.Consumer, number, m.Handle) {
		m.Refuse(errSuperseded)
		return
	}
	after, recs, err := g.cursors(m)
	if err != nil {
		g.refuse(m, err)
		return
	}
	for _, rec := range recs {
		if aerr := g.state.Apply(rec); aerr != nil {
			g.logger().Error("BUG: a decided record cannot be applied", "error", aerr)
		}
	}
	if len(recs) > 0 {
		g.propose(ctx, recs)
	}
	if old := g.polls.At(m.Consumer); old != nil && !old.Same(m.Handle) {
		// The older poll of the same consumer ends at once. Both would read the same records
		// otherwise, and the client, which has given one of them up, would see these as
		// lost.
		old.Tell(routing.PollSuperseded)
	}
	g.polls.Remove(m.Consumer)
	d, err := g.state.DecidePoll(now, m.Consumer, m.Topics, m.SessionMs)
	if err != nil {
		if len(recs) > 0 {
			err = err.WithOutcome(protocol.OutcomeUnknown) // the acknowledged offsets have been proposed
		}
		m.Refuse(err)
		return
	}
	// The quick way. Where it does not hold the client has read in vain, and goes the long
	// one.
	if m.Ahead != nil && g.ahead(ctx, m, &d, after, number) {
		return
	}
	share := routing.GroupShare{Generation: d.Generation, Number: number, Assigned: d.Assigned, After: after}
	g.advance(ctx, d.Records, func() { m.Reply.Put(share) }, m.Refuse)
	g.state.Polled(now, m.Consumer, m.WaitMs)
	g.polls.Set(m.Consumer, m.Handle)
	g.newest.Set(m.Consumer, newestPoll{number: number})
}

// ahead takes what a poll had read before it asked as delivered: to everybody else the poll
// has got its share, read it and delivered it in this one moment. It reports whether that
// may be.
func (g *groupActor) ahead(ctx actor.Context, m *routing.GroupPoll, d *group.PollDecision, after []group.CursorPosition, number uint64) bool {
	now := g.now()
	last := g.newest.At(m.Consumer)
	once := m.Ahead.Again && last.token == m.Ahead.Token
	recs, ok := g.state.Ahead(now, m.Consumer, d, &m.Ahead.Ahead, after, m.Ahead.Token, once)
	if !ok || !g.state.Delivered(m.Consumer, m.Ahead.Generation, m.Ahead.Positions) {
		return false
	}
	g.state.Polled(now, m.Consumer, 0)
	g.newest.Set(m.Consumer, newestPoll{number, m.Ahead.Token})
	share := routing.GroupShare{
		Generation: d.Generation, Number: number,
		Cursor: g.state.CursorFor(g.clusterID, m.Consumer, g.term, m.Ahead.Positions),
	}
	g.advance(ctx, recs, func() { m.Reply.Put(share) }, m.Refuse)
	return true
}

// isNewest reports whether no later poll of the same consumer has been here. An
// older poll, which asks again after a rebalance or at a new coordinator, is told
// that it is superseded.
func (g *groupActor) isNewest(id protocol.ConsumerID, number uint64, h *routing.PollHandle) bool {
	if number < g.newest.At(id).number {
		h.Tell(routing.PollSuperseded)
	}
	return h.Signal() < routing.PollLeft
}

// cursors checks the poll's cursor against the state, before the poll changes the
// state. A cursor in ack is committed; one in after says where to read on.
func (g *groupActor) cursors(m *routing.GroupPoll) ([]group.CursorPosition, []metarecord.Record, *protocol.Error) {
	token := m.Ack
	if token == "" {
		token = m.After
	}
	if token == "" {
		return nil, nil, nil
	}
	c, err := group.DecodeCursor(token, g.env.Seal(g.clusterID))
	if err != nil {
		return nil, nil, err
	}
	if m.After != "" && m.Continue {
		err := g.state.CheckCursorOrigin(c, g.clusterID, m.Consumer)
		if c.Unsealed && g.env.Seal(g.clusterID) != nil {
			return nil, nil, err // it goes on from what is committed
		}
		return g.state.OwnedPositions(c), nil, err
	}
	if c.Unsealed && g.env.Seal(g.clusterID) != nil {
		return nil, nil, g.state.Stale("the cursor was made before the cluster sealed its cursors: poll without it")
	}
	if err := g.state.CheckCursor(c, g.clusterID, m.Consumer); err != nil {
		return nil, nil, err
	}
	if m.After != "" {
		return c.Positions, nil, nil
	}
	recs, err := g.state.DecideAck(g.now(), m.Consumer, c.Generation, g.state.CursorOffsets(c))
	return nil, recs, err
}

// start gives a poll the offsets at which to begin where nothing is committed, and keeps
// them: two consumers that get the partition one after the other must not begin at different
// places.
func (g *groupActor) start(ctx actor.Context, m *routing.GroupStart) {
	held, recs, err := g.state.DecideStart(g.now(), m.Consumer, m.Generation, m.Starts)
	if err != nil {
		g.refuse(m, err)
		return
	}
	g.advance(ctx, recs, func() { m.Reply.Put(routing.GroupOffsets{Offsets: held}) }, m.Refuse)
}

// delivered notes what a poll is about to give to its client, and makes the cursor for it.
// It is the last moment at which the poll can be found outdated: whatever is refused here is
// not delivered.
func (g *groupActor) delivered(ctx actor.Context, m *routing.GroupDelivered) {
	if !g.isNewest(m.Consumer, m.Number, m.Handle) {
		m.Refuse(errSuperseded)
		return
	}
	once := m.Number != 0 && m.Number == g.newest.At(m.Consumer).number
	if m.From != nil && !g.state.GoesOn(m.Positions, m.From, m.Poll, once) {
		g.refuse(m, g.state.Stale("the offsets of group %q were changed", g.name))
		return
	}
	var recs []metarecord.Record
	if m.Commit {
		var err *protocol.Error
		if recs, err = g.state.DecideAutoCommit(g.now(), m.Consumer, m.Generation, m.Positions, m.Poll); err != nil {
			g.refuse(m, err)
			return
		}
	}
	if !g.state.Delivered(m.Consumer, m.Generation, m.Positions) {
		g.refuse(m, g.state.Stale("generation %d of group %q is not the current one", m.Generation, g.name))
		return
	}
	if m.Stay { // no poll comes that would say so
		recs = append(recs, g.state.Revived(g.now(), m.Consumer)...)
	}
	cur := g.state.CursorFor(g.clusterID, m.Consumer, g.term, m.Positions)
	g.state.RenewLease(g.now(), m.Consumer)
	switch {
	case m.Stay: // also where a new coordinator has not seen the poll yet
		g.polls.Set(m.Consumer, m.Handle)
		g.newest.Set(m.Consumer, newestPoll{number: m.Number})
	case g.polls.At(m.Consumer).Same(m.Handle):
		g.polls.Remove(m.Consumer)
	}
	g.advance(ctx, recs, func() { m.Reply.Put(routing.GroupCursor{Cursor: cur}) }, m.Refuse)
}

// errSuperseded ends a poll whose consumer has polled again.
var errSuperseded = protocol.Errorf(protocol.CodeStaleGeneration, "a newer poll of this consumer took over")

// pollEnded makes the lease run from the consumer's last sign of life, which was
// SilentMs ago, and not for long if its client has left. It may have run out already;
// then the member expires at once.
func (g *groupActor) pollEnded(ctx actor.Context, m *routing.GroupPollEnded) {
	switch current := g.polls.At(m.Consumer); {
	case m.Number != 0 && (current != nil || m.Number != g.newest.At(m.Consumer).number), m.Number == 0 && !current.Same(m.Handle):
		return // the consumer has polled again
	case m.Number == 0:
		g.polls.Remove(m.Consumer)
		g.state.RenewLease(g.now()-m.SilentMs, m.Consumer)
	}
	if m.Left {
		g.state.ShortenLease(g.now(), m.Consumer)
	}
	g.advance(ctx, g.state.Expire(g.now()), nil, nil)
}

// commit commits offsets that a client names, or else all that was delivered to it. It is a
// sign of life, but only if it is not refused.
func (g *groupActor) commit(ctx actor.Context, m *routing.GroupCommit) {
	offsets := m.Offsets
	var moved []group.PartitionOffset
	if len(offsets) == 0 {
		var err *protocol.Error
		if offsets, moved, err = g.state.Position(m.Consumer, m.TopicID); err != nil {
			g.refuse(m, err)
			return
		}
	}
	recs, err := g.state.DecideCommit(g.now(), m.Consumer, m.Generation, offsets, m.Force)
	if err != nil {
		g.refuse(m, err)
		return
	}
	g.state.ExtendLease(g.now(), m.Consumer)
	g.advance(ctx, recs, func() { m.Reply.Put(routing.GroupOffsets{Offsets: offsets, Moved: moved}) }, m.Refuse)
}

// heartbeat prolongs a lease. The answer waits for the commit of what it shows, the lease
// does not: it is not in the log.
func (g *groupActor) heartbeat(ctx actor.Context, m *routing.GroupHeartbeat) {
	now := g.now()
	d, err := g.state.DecideHeartbeat(now, m.Consumer, m.Generation, m.SessionMs)
	if err != nil {
		g.refuse(m, err)
		return
	}
	lease := routing.GroupLease{HeartbeatReply: protocol.HeartbeatReply{Generation: d.Generation, LeaseMs: d.LeaseMs, Assignment: d.Assignment}}
	g.advance(ctx, d.Records, func() { m.Reply.Put(lease) }, m.Refuse)
	g.state.ExtendLease(now, m.Consumer)
}

// confirmRead makes sure that this coordinator still leads before it answers a
// read, because another one may have committed more since. A read with AsKnown
// does not need that.
func (g *groupActor) confirmRead(ctx actor.Context, m *routing.GroupRead) {
	if m.AsKnown {
		g.read(&groupConfirmed{read: m})
		return
	}
	self, system := ctx.Self(), g.env.System
	ctx.Send(ctx.Parent(), &ConfirmRead{Done: func(err *protocol.Error) {
		system.Root.Send(self, &groupConfirmed{read: m, err: err})
	}})
}

func (g *groupActor) read(m *groupConfirmed) {
	if m.err != nil || g.resigned {
		m.read.Refuse(protocol.ErrNotLeader)
		return
	}
	if g.isQueue() {
		g.answerRead(m.read, g.readQueue())
		return
	}
	if !g.state.Known() && !g.classicLive() {
		m.read.Refuse(protocol.Errorf(protocol.CodeGroupNotFound, "group %q does not exist", g.name))
		return
	}
	r := routing.GroupReading{
		Info: g.state.Describe(g.now()), Offsets: g.state.CommittedList(), Topics: map[string]string{},
		Owners: map[protocol.PartitionID]protocol.ConsumerID{}, Positions: map[protocol.PartitionID]protocol.Offset{},
	}
	for _, t := range g.state.Topics() {
		r.Topics[t.ID] = t.Name
		for p, owner := range t.Owners {
			key := protocol.PartitionID{TopicID: t.ID, Partition: p}
			if owner != 0 {
				r.Owners[key] = owner
			}
			if at, ok := g.state.PositionAt(t.ID, p); ok {
				r.Positions[key] = at
			}
		}
	}
	g.withClassic(&r.Info)
	g.answerRead(m.read, r)
}

// answerRead answers a read once what it shows is committed.
func (g *groupActor) answerRead(m *routing.GroupRead, r routing.GroupReading) {
	answer := func() { m.Reply.Put(r) }
	if g.inFlight == 0 {
		answer()
		return
	}
	g.held = append(g.held, heldAnswer{seq: g.proposed, answer: answer, refuse: m.Refuse})
}

// change deletes the group, moves its offsets, or takes a member out. The first two are
// refused while somebody reads; state decides that for its own members.
func (g *groupActor) change(ctx actor.Context, m *routing.GroupChange) {
	var recs []metarecord.Record
	var err *protocol.Error
	switch now := g.now(); {
	case m.Leave == 0 && g.classicLive():
		err = protocol.Errorf(protocol.CodeGroupNotEmpty, "group %q has live members", g.name)
	case m.Delete:
		recs, err = g.state.DecideDelete(now)
	case m.Leave != 0:
		recs, err = g.state.DecideLeave(now, m.Leave)
	default:
		recs, err = g.state.DecideSeek(now, m.Seek, m.Create)
	}
	if err != nil {
		g.refuse(m, err)
		return
	}
	g.advance(ctx, recs, func() { m.Reply.Put(nil) }, m.Refuse)
}
