package peers

import (
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// LocalLeader is the leadership of a replica in this process: what is asked of it goes to
// its mailbox. It is safe for concurrent use.
type LocalLeader struct {
	*routing.Leadership
	pid  *actor.PID
	root *actor.RootContext
	view atomic.Pointer[logfile.View]

	groups     sync.Map // *actor.PID by name, see Direct
	group      *Group
	voters     atomic.Pointer[voters]
	confirming atomic.Bool
}

// What a leader's replica gets as messages.
type (
	// ParkWaiter parks a waiter until the high watermark passes Offset.
	ParkWaiter struct {
		Waiter *protocol.Waiter
		Offset protocol.Offset
	}
	// UnparkWaiter takes a waiter out again.
	UnparkWaiter struct{ Waiter *protocol.Waiter }
)

// Refuse answers for a replica that has ended, see supervise.Refuse.
func (m *ParkWaiter) Refuse(*protocol.Error) { m.Waiter.Wake() }

// NewLocalLeader is the leadership of the replica with a mailbox in a term. Show and
// SetVoters must be called before it is published.
func (g *Group) NewLocalLeader(root *actor.RootContext, pid *actor.PID, broker int, term uint64) *LocalLeader {
	l := &LocalLeader{pid: pid, root: root, group: g}
	l.Leadership = &routing.Leadership{Leader: l, Broker: broker, Term: term}
	return l
}

// PID is the replica's mailbox.
func (l *LocalLeader) PID() *actor.PID { return l.pid }

// Show replaces what readers see.
func (l *LocalLeader) Show(v *logfile.View) { l.view.Store(v) }

// SetVoters replaces the members that decide, and those that decided before a joint change
// that is under way. They must not change any more.
func (l *LocalLeader) SetVoters(incoming, outgoing []uint64) {
	l.voters.Store(&voters{incoming, outgoing})
}

// Produce implements routing.Leader.
func (l *LocalLeader) Produce(req *protocol.ProduceRequest) { l.root.Send(l.pid, req) }

// View implements routing.Leader.
func (l *LocalLeader) View() (routing.LogView, *protocol.Error) {
	// The check comes before the view is loaded: a view that is newer than the check was
	// published by a leader that had a majority for it.
	switch l.group.touches(l.Term, l.voters.Load()) {
	case InTouch:
		return l.view.Load(), nil
	case Unconfirmed:
		if l.confirming.CompareAndSwap(false, true) { // what is asked of a majority makes it answer
			l.Ask(&routing.ConfirmEnd{Reply: protocol.NewFuture[routing.LogEnd]().Then(func() { l.confirming.Store(false) })})
		}
	}
	return nil, errOutOfTouch
}

// errOutOfTouch refuses a read at a leader that may have a successor which it does
// not know of, and whose records it would not show.
var errOutOfTouch = protocol.Errorf(protocol.CodeNoLeader, "the partition's leader is not in touch with a majority of its replicas")

// LogBytes implements routing.Leader.
func (l *LocalLeader) LogBytes() int64 { return l.view.Load().Size() }

// Register implements routing.Leader.
func (l *LocalLeader) Register(w *protocol.Waiter, offset protocol.Offset) {
	l.root.Send(l.pid, &ParkWaiter{Waiter: w, Offset: offset})
}

// Unregister implements routing.Leader.
func (l *LocalLeader) Unregister(w *protocol.Waiter) { l.root.Send(l.pid, &UnparkWaiter{Waiter: w}) }

// Direct has what is asked of a consumer group go to its own mailbox, without a way through
// the replica's; nil: not any more. A mailbox that has ended refuses, as a replica does that
// does not lead any more. On nil, which nobody asks, it does nothing.
func (l *LocalLeader) Direct(group string, to *actor.PID) {
	switch {
	case l == nil:
	case to == nil:
		l.groups.Delete(group)
	default:
		l.groups.Store(group, to)
	}
}

// Ask implements routing.Leader.
func (l *LocalLeader) Ask(q routing.Question) {
	if m, ok := q.(*routing.GroupRequest); ok {
		if to, ok := l.groups.Load(m.Group); ok {
			l.root.Send(to.(*actor.PID), m.Msg)
			return
		}
	}
	l.root.Send(l.pid, q)
}
