package actors

import (
	"ottla/actors/election"

	"github.com/asynkron/protoactor-go/actor"
)

// hasLeader reports whether a running replica is known to lead.
func (p *partitionActor) hasLeader() bool {
	return p.rep.Leads() || p.rep.Leader() != 0 && p.spec.group.Reachable(p.rep.Leader())
}

// seekLeader begins an election, or goes on with one when replicas came or
// went: all others hear where this one stands.
func (p *partitionActor) seekLeader(ctx actor.Context) {
	if p.life != partitionRunning || p.rep.Err() != nil || p.hasLeader() {
		return
	}
	p.wake()
	p.election.Begin()
	p.rep.ForgetLeader()
	m := &election.Leaderless{Replica: p.spec.id.ReplicaID, Last: p.rep.LastPosition()}
	p.spec.group.TellOthers(ctx, m.Replica, m)
	p.campaignIfBest()
}

// otherLeaderless hears where another replica stands.
func (p *partitionActor) otherLeaderless(ctx actor.Context, m *election.Leaderless) {
	if p.life != partitionRunning || p.rep.Err() != nil || p.hasLeader() {
		return
	}
	if !p.election.Open() {
		p.seekLeader(ctx)
	}
	p.election.Heard(m)
	p.campaignIfBest()
}

// leaderSeen looks at the leader that raft has learned of. It may be one that
// is gone, whose last message was still in the mailbox: it moved this log.
func (p *partitionActor) leaderSeen(ctx actor.Context) {
	if p.hasLeader() {
		p.election.End()
		return
	}
	p.seekLeader(ctx)
}

func (p *partitionActor) campaignIfBest() {
	if !p.rep.Campaigning() && !p.rep.VotePending() && p.election.Best(p.electorate()) {
		p.rep.Campaign(false)
	}
}

func (p *partitionActor) electorate() election.Group {
	g := election.Group{Self: p.spec.id.ReplicaID, Want: p.want, Last: p.rep.LastPosition(), Reaches: p.spec.group.Reachable}
	g.Voters, g.Outgoing = p.rep.Voters()
	return g
}

func (p *partitionActor) leaderlessTick(ctx actor.Context) {
	switch {
	case p.hasLeader():
		p.election.End()
	case !p.election.Open():
		p.seekLeader(ctx)
	case p.election.Tick(p.rep.VotePending(), p.electorate):
		p.rep.Campaign(false)
	}
}

// handOver gives leadership to the best other replica.
func (p *partitionActor) handOver() {
	if p.rep.Leads() {
		to := p.rep.BestTransferee(p.want, p.spec.group.MayLead)
		if to == 0 {
			to = p.rep.BestTransferee(p.want, p.spec.group.Reachable)
		}
		p.rep.HandOver(to)
	}
}

// drainTick gives leadership away while this node is being drained, if there is
// somebody to take it.
func (p *partitionActor) drainTick() {
	if p.env.draining.Load() {
		p.rep.HandOver(p.rep.BestTransferee(p.want, p.spec.group.MayLead))
	}
}

// preferredTicks is how often a leader that is not the preferred one offers
// leadership to it, so that leaders spread over brokers again: 3 s at the
// default tick.
const preferredTicks = 30

func (p *partitionActor) preferredTick() {
	if p.ticks%preferredTicks != 0 || len(p.want) == 0 || !p.rep.HasMembers(p.want) {
		return
	}
	first := p.want[0]
	if first.ReplicaID != p.spec.id.ReplicaID && p.spec.group.MayLead(first.ReplicaID) && p.rep.CaughtUp(first.ReplicaID) {
		p.rep.HandOver(first.ReplicaID)
	}
}
