package actors

import (
	"github.com/asynkron/protoactor-go/actor"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

// An idle partition falls quiet: its leader tells the followers, and none of
// them runs raft's clock, so that a thousand idle partitions send no
// heartbeats. Nobody can miss a dead leader by that: replicas of a broker that
// ends leave the directory of running ones, and everybody else is told. Any
// message of a peer, and anything to do, wakes a replica.

// quietTicks is how long a partition must have been idle: 3 s at the default tick.
const quietTicks = 30

// fallQuiet tells a follower that its leader has stopped its clock at this
// term and index.
type fallQuiet struct {
	Leader, Term, Index uint64
}

// quietTick counts idle ticks on a leader, and puts the partition to sleep.
func (p *partitionActor) quietTick(ctx actor.Context) {
	if !p.idle() {
		p.idleTicks = 0
		return
	}
	if p.idleTicks++; p.idleTicks < quietTicks {
		return
	}
	m := &fallQuiet{Leader: p.spec.id.ReplicaID, Term: p.rep.leading.term, Index: p.rep.applied}
	for _, pid := range p.spec.group.others(p.spec.id.ReplicaID) {
		ctx.Send(pid, m)
	}
	p.quiet = true
}

// idle reports whether this replica leads, everything is applied everywhere,
// and nothing waits for anything.
func (p *partitionActor) idle() bool {
	r := p.rep
	l := r.leading
	if l == nil || p.ref == nil || l.moving || len(l.queue)+len(l.rounds)+len(l.reads)+len(r.writes) > 0 ||
		r.applied != r.log.LastIndex() || !r.settled(p.want) || p.replacing && !r.membersProven() || len(p.want) == 0 || p.want[0].ReplicaID != p.spec.id.ReplicaID {
		return false
	}
	even := true
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		even = even && (id == p.spec.id.ReplicaID || pr.Match == r.applied && p.spec.group.reachable(id))
	})
	return even
}

// followQuiet stops a follower's clock, if it agrees with its leader.
func (p *partitionActor) followQuiet(m *fallQuiet) {
	r := p.rep
	if r == nil || p.closing || r.leading != nil || r.leaderID != m.Leader || r.applied != m.Index || len(r.writes) > 0 {
		return
	}
	if r.rn.BasicStatus().Term == m.Term {
		p.quiet = true
	}
}

// wake starts raft's clock again.
func (p *partitionActor) wake() {
	p.quiet = false
	p.idleTicks = 0
}
