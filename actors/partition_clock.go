package actors

import (
	"ottla/actors/election"

	"github.com/asynkron/protoactor-go/actor"
)

// tick drives raft's clock, retries of writes, retention and membership changes.
func (p *partitionActor) tick(ctx actor.Context, at int) {
	p.spec.ticks.Take()
	if p.life != partitionRunning {
		return
	}
	// Ticks are counted by the broker, because a replica that rests gets one of ten. What
	// happens every so many ticks looks at how many have passed (isTime).
	if p.began == 0 {
		p.began = at - 1
	}
	p.ticked, p.ticks = p.ticks, at-p.began
	p.retryWrites(ctx)
	p.coord.ExpiryTick(ctx)
	p.compactTick(ctx)
	p.scrubTick(ctx)
	if p.member.Quiet() && p.ref != nil && (p.env.draining.Load() || p.env.unfit()) {
		p.member.Wake()
	}
	// Raft's clock stands still, and with it elections and heartbeats. Time goes on for what
	// is stored.
	if p.member.Quiet() {
		p.do(ctx, func() {
			p.rollTick()
			p.quietRetention()
		})
		return
	}
	p.do(ctx, func() {
		p.rep.Tick()
		p.rollTick()
		p.electing(ctx, p.member.Tick)
		if p.ref != nil {
			p.lags()
			// Only one that serves changes the membership: a leader that has committed nothing
			// in its term may not know of the change before.
			p.rep.ReconcileMembers(p.want)
			// A leader that is to leave hands over first: then its successor can take its
			// place in a single change.
			if p.rep.LeavesLeading(p.want) {
				p.handOver()
			}
			p.settleMembers(ctx)
			p.preferredTick()
			p.drainTick()
			p.retentionTick()
		}
	})
	p.quietTick(ctx)
	p.answerHandOver(ctx)
}

// settleMembers makes sure that the members of a group that has just got them
// will still be its members after a power cut, and then tells the cluster.
func (p *partitionActor) settleMembers(ctx actor.Context) {
	if p.replacing && p.rep.ProveMembers(p.want) {
		p.membersChanged(ctx)
	}
}

// isTime reports whether it is time for something that happens every so many ticks.
func (p *partitionActor) isTime(every int) bool { return p.ticks/every > p.ticked/every }

// quietRetention looks for old segments of a partition that is otherwise idle;
// a proposal wakes it.
func (p *partitionActor) quietRetention() {
	if p.ref == nil {
		return
	}
	p.retentionTick()
	if p.rep.Gathered() {
		p.member.Wake()
	}
}

// rollTick seals the active segment when its oldest records are as old as retention
// lets them get, or as compaction should take up: else those of a partition that is
// written to rarely would stay for ever.
func (p *partitionActor) rollTick() {
	if !p.isTime(p.env.ticks(p.env.opt.RetentionCheckInterval)) {
		return
	}
	p.rep.RemoveOld()
	if p.spec.internal() {
		return
	}
	if p.file.RollDue(p.env.clock.Millis(), p.settings.RollAfterMs()) {
		p.rep.Roll()
	}
}

// retentionTick proposes a new log start when old segments are due. The leader decides for
// all: each replica removes files when the entry with the new start is committed, so that no
// two have different first offsets for good.
func (p *partitionActor) retentionTick() {
	if !p.isTime(p.env.ticks(p.env.opt.RetentionCheckInterval)) {
		return
	}
	p.rep.CorrectTime()
	if p.compacts() {
		p.askCompaction()
		return
	}
	start := p.file.RetentionStart(p.env.clock.Millis(), p.settings.RetentionMs, p.settings.RetentionBytes, p.rep.AppliedIndex())
	if start > p.file.LogStart() {
		p.log.Info("retention moves the log start", "from", p.file.LogStart(), "to", start)
		p.rep.ProposeLogStart(start)
	}
}

// An idle partition falls quiet: its leader tells the followers, and none of
// them runs raft's clock, so that a thousand idle partitions send no
// heartbeats. Nobody can miss a dead leader by that: replicas of a broker that
// ends leave the directory of running ones, and everybody else is told. Any
// message of a peer, and anything to do, wakes a replica.

// quietTick puts the partition to sleep when it has been idle long enough.
func (p *partitionActor) quietTick(ctx actor.Context) {
	if p.member.Idle(p.idle()) {
		m := &election.FallQuiet{Leader: p.spec.id.ReplicaID, Term: p.ref.Term, Index: p.rep.AppliedIndex()}
		p.spec.group.TellOthers(ctx, p.spec.id.ReplicaID, m)
	}
}

// idle reports whether this replica leads, everything is applied everywhere, and nothing waits
// for anything. One that is not preferred, whose node is drained, or whose members are not
// settled has something to do on a later tick, and keeps its clock.
func (p *partitionActor) idle() bool {
	if p.ref == nil || p.env.draining.Load() || len(p.want) == 0 || p.want[0].ReplicaID != p.spec.id.ReplicaID ||
		!p.rep.HasMembers(p.want) || p.replacing && !p.rep.MembersProven() {
		return false
	}
	return p.rep.Quiescent(p.spec.group.Reachable)
}

// followQuiet stops a follower's clock, if it agrees with its leader. It agrees only if it has
// the same log and follows that leader in that term: otherwise it needs its clock to find out
// what it lacks.
func (p *partitionActor) followQuiet(m *election.FallQuiet) {
	if p.life == partitionRunning {
		p.member.Follow(m, p.view())
	}
}
