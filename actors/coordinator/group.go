package coordinator

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/classic"
	"ottla/actors/few"
	"ottla/actors/group"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// groupActor is the shell of one consumer group on its coordinator. It owns
// the group's state and the polls of its members that are under way.
//
// The state runs ahead of the log: a decision's records are applied at once and proposed,
// and its answer, like every later answer that may depend on it, is held back until they are
// committed. If they are not, because the coordinator has lost its leadership, the actor
// resigns: answers that are held back become unknown, and the state, which nobody has seen,
// ends with the actor.
//
// Three things must hold for that. Records are proposed in the order in which they were
// decided, and in one run, so that none enters the log behind one that failed. Whatever
// discloses the state, a refusal too, waits for the records before it. And the actor never
// goes back: it has no way to undo a decision, only to end.
type groupActor struct {
	env       *Env
	log       *slog.Logger
	name      string
	term      uint64
	clusterID string
	partition int
	records   []metarecord.Record // what the group begins with; nil once applied

	state *group.State

	classic     *classic.Group // of members that speak Kafka's protocol; nil: there has been none
	classicTold bool           // whether it has members, as the coordinator knows
	polls       few.Map[protocol.ConsumerID, *routing.PollHandle]
	newest      few.Map[protocol.ConsumerID, newestPoll]
	numbers     *protocol.Counter // of polls; shared with the coordinator's other groups, and with a former actor of this one
	run         *ProposalRun
	proposed    uint64 // number of the last proposal
	held        []heldAnswer
	inFlight    int
	resigned    bool
	steady      int64 // what now has said since the present message came; 0: nothing yet
	timer       *time.Timer
	timerAt     int64
	queue       *groupQueue // nil: the group is none
}

// newestPoll is a member's latest poll: its number and, if it had read ahead, the token
// by which it is known when it asks again; else 0.
type newestPoll struct{ number, token uint64 }

// heldAnswer is an answer that waits for proposal seq, and all before it, to be
// committed.
type heldAnswer struct {
	seq    uint64
	answer func()
	refuse func(*protocol.Error)
}

// Receive implements actor.Actor.
func (g *groupActor) Receive(ctx actor.Context) {
	g.steady = 0
	// Between a failure and the actor's end messages still come; the next coordinator
	// answers them.
	if m, ok := ctx.Message().(routing.Question); ok && g.resigned {
		m.Refuse(protocol.ErrNotLeader)
		return
	}
	if g.queueMessage(ctx, ctx.Message()) {
		return
	}
	switch m := ctx.Message().(type) {
	case *actor.Started:
		g.started(ctx)
	case *actor.Stopping:
		g.resign(0, nil)
	case *actor.Stopped, *actor.Restarting:
	case *routing.GroupPoll:
		if g.classicLive() {
			m.Refuse(g.errOtherProtocol())
			break
		}
		g.poll(ctx, m)
	case *routing.Classic:
		g.classicRequest(ctx, m)
	case *classicConfirmed:
		g.describeClassic(m)
	case *routing.GroupStart:
		g.start(ctx, m)
	case *routing.GroupDelivered:
		g.delivered(ctx, m)
	case *routing.GroupPollEnded:
		g.pollEnded(ctx, m)
	case *routing.GroupHeartbeat:
		g.heartbeat(ctx, m)
	case *routing.GroupCommit:
		g.commit(ctx, m)
	case *routing.GroupRead:
		g.confirmRead(ctx, m)
	case *groupConfirmed:
		g.read(m)
	case *routing.GroupChange:
		g.change(ctx, m)
	case *groupTopicGone:
		g.advance(ctx, g.state.DecideTopicDeleted(g.now(), m.TopicID), nil, nil)
	case *deleteUnused:
		if g.classicLive() {
			break
		}
		g.advance(ctx, g.state.DecideExpireGroup(g.now(), m.RetentionMs), nil, nil)
	case *expireLeases:
		g.timerAt = 0
		g.advance(ctx, g.state.Expire(g.now()), nil, nil)
		if g.classic != nil {
			g.classic.Expire(g.now())
			g.tellClassic(ctx)
		}
	case *groupCommitted:
		g.committed(ctx, m)
	case *groupResign:
		g.resign(0, nil)
	default:
		g.logger().Error("BUG: group got an unknown message", "type", fmt.Sprintf("%T", m))
	}
	g.armTimer(ctx)
}

// logger is a logger that names the group. It is made when it is needed, because
// there are many groups.
func (g *groupActor) logger() *slog.Logger { return g.log.With("group", g.name) }

// now is what leases stand on. The times of a queue are those of its records, which
// clients may give, and which the next coordinator goes by. A group that has only records
// left of a queue is none.
func (g *groupActor) now() int64 {
	if g.isQueue() {
		return g.env.Agreed()
	}
	if g.steady == 0 {
		g.steady = g.env.Steady()
	}
	return g.steady
}

// started makes the state out of the committed records. Leases begin anew: who polled under
// the former coordinator does not know of the change, and gets its whole session to come
// here.
func (g *groupActor) started(ctx actor.Context) {
	g.state = group.New(g.name)
	g.state.Wall, g.state.Level = g.env.Wall, g.env.Level
	var ofQueue []metarecord.Record
	for _, rec := range g.records {
		if isQueueKey(rec.Key) {
			ofQueue = append(ofQueue, rec)
			continue
		}
		if err := g.state.Apply(rec); err != nil {
			g.logger().Error("group record cannot be applied", "error", err)
		}
	}
	g.records = nil
	g.state.ResumeLeases(g.now())
	if len(ofQueue) > 0 {
		g.startQueue(ctx, ofQueue)
	}
}

// advance applies a decision's records, proposes them, and lets the answer go
// once they, and everything before them, are committed.
func (g *groupActor) advance(ctx actor.Context, recs []metarecord.Record, answer func(), refuse func(*protocol.Error)) {
	if len(recs) > 0 {
		// Applied before they are committed, so that the next decision stands on them. Nobody
		// sees that before: answers, and refusals, wait for the commit, and where it fails
		// this actor ends with its state.
		before := g.state.Generation()
		for _, rec := range recs {
			if isQueueKey(rec.Key) {
				continue // a queue changes before it says so
			}
			if err := g.state.Apply(rec); err != nil {
				g.logger().Error("BUG: a decided record cannot be applied", "error", err)
			}
		}
		g.propose(ctx, recs)
		if g.state.Generation() != before {
			g.rebalanced()
		}
	}
	if answer == nil {
		return
	}
	// Nothing is under way, so all that is known is committed.
	if g.inFlight == 0 {
		answer()
		return
	}
	g.held = append(g.held, heldAnswer{seq: g.proposed, answer: answer, refuse: refuse})
}

// refuse refuses a request once the state that the refusal rests on is committed,
// because a refusal discloses that state. If it is not committed after all, the
// next coordinator is to be asked: nothing was proposed for this request.
func (g *groupActor) refuse(m routing.Question, err *protocol.Error) {
	if g.inFlight == 0 {
		m.Refuse(err)
		return
	}
	g.held = append(g.held, heldAnswer{
		seq: g.proposed, answer: func() { m.Refuse(err) }, refuse: func(*protocol.Error) { m.Refuse(protocol.ErrNotLeader) },
	})
}

// propose sends records to the partition. Done is called on its goroutine, and only sends.
func (g *groupActor) propose(ctx actor.Context, recs []metarecord.Record) {
	lines := &protocol.Lines{}
	metarecord.AppendLines(lines, protocol.OffsetsTopic, g.partition, g.env.Agreed(), recs)
	g.proposed++
	g.inFlight++
	seq, self, system := g.proposed, ctx.Self(), g.env.System
	ctx.Send(ctx.Parent(), &ProposeRecords{Lines: lines, Run: g.run, Done: func(res protocol.ProduceResult) {
		system.Root.Send(self, &groupCommitted{seq: seq, err: res.Err})
	}})
}

// rebalanced tells every parked poll that there is a new generation.
func (g *groupActor) rebalanced() {
	for _, id := range slices.Collect(g.polls.Keys()) {
		if h := g.polls.At(id); g.state.IsMember(id) {
			h.Tell(routing.PollRebalanced)
		} else {
			h.Tell(routing.PollLeft)
			g.polls.Remove(id)
		}
	}
	for _, id := range slices.Collect(g.newest.Keys()) {
		if !g.state.IsMember(id) {
			g.newest.Remove(id)
		}
	}
}

// committed sends the answers that waited for a proposal. After a failed one the
// actor only refuses, until its coordinator ends it behind everything that has
// been sent to it.
func (g *groupActor) committed(ctx actor.Context, m *groupCommitted) {
	// The outcome of another proposal. Those who waited for it have been told that it is
	// unknown.
	if g.resigned {
		return
	}
	if m.err != nil {
		g.resign(m.seq, m.err)
		ctx.Send(ctx.Parent(), &groupFailed{PID: ctx.Self()})
		return
	}
	g.inFlight--
	// Proposals are in one log, in order: the one that is committed has all before it with it,
	// whose own messages may still be on their way.
	n := 0
	for n < len(g.held) && g.held[n].seq <= m.seq {
		n++
	}
	ready := g.held[:n]
	if g.held = g.held[n:]; len(g.held) == 0 {
		g.held = nil // let go of the array as well
	}
	// After the slices are settled: an answer may lead to a message, but never back into
	// here.
	for i := range ready {
		ready[i].answer()
	}
}

// Resign refuses everything that is held back and wakes all polls. The proposal
// with the number failed, if it is not 0, failed with cause; the outcome of others
// that are under way is unknown.
func (g *groupActor) resign(failed uint64, cause *protocol.Error) {
	if g.resigned {
		return
	}
	g.resigned = true
	g.endQueue()
	held := g.held
	g.held = nil
	for i := range held {
		if held[i].seq == failed {
			held[i].refuse(cause)
		} else {
			held[i].refuse(protocol.Unknownf("the coordinator of group %q changed before this was committed", g.name))
		}
	}
	for _, h := range g.polls.All() {
		h.Tell(routing.PollRebalanced)
	}
	g.polls.Clear()
	if g.classic != nil {
		g.classic.End(kafkaNotCoordinator)
	}
	if g.timer != nil {
		g.timer.Stop()
	}
}

// armTimer schedules a look at the leases for when the next one runs out. It is called after
// every message.
func (g *groupActor) armTimer(ctx actor.Context) {
	if g.resigned || g.state == nil {
		return
	}
	next := g.state.NextExpiry(g.now())
	if g.classic != nil {
		if at := g.classic.NextDeadline(); at > 0 && (next == 0 || at < next) {
			next = at
		}
	}
	// A look that comes too early finds nothing and arms again, so leases that are prolonged,
	// as they are with every poll, leave the timer alone.
	if next == 0 || g.timerAt != 0 && g.timerAt <= next {
		return
	}
	if g.timer != nil {
		g.timer.Stop()
	}
	g.timerAt = next
	// A millisecond more, because the group's clock need not be the timer's: a look before its
	// time would only arm again.
	self, system := ctx.Self(), g.env.System
	g.timer = time.AfterFunc(time.Duration(next-g.now()+1)*time.Millisecond, func() {
		system.Root.Send(self, &expireLeases{})
	})
}
