package coordinator

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/classic"
	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/protocol"
)

// A group is one of HTTP's or one of Kafka's classic protocol, whoever comes first, and
// is free again when nobody is a member any more. Committed offsets are the same.

const (
	kafkaNotCoordinator     int16 = 16
	kafkaGroupSubscribed    int16 = 86
	kafkaOffsetTooLarge     int16 = 12
	kafkaInvalidCommitSizes int16 = 28
)

// classicLives tells the coordinator that a group has members of the classic protocol,
// or none any more: nothing in the log says so.
type classicLives struct {
	group string
	live  bool
}

// classicRequest answers what members of the classic protocol, and administrators with
// Kafka's tools, ask.
func (g *groupActor) classicRequest(ctx actor.Context, m *routing.Classic) {
	if g.classic == nil {
		g.classic = classic.New()
	}
	now, k := g.now(), g.classic
	answer := func(a routing.ClassicAnswer) { m.Reply.Put(a) }
	switch {
	// Members of the two kinds cannot share partitions: neither knows the other's
	// assignment.
	case m.Join != nil && (g.isQueue() || g.state.Live(now)):
		answer(routing.ClassicAnswer{Join: classic.JoinReply{Code: classic.InconsistentGroupProtocol, Generation: -1, Member: m.Join.Member}})
	case m.Join != nil:
		k.Join(now, m.Join, func(r classic.JoinReply) { answer(routing.ClassicAnswer{Join: r}) })
	case m.Sync != nil:
		k.Sync(now, m.Sync, func(r classic.SyncReply) { answer(routing.ClassicAnswer{Sync: r}) })
	case m.Heartbeat != nil:
		answer(routing.ClassicAnswer{Code: k.Heartbeat(now, m.Heartbeat.Member, m.Heartbeat.Instance, m.Heartbeat.Generation)})
	case m.Commit != nil:
		g.classicCommit(ctx, m)
	case m.Drop != nil:
		g.dropOffsets(ctx, m)
	case m.Describe:
		g.confirmClassic(ctx, m)
	default:
		a := routing.ClassicAnswer{}
		for _, member := range m.Leave {
			a.Codes = append(a.Codes, k.Leave(now, member.Member, member.Instance))
		}
		answer(a)
	}
	g.tellClassic(ctx)
}

// tellClassic tells the coordinator when the first member comes or the last one goes.
// Without that, a group of which nothing is in the log would not be listed.
func (g *groupActor) tellClassic(ctx actor.Context) {
	if live := g.classic.Live(); live != g.classicTold {
		g.classicTold = live
		ctx.Send(ctx.Parent(), &classicLives{group: g.name, live: live})
	}
}

// classicLive reports whether members of the classic protocol have the group.
func (g *groupActor) classicLive() bool { return g.classic != nil && g.classic.Live() }

// errOtherProtocol refuses a consumer of HTTP while the group belongs to Kafka clients.
func (g *groupActor) errOtherProtocol() *protocol.Error {
	return protocol.Errorf(protocol.CodeGroupProtocol, "group %q has members that speak Kafka's protocol: use another group, or wait until they have left", g.name)
}

// classicCommit commits offsets of a member, or, while there are no members at all, of
// anybody.
func (g *groupActor) classicCommit(ctx actor.Context, m *routing.Classic) {
	c := m.Commit
	// Who may is decided by what is only in memory here; that the offsets last is the log's
	// affair.
	code := g.classic.MayCommit(g.now(), c.Member, c.Instance, c.Generation)
	if code == classic.None && (g.isQueue() || c.Member == "" && g.state.Live(g.now())) {
		code = classic.UnknownMemberID
	}
	if code != classic.None {
		m.Reply.Put(routing.ClassicAnswer{Code: code})
		return
	}
	recs, err := g.state.DecideForeignCommit(g.now(), c.Offsets)
	switch {
	case err != nil && err.Code == protocol.CodeLimitExceeded:
		m.Reply.Put(routing.ClassicAnswer{Code: kafkaOffsetTooLarge})
	case err != nil:
		m.Reply.Put(routing.ClassicAnswer{Code: kafkaInvalidCommitSizes})
	default:
		g.advance(ctx, recs, func() { m.Reply.Put(routing.ClassicAnswer{}) }, m.Refuse)
	}
}

// dropOffsets removes committed offsets while nobody is a member.
func (g *groupActor) dropOffsets(ctx actor.Context, m *routing.Classic) {
	if g.classicLive() || g.state.Live(g.now()) {
		m.Reply.Put(routing.ClassicAnswer{Code: kafkaGroupSubscribed})
		return
	}
	g.advance(ctx, g.state.DecideDropOffsets(m.Drop), func() { m.Reply.Put(routing.ClassicAnswer{}) }, m.Refuse)
}

// confirmClassic describes the group once it is sure that this coordinator still leads.
func (g *groupActor) confirmClassic(ctx actor.Context, m *routing.Classic) {
	self, system := ctx.Self(), g.env.System
	ctx.Send(ctx.Parent(), &ConfirmRead{Done: func(err *protocol.Error) {
		system.Root.Send(self, &classicConfirmed{read: m, err: err})
	}})
}

// classicConfirmed lets a description go on.
type classicConfirmed struct {
	read *routing.Classic
	err  *protocol.Error
}

// describeClassic answers on what is known now, which may be newer than what was asked for.
// The actor may have resigned while it waited for the confirmation.
func (g *groupActor) describeClassic(m *classicConfirmed) {
	switch {
	case m.err != nil || g.resigned:
		m.read.Refuse(protocol.ErrNotLeader)
	case !g.state.Known() && !g.classicLive():
		m.read.Refuse(protocol.Errorf(protocol.CodeGroupNotFound, "group %q does not exist", g.name))
	default:
		m.read.Reply.Put(routing.ClassicAnswer{Group: g.classic.Describe()})
	}
}

// withClassic makes the description of a group one of its Kafka members, if it has any.
func (g *groupActor) withClassic(info *protocol.GroupInfo) {
	if !g.classicLive() {
		return
	}
	d := g.classic.Describe()
	info.ProtocolType = d.ProtocolType
	info.Protocol, info.Generation, info.State = "kafka", protocol.Generation(d.Generation), group.StateRebalancing
	if g.classic.State() == classic.Stable {
		info.State = group.StateStable
	}
	if info.CreatedAt.UnixMilli() == 0 {
		info.CreatedAt = g.env.Now().UTC()
	}
	info.Members, info.LapsedMembers = []protocol.MemberInfo{}, nil
	for _, member := range d.Members {
		m := protocol.MemberInfo{
			MemberID: member.ID, SessionTimeoutMs: member.SessionMs, LeaseExpiresAt: time.UnixMilli(member.Expires).UTC(),
			Topics: []string{}, Assignment: []protocol.TopicPartition{},
		}
		if d.ProtocolType == classic.ConsumerProtocol {
			m.Topics, m.Assignment = classic.SubscribedTopics(member.Metadata), classic.AssignedPartitions(member.Assignment)
		}
		info.Members = append(info.Members, m)
	}
}
