package actors

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/disk"
	"ottla/protocol"
)

// A disk that does not end a write and sync within a deadline counts as failed,
// and so do the brokers on it: they report it, the process is not ready, and new
// records are refused at once instead of waiting for their timeout. The outcome
// of records proposed before stays unknown until the disk is back. Nothing is
// closed, because closing would wait for the disk; if the sync ends after all,
// everything goes on, and an error of it is handled like any other.
//
// One Disk serves all brokers of the process, so no other broker of it could take
// over leadership. In a fleet those of other nodes do, long before that (disk.Fitness);
// alone it stays where it is, and committed records can be read meanwhile.

// diskChanged says that the disk hangs, or does not any more.
type diskChanged struct{}

// diskHangs is what Disk calls, on its own goroutine. It only notes why, for those who
// propose, and tells the clusters: the disk's goroutine must go on.
func (e *environment) diskHangs(m disk.Stalled) {
	var why *string
	if !m.Over {
		s := fmt.Sprintf("the disk of %s has not ended a write and sync within %s", m.Dir, m.For.Round(time.Millisecond))
		why = &s
	} else {
		e.log.Info("the disk goes on", "dir", m.Dir, "after", m.For)
	}
	e.stall.Store(why)
	if node := e.node.Load(); node != nil {
		e.system.Root.Send(node, &diskChanged{})
	}
}

// stalled is why nothing can be written at the moment, nil if it can.
func (e *environment) stalled() *protocol.Error {
	why := e.stall.Load()
	if why == nil {
		return nil
	}
	return protocol.Errorf(protocol.CodeNotEnoughReplicas, "%s", *why)
}

// fitnessChanged is told that the disk is not fit for leaders any more, and why, or with ""
// that it is again. Leaders give leadership to other nodes meanwhile (drainTick).
func (e *environment) fitnessChanged(why string, turned bool) {
	switch {
	case !turned:
	case why != "":
		e.log.Warn("leadership is given to other nodes that can take it", "reason", why)
	default:
		e.log.Info("the disk is fit for leaders again")
	}
	if node := e.node.Load(); node != nil {
		e.system.Root.Send(node, &diskChanged{})
	}
}

// unfit reports whether leaders should be at other nodes.
func (e *environment) unfit() bool {
	return e.fitness.Reason() != "" || e.clockProblem() != "" || e.peers != nil && e.peers.ClockUnknown()
}

// clockProblem is why the node's clock is not to be trusted, "" if it may be.
func (e *environment) clockProblem() string {
	if e.peers == nil {
		return ""
	}
	return e.peers.WrongClock()
}

// watchClock compares the node's clock with those of the others, until the node ends.
func (e *environment) watchClock() {
	e.peers.CompareClocks(e.stopped, func() { e.system.Root.Send(e.node.Load(), &diskChanged{}) })
}

// tellClusters passes a message on to every cluster.
func (a *nodeActor) tellClusters(ctx actor.Context, m any) {
	for _, h := range a.handles {
		if pid := h.pid.Load(); pid != nil {
			ctx.Send(pid, m)
		}
	}
}
