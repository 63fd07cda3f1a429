package actors

import (
	"github.com/asynkron/protoactor-go/actor"
)

// In one process nobody needs to wait for an election timeout: the directory
// of running replicas says at once who is there. The replica that placement
// names first among those running campaigns as soon as a majority runs;
// pre-vote and votes keep that safe, whatever the directory says.

// campaignIfFirst campaigns if nobody leads and this replica is the first of
// those running.
func (p *partitionActor) campaignIfFirst() {
	if p.rep == nil || p.closing || p.rep.leading != nil || !p.firstRunning() {
		return
	}
	if p.rep.leaderID != 0 && p.spec.group.reachable(p.rep.leaderID) {
		return
	}
	if p.outstanding > 0 {
		return // its vote may be on its way to the disk: a new term would void it
	}
	if p.spec.group.running() < len(p.rep.storage.conf.Voters)/2+1 {
		return
	}
	p.rep.campaign(p.rep.leaderID != 0)
}

// firstRunning reports whether this replica is a voter and no voter that
// placement prefers is running.
func (p *partitionActor) firstRunning() bool {
	voter := map[uint64]bool{}
	for _, id := range p.rep.storage.conf.Voters {
		voter[id] = true
	}
	if !voter[p.spec.id.ReplicaID] {
		return false
	}
	for _, w := range p.want {
		if w.ReplicaID == p.spec.id.ReplicaID {
			return true
		}
		if voter[w.ReplicaID] && p.spec.group.reachable(w.ReplicaID) {
			return false
		}
	}
	return true
}

// leaderlessTick repeats an attempt whose messages were lost, first on the next
// tick and then after twice as long each time: with many partitions and a slow
// disk, an election takes longer than a tick, and one that is begun anew before
// it ends never does. When the first replica cannot win (its log is behind),
// raft's own timeout lets others try.
func (p *partitionActor) leaderlessTick() {
	if p.rep.leaderID != 0 && (p.rep.leading != nil || p.spec.group.reachable(p.rep.leaderID)) {
		p.leaderless, p.nextTry = 0, 0
		return
	}
	p.leaderless++
	p.rep.forgetLeader()
	if p.leaderless >= p.nextTry && p.outstanding == 0 {
		p.nextTry = 2 * p.leaderless
		p.campaignIfFirst()
	}
}

// brokerGone reacts to the end of a broker that led: its followers forget it,
// so that they vote at once, and the first of them campaigns.
func (p *partitionActor) brokerGone(ctx actor.Context, broker int) {
	if p.rep == nil || p.closing || p.rep.leading != nil {
		return
	}
	for _, w := range p.want {
		if w.Broker == broker && w.ReplicaID == p.rep.leaderID {
			p.do(ctx, func() {
				p.rep.forgetLeader()
				p.campaignIfFirst()
			})
			return
		}
	}
}

// handOver lets the best other replica lead.
func (p *partitionActor) handOver() {
	if p.rep.leading != nil {
		p.rep.handOver(p.rep.bestHeir(p.want, p.spec.group.reachable))
	}
}

// preferredTicks is how often (3 s at the default tick) a leader that placement does not prefer
// offers leadership back, so that leaders spread over brokers again.
const preferredTicks = 30

func (p *partitionActor) preferredTick() {
	if p.ticks%preferredTicks != 0 || len(p.want) == 0 || !p.rep.settled(p.want) {
		return
	}
	first := p.want[0]
	if first.ReplicaID != p.spec.id.ReplicaID && p.spec.group.reachable(first.ReplicaID) && p.rep.caughtUp(first.ReplicaID) {
		p.rep.handOver(first.ReplicaID)
	}
}
