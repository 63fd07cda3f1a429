package actors

import (
	"github.com/asynkron/protoactor-go/actor"

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
	case *scrubEnded:
		p.scrubEnded(ctx, m)
	case *framesAsked:
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

// onDamage tells the actor of damage that any reader of its log meets.
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

func (p *partitionActor) end(ctx actor.Context, fault replica.Fault, cause error) {
	p.life = partitionFailed
	p.withdraw(ctx)
	ctx.Send(ctx.Parent(), &replicaDown{Key: p.spec.key(), Replica: p.spec.id.ReplicaID, Cause: cause, Fault: fault})
	ctx.Poison(ctx.Self()) // not Stop: what is in the mailbox wants an answer
}
