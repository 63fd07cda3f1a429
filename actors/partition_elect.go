package actors

import (
	"ottla/actors/election"

	"github.com/asynkron/protoactor-go/actor"
)

// view is what an election looks at.
func (p *partitionActor) view() election.View {
	return election.View{Replica: p.rep, Want: p.want, Reaches: p.spec.group.Reachable, Fit: p.spec.group.MayLead}
}

// electing has the replica do its part in finding a leader, and tells the others where it
// stands. What it says may be outdated or lost; it only makes the best replica campaign first,
// and raft decides.
func (p *partitionActor) electing(ctx actor.Context, part func(election.View) *election.Leaderless) {
	if p.life != partitionRunning || p.rep.Err() != nil {
		return
	}
	if said := part(p.view()); said != nil {
		p.spec.group.TellOthers(ctx, said.Replica, said)
	}
}

// handOver gives leadership to the best other replica.
func (p *partitionActor) handOver() {
	if p.rep.Leads() {
		to := p.rep.BestTransferee(p.want, p.spec.group.MayLead)
		// Where all nodes are drained or unfit, one that runs will do.
		if to == 0 {
			to = p.rep.BestTransferee(p.want, p.spec.group.Reachable)
		}
		p.rep.HandOver(to)
	}
}

// drainTick gives leadership away while this node is being drained, or its disk hangs or is
// full, if there is somebody at another node to take it. What a disk that hangs holds up is
// not waited for; where all nodes had trouble of late, one whose disk works will do.
func (p *partitionActor) drainTick() {
	switch {
	case p.env.draining.Load():
		p.rep.HandOver(p.rep.BestTransferee(p.want, p.spec.group.MayLead))
	case p.env.peers != nil && p.env.unfit():
		to := p.rep.BestTransferee(p.want, p.spec.group.MayLead)
		if to == 0 && !p.env.fitness.Works() {
			to = p.rep.BestTransferee(p.want, p.spec.group.MayReplace)
		}
		if p.rep.CaughtUp(to) {
			p.rep.HandOverNow(to)
		}
	}
}

// preferredTicks is how often a leader that is not the preferred one offers
// leadership to it, so that leaders spread over brokers again: 3 s at the
// default tick.
const preferredTicks = 30

func (p *partitionActor) preferredTick() {
	if !p.isTime(preferredTicks) || len(p.want) == 0 || !p.rep.HasMembers(p.want) {
		return
	}
	first := p.want[0]
	if first.ReplicaID != p.spec.id.ReplicaID && p.spec.group.MayLead(first.ReplicaID) && p.rep.CaughtUp(first.ReplicaID) {
		p.rep.HandOver(first.ReplicaID)
	}
}
