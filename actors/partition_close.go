package actors

import "github.com/asynkron/protoactor-go/actor"

// partitionLife says where a replica's actor stands.
type partitionLife int

// The states, in the order in which an actor goes through them. From running it
// goes to closing or to failed, and from either it ends.
const (
	partitionOpening partitionLife = iota // its log is being opened
	partitionRunning
	partitionClosing // a clean end was asked for: the last writes and a checkpoint go to disk
	partitionFailed  // its storage failed; the broker has been told, the actor ends
)

// closing is a clean end under way. The final writes are staged once everything
// that was under way before is on disk.
type closing struct {
	replyTo     *actor.PID // nil: nobody asked
	finalStaged bool
}

// close begins a clean end: every waiting request is answered, the writes at
// the disk are awaited, and a checkpoint is written that covers all of them.
func (p *partitionActor) close(ctx actor.Context, m *closePartition) {
	p.closing.replyTo = m.ReplyTo
	if p.life != partitionRunning {
		p.closed(ctx)
		return
	}
	p.withdraw(ctx)
	p.life = partitionClosing
	p.unregister(ctx)
	p.rep.Close()
	p.carryOut(ctx)
	p.continueClosing(ctx)
}

func (p *partitionActor) continueClosing(ctx actor.Context) {
	if p.life != partitionClosing {
		return
	}
	if p.rep.Err() != nil || p.diskFull {
		p.closed(ctx)
		return
	}
	if len(p.rep.PendingWrites()) > 0 {
		return
	}
	if p.closing.finalStaged {
		p.closed(ctx)
		return
	}
	p.closing.finalStaged = true
	p.rep.StageFinal()
	p.carryOut(ctx)
}

func (p *partitionActor) closed(ctx actor.Context) {
	if p.closing.replyTo != nil {
		ctx.Send(p.closing.replyTo, &partitionClosed{Key: p.spec.key()})
	}
	ctx.Poison(ctx.Self())
}

// stopping is the last thing the actor does, also after a panic: every waiting
// request is answered. After a panic any of the state may be broken, so each
// step is tried even where another panics.
func (p *partitionActor) stopping(ctx actor.Context) {
	attempt(p.log, func() { p.withdraw(ctx) })
	attempt(p.log, func() { p.unregister(ctx) })
	attempt(p.log, p.stopCompaction)
	p.endScrub()
	if p.rep != nil {
		attempt(p.log, func() { p.rep.Abandon(p.due) })
		attempt(p.log, p.rep.Close)
	}
	if p.file != nil {
		attempt(p.log, func() {
			if err := p.file.Close(); err != nil {
				p.log.Warn("close log", "error", err)
			}
		})
	}
}

func (p *partitionActor) unregister(ctx actor.Context) {
	for _, pid := range p.spec.group.register(p.spec.id.ReplicaID, nil) {
		ctx.Send(pid, &peersChanged{})
	}
}
