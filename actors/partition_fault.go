package actors

import (
	"errors"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/background"
	"ottla/actors/mending"
	"ottla/actors/replica"
	"ottla/logfile"
)

// damageFound says that a reader, or the scrub, met damaged bytes in the log of
// a running replica.
type damageFound struct{ Err error }

// damageMessage handles what is about damage; false for any other message.
func (p *partitionActor) damageMessage(ctx actor.Context, message any) bool {
	switch m := message.(type) {
	case *damageFound:
		p.damageFound(ctx, m)
	case *background.ScrubEnded:
		p.scrubEnded(ctx, m)
	case *mending.Asked:
		p.lend(m)
	default:
		return false
	}
	return true
}

// damageFound takes the replica out of service: what it holds cannot be
// trusted, and another one that can leads on. The one copy of a partition goes
// on with what can be read, as nobody could take over; what cannot be read
// fails, and readiness says so.
func (p *partitionActor) damageFound(ctx actor.Context, m *damageFound) {
	if p.life != partitionRunning || p.rep.Err() != nil {
		return
	}
	if len(p.want) == 1 && p.want[0].ReplicaID == p.spec.id.ReplicaID {
		if p.damaged {
			return // told already; each read of the damaged bytes says so anew
		}
		p.damaged = true
		p.log.Error("damage in the only copy of the partition", "error", m.Err)
		ctx.Send(ctx.Parent(), &replicaDown{
			Key: p.spec.key(), Replica: p.spec.id.ReplicaID, Cause: m.Err, Fault: replica.FaultDamage, Running: true,
		})
		return
	}
	p.do(ctx, func() { p.rep.Fail(m.Err) })
}

// onDamage tells the actor of damage that any reader of its log meets. Readers are on
// goroutines of their own, and their clients get an error; whether the replica goes on is
// decided here.
func (p *partitionActor) onDamage(ctx actor.Context, log *logfile.Log) {
	self, root := ctx.Self(), ctx.ActorSystem().Root
	log.OnDamage(func(err error) { root.Send(self, &damageFound{err}) })
}

// replicaFailed reports a final storage failure and ends the actor.
func (p *partitionActor) replicaFailed(ctx actor.Context) {
	if p.life != partitionRunning {
		return
	}
	p.log.Error("replica stops: its storage failed", "error", p.rep.Err())
	p.end(ctx, replica.RunFault(p.rep.Err()), p.rep.Err())
}

// end takes a failed replica out of service. The broker is told why: Terminated, which may be
// there first, says nothing.
func (p *partitionActor) end(ctx actor.Context, fault replica.Fault, cause error) {
	p.life = partitionFailed
	p.withdraw(ctx)
	ctx.Send(ctx.Parent(), &replicaDown{Key: p.spec.key(), Replica: p.spec.id.ReplicaID, Cause: cause, Fault: fault})
	ctx.Poison(ctx.Self()) // not Stop: what is in the mailbox wants an answer
}

// lend answers for a replica that runs, on a goroutine. Entries that are not
// committed, and so may still be truncated, are lent only while no write is under
// way: otherwise the entries read and the anchor that this replica vouches for
// could be of two different logs.
func (p *partitionActor) lend(m *mending.Asked) {
	copies := mending.Aside(p.spec.dir)
	var reader *logfile.FrameReader
	anchor := uint64(0)
	if m.Want.Checkpoint || m.Want.Parts != nil {
		// Neither a sound checkpoint nor a part ever changes, so the files may be in use.
		// They come before those put aside, which may be of a history that was given up.
		copies = append([]mending.Copy{{Path: p.spec.dir, Openings: new(atomic.Uint64)}}, copies...)
	} else if p.life == partitionRunning && (len(p.rep.PendingWrites()) == 0 || max(m.Want.Last, m.Want.Anchor.Index) <= p.rep.AppliedIndex()) {
		reader = p.file.Reader()
		anchor, _ = p.file.Term(m.Want.Anchor.Index)
	}
	fs, links, id, root := p.env.fs, p.spec.group.Links(), p.spec.id, p.env.system.Root
	go func() {
		var loans []logfile.Loan
		if reader != nil {
			if loan, err := reader.Lend(m.Want, anchor, mending.LendBytes); err == nil {
				loans = append(loans, loan)
			}
		}
		links.TellBroker(root, m.From, mending.Lend(fs, m, id, copies, loans))
	}()
}

// scrubTick begins a pass when one is due.
func (p *partitionActor) scrubTick(ctx actor.Context) {
	self, root := ctx.Self(), ctx.ActorSystem().Root
	p.scrub.Start(p.env.now(), p.env.scrubber, p.file.Scrub, func(m *background.ScrubEnded) { root.Send(self, m) })
}

// scrubEnded plans the next pass. Damage goes the way of damage that a reader
// meets; a disk that cannot be read is tried again with the next pass.
func (p *partitionActor) scrubEnded(ctx actor.Context, m *background.ScrubEnded) {
	if p.life != partitionRunning || !p.scrub.Ended(m, p.env.now(), p.env.scrubber) {
		return
	}
	var bad *logfile.CorruptError
	switch {
	case m.Err == nil:
	case errors.As(m.Err, &bad):
		p.log.Error("scrub found damage", "error", m.Err)
		p.damageFound(ctx, &damageFound{m.Err})
	default:
		p.log.Error("scrub cannot read the log", "error", m.Err)
	}
}
