package actors

import (
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// localLeader is the leadership of a replica in this process: what is asked of
// it goes to its mailbox.
type localLeader struct {
	*routing.Leadership
	pid  *actor.PID
	root *actor.RootContext
	view atomic.Pointer[logfile.View]
}

func newLocalLeader(ctx actor.Context, broker int, term uint64) *localLeader {
	l := &localLeader{pid: ctx.Self(), root: ctx.ActorSystem().Root}
	l.Leadership = &routing.Leadership{Leader: l, Broker: broker, Term: term}
	return l
}

// Produce implements routing.Leader.
func (l *localLeader) Produce(req *protocol.ProduceRequest) { l.root.Send(l.pid, req) }

// View implements routing.Leader.
func (l *localLeader) View() *logfile.View { return l.view.Load() }

// Register implements routing.Leader.
func (l *localLeader) Register(w *protocol.Waiter, offset protocol.Offset) {
	l.root.Send(l.pid, &parkWaiter{Waiter: w, Offset: offset})
}

// Unregister implements routing.Leader.
func (l *localLeader) Unregister(w *protocol.Waiter) { l.root.Send(l.pid, &unparkWaiter{Waiter: w}) }

// Ask implements routing.Leader.
func (l *localLeader) Ask(q routing.Question) { l.root.Send(l.pid, q) }
