package actors

import (
	"errors"
	"maps"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/actors/remedy"
	"ottla/protocol"
)

// A cluster whose actor panics is started again after a pause, like at the start
// of the process: its brokers have ended with it, closed their files and
// answered every request. Other clusters go on. The old routes stay published
// until the new ones exist; they have no leader, which clients get as a
// retriable error. The process cannot go on without Node or Disk: see Failed.

// Failed gets an error when the process cannot go on and has to be started
// again.
func (n *Node) Failed() <-chan error { return n.env.failed }

// Fail tells the owner of the process that it cannot go on; the first cause
// counts.
func (e *environment) fail(err error) {
	select {
	case e.failed <- err:
	default:
	}
}

// restartCluster is sent once all background work of a cluster that panicked has
// ended and its pause is over.
type restartCluster struct{ handle *clusterHandle }

func (a *nodeActor) endCluster(ctx actor.Context, h *clusterHandle, reply protocol.Future[error]) {
	pid := h.pid.Load()
	if pid == nil { // held back
		reply.Put(nil)
		return
	}
	a.ending[pid.Id] = true
	ctx.Send(pid, &endCluster{Reply: reply})
}

// clusterTerminated notices a cluster that ended without having been told to.
func (a *nodeActor) clusterTerminated(ctx actor.Context, who *actor.PID) {
	cause := a.Cause(who)
	if a.ending[who.Id] {
		delete(a.ending, who.Id)
		return
	}
	all := maps.Clone(a.handles)
	if h := a.fleetHandle(); h != nil {
		all[catalog.FleetName] = h
	}
	for name, h := range all {
		if pid := h.pid.Load(); pid == nil || !pid.Equal(who) {
			continue
		}
		a.env.log.Error("cluster failed", "cluster", name, "error", cause)
		if a.creating[name] != nil {
			return // whoever creates it is told, and removes it
		}
		if a.pauses[h] == nil {
			a.pauses[h] = &remedy.Backoff{}
		}
		pause := a.pauses[h].Next(a.env.now())
		a.pauses[h].Works(a.env.now().Add(pause))
		self, system := ctx.Self(), a.env.system
		go func() {
			for _, work := range h.work {
				work.Wait()
			}
			time.AfterFunc(pause, func() { system.Root.Send(self, &restartCluster{handle: h}) })
		}()
		return
	}
}

func (a *nodeActor) restartCluster(ctx actor.Context, m *restartCluster) {
	name := m.handle.manifest.Name
	if current := a.handles[name] == m.handle || m.handle.fleet != nil; !current || a.ending[m.handle.pid.Load().Id] {
		return // deleted, or the process ends
	}
	a.env.log.Info("cluster is started again", "cluster", name)
	m.handle.work = nil
	a.spawn(ctx, m.handle, nil)
}

// What requests are answered by whose actor has ended (see supervise.Refuse).

func (m *metadataOp) Refuse(err *protocol.Error)    { m.finish(err) }
func (m *changeBroker) Refuse(err *protocol.Error)  { m.Reply.Put(err) }
func (m *endCluster) Refuse(*protocol.Error)        { m.Reply.Put(nil) } // it has ended
func (m *createCluster) Refuse(err *protocol.Error) { m.Reply.Put(clusterCreation{Err: err}) }
func (m *deleteCluster) Refuse(err *protocol.Error) { m.Reply.Put(err) }
func (m *endNode) Refuse(*protocol.Error)           { m.Reply.Put(errors.New("the node's actor failed")) }
