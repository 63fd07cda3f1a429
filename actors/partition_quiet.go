package actors

import "github.com/asynkron/protoactor-go/actor"

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
	m := &fallQuiet{Leader: p.spec.id.ReplicaID, Term: p.ref.Term, Index: p.rep.AppliedIndex()}
	for _, pid := range p.spec.group.others(p.spec.id.ReplicaID) {
		ctx.Send(pid, m)
	}
	p.quiet = true
}

// idle reports whether this replica leads, everything is applied everywhere,
// and nothing waits for anything.
func (p *partitionActor) idle() bool {
	if p.ref == nil || len(p.want) == 0 || p.want[0].ReplicaID != p.spec.id.ReplicaID ||
		!p.rep.HasMembers(p.want) || p.replacing && !p.rep.MembersProven() {
		return false
	}
	return p.rep.Quiescent(p.spec.group.reachable)
}

// followQuiet stops a follower's clock, if it agrees with its leader.
func (p *partitionActor) followQuiet(m *fallQuiet) {
	if p.life == partitionRunning && p.rep.AgreesWith(m.Leader, m.Term, m.Index) {
		p.quiet = true
	}
}

// wake starts raft's clock again.
func (p *partitionActor) wake() {
	p.quiet = false
	p.idleTicks = 0
}
