package actors

import (
	"cmp"
	"slices"

	"ottla/actors/replica"
	"ottla/protocol"

	"github.com/asynkron/protoactor-go/actor"
)

// Within one process nobody needs to wait for an election timeout. The list of
// running replicas says at once which are there, and replicas without a leader
// tell each other how far their logs reach. Of those that can win, the one first
// in placement campaigns as soon as it knows that it is the one. Pre-vote and
// votes keep this safe even where a replica is told something wrong.

// election is what a replica without a leader knows of the others without one.
type election struct {
	open    bool                        // this replica has no leader
	known   map[uint64]replica.Position // of replicas that have none either
	ticks   int                         // since it has none
	nextTry int                         // the value of ticks at which to campaign again
}

// leaderless tells another replica that this one has no leader, so would vote,
// and how far its log reaches.
type leaderless struct {
	Replica uint64
	Last    replica.Position
}

// standTicks is how long a replica gives each one that should lead rather than
// itself: 300 ms at the default tick.
const standTicks = 3

// hasLeader reports whether a running replica is known to lead.
func (p *partitionActor) hasLeader() bool {
	return p.rep.Leads() || p.rep.Leader() != 0 && p.spec.group.reachable(p.rep.Leader())
}

// seekLeader begins an election, or goes on with one when replicas came or
// went: all others hear where this one stands.
func (p *partitionActor) seekLeader(ctx actor.Context) {
	if p.life != partitionRunning || p.rep.Err() != nil || p.hasLeader() {
		return
	}
	p.wake()
	if !p.election.open {
		p.election = election{open: true, known: map[uint64]replica.Position{}}
	}
	p.rep.ForgetLeader()
	m := &leaderless{Replica: p.spec.id.ReplicaID, Last: p.rep.LastPosition()}
	p.spec.group.tellOthers(ctx, m.Replica, m)
	p.campaignIfBest()
}

// otherLeaderless hears where another replica stands.
func (p *partitionActor) otherLeaderless(ctx actor.Context, m *leaderless) {
	if p.life != partitionRunning || p.rep.Err() != nil || p.hasLeader() {
		return
	}
	if !p.election.open {
		p.seekLeader(ctx)
	}
	p.election.known[m.Replica] = m.Last
	p.campaignIfBest()
}

// leaderSeen looks at the leader that raft has learned of. It may be one that
// is gone, whose last message was still in the mailbox: it moved this log.
func (p *partitionActor) leaderSeen(ctx actor.Context) {
	if p.hasLeader() {
		p.election = election{}
		return
	}
	p.seekLeader(ctx)
}

func (p *partitionActor) campaignIfBest() {
	if p.rank() == 0 && !p.rep.Campaigning() && !p.rep.VotePending() {
		p.election.nextTry = max(p.election.nextTry, p.election.ticks+2)
		p.rep.Campaign(false)
	}
}

// rank is how many running voters should rather campaign than this one: those
// with a longer log, those as good that placement prefers, and those that have
// not said where they stand, who may have a leader. Negative when this one
// cannot win: it has no vote, or too few voters run.
func (p *partitionActor) rank() int {
	voters, outgoing := p.rep.Voters()
	self := p.spec.id.ReplicaID
	if !slices.Contains(voters, self) && !slices.Contains(outgoing, self) ||
		!p.majorityRuns(voters) || !p.majorityRuns(outgoing) {
		return -1
	}
	mine, better := p.rep.LastPosition(), 0
	count := func(id uint64) {
		if id == self || !p.spec.group.reachable(id) {
			return
		}
		theirs, known := p.election.known[id]
		if !known || cmp.Or(theirs.Compare(mine), p.preference(self)-p.preference(id)) > 0 {
			better++
		}
	}
	for _, id := range voters {
		count(id)
	}
	for _, id := range outgoing {
		if !slices.Contains(voters, id) {
			count(id)
		}
	}
	return better
}

// preference is a replica's place in what placement prefers, the first one 0.
func (p *partitionActor) preference(replica uint64) int {
	i := slices.IndexFunc(p.want, func(w protocol.PlacedReplica) bool { return w.ReplicaID == replica })
	if i < 0 {
		return len(p.want) + int(replica)
	}
	return i
}

// majorityRuns reports whether a majority of some voters runs; no voters are
// no condition.
func (p *partitionActor) majorityRuns(voters []uint64) bool {
	running := 0
	for _, id := range voters {
		if id == p.spec.id.ReplicaID || p.spec.group.reachable(id) {
			running++
		}
	}
	return len(voters) == 0 || running >= len(voters)/2+1
}

// leaderlessTick repeats an attempt whose messages were lost, after twice as
// long each time: with many partitions and a slow disk, an election takes
// longer than a tick, and one that is begun anew before it ends never does.
// When those that should lead do not come to it, the next in rank tries.
func (p *partitionActor) leaderlessTick(ctx actor.Context) {
	if p.hasLeader() {
		p.election = election{}
		return
	}
	if !p.election.open {
		p.seekLeader(ctx)
		return
	}
	e := &p.election
	e.ticks++
	if e.ticks < e.nextTry || p.rep.VotePending() {
		return
	}
	if rank := p.rank(); rank >= 0 && e.ticks >= rank*standTicks {
		e.nextTry = 2 * e.ticks
		p.rep.Campaign(false)
	}
}

// handOver gives leadership to the best other replica.
func (p *partitionActor) handOver() {
	if p.rep.Leads() {
		to := p.rep.BestTransferee(p.want, p.spec.group.mayLead)
		if to == 0 {
			to = p.rep.BestTransferee(p.want, p.spec.group.reachable)
		}
		p.rep.HandOver(to)
	}
}

// drainTick gives leadership away while this node is being drained, if there is
// somebody to take it.
func (p *partitionActor) drainTick() {
	if p.env.draining.Load() {
		p.rep.HandOver(p.rep.BestTransferee(p.want, p.spec.group.mayLead))
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
	if first.ReplicaID != p.spec.id.ReplicaID && p.spec.group.mayLead(first.ReplicaID) && p.rep.CaughtUp(first.ReplicaID) {
		p.rep.HandOver(first.ReplicaID)
	}
}
