package actors

import (
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/peers"
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

	group  *peers.Group
	placed int // replicas of the partition
}

func newLocalLeader(ctx actor.Context, spec *partitionSpec, term uint64) *localLeader {
	l := &localLeader{pid: ctx.Self(), root: ctx.ActorSystem().Root, group: spec.group, placed: spec.route.Placed}
	l.Leadership = &routing.Leadership{Leader: l, Broker: spec.id.Broker, Term: term}
	return l
}

// Produce implements routing.Leader.
func (l *localLeader) Produce(req *protocol.ProduceRequest) { l.root.Send(l.pid, req) }

// View implements routing.Leader.
func (l *localLeader) View() (routing.LogView, *protocol.Error) {
	if !l.group.Touches(l.placed) {
		return nil, errOutOfTouch
	}
	return l.view.Load(), nil
}

// errOutOfTouch refuses a read at a leader that may have a successor which it does
// not know of, and whose records it would not show.
var errOutOfTouch = protocol.Errorf(protocol.CodeNoLeader, "the partition's leader is not in touch with a majority of its replicas")

// LogBytes implements routing.Leader.
func (l *localLeader) LogBytes() int64 { return l.view.Load().Size() }

// Register implements routing.Leader.
func (l *localLeader) Register(w *protocol.Waiter, offset protocol.Offset) {
	l.root.Send(l.pid, &parkWaiter{Waiter: w, Offset: offset})
}

// Unregister implements routing.Leader.
func (l *localLeader) Unregister(w *protocol.Waiter) { l.root.Send(l.pid, &unparkWaiter{Waiter: w}) }

// Ask implements routing.Leader.
func (l *localLeader) Ask(q routing.Question) { l.root.Send(l.pid, q) }
