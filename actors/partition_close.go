package actors

import "github.com/asynkron/protoactor-go/actor"

// Close begins a clean end: everyone who waits is answered, what raft handed
// to the disk is awaited, and a checkpoint vouches for all of it.
func (p *partitionActor) close(ctx actor.Context, m *closePartition) {
	p.closeReply = m.ReplyTo
	if p.rep == nil || p.closing {
		p.closed(ctx)
		return
	}
	p.withdraw(ctx)
	p.closing = true
	p.unregister(ctx)
	p.rep.Close()
	p.carryOut(ctx)
	p.continueClosing(ctx)
}

func (p *partitionActor) continueClosing(ctx actor.Context) {
	if !p.closing || p.closeReply == nil || p.rep == nil {
		return
	}
	if p.rep.Err() != nil || p.diskFull {
		p.closed(ctx)
		return
	}
	if len(p.rep.PendingWrites()) > 0 {
		return
	}
	if p.finalWritten {
		p.closed(ctx)
		return
	}
	p.finalWritten = true
	p.rep.StageFinal()
	p.carryOut(ctx)
}

func (p *partitionActor) closed(ctx actor.Context) {
	if p.closeReply != nil {
		ctx.Send(p.closeReply, &partitionClosed{Key: p.spec.key()})
	}
	ctx.Poison(ctx.Self())
}

// stopping is the last thing the actor does, also after a panic: whoever waits
// is answered. After a panic nothing is sure to be sound, so every step is
// tried for itself.
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
