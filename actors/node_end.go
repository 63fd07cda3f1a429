package actors

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/actors/remedy"
	"ottla/protocol"
)

// endAndRemove closes a cluster and then removes its files. In this order, because closing
// writes checkpoints into the files. The end of the process waits until it is closed
// (removing). Its files then stay, and the next start has it again.
func (a *nodeActor) endAndRemove(ctx actor.Context, h *clusterHandle, reply protocol.Future[*protocol.Error]) {
	ended := protocol.NewFuture[error]()
	a.endCluster(ctx, h, ended)
	self, closed := ctx.Self(), make(chan struct{})
	a.removing[h] = closed
	go func() {
		if err := <-ended.C(); err != nil {
			a.env.log.Error("close cluster", "cluster", h.manifest.Name, "error", err)
		}
		close(closed)
		a.env.system.Root.Send(self, &clusterEnded{Handle: h, Reply: reply})
	}()
}

// removeFiles removes a cluster that has ended. It takes I/O, and on the actor's own goroutine:
// nothing is made while files are being removed.
func (a *nodeActor) removeFiles(m *clusterEnded) {
	delete(a.removing, m.Handle)
	if a.over { // the data directory may be another process' already
		m.Reply.Put(errNodeEnds)
		return
	}
	a.env.groups.Groups.Forget(m.Handle.manifest.ID)
	if err := a.env.manifests.Remove(m.Handle.manifest.ID); err != nil {
		a.env.log.Error("delete cluster", "cluster", m.Handle.manifest.Name, "error", err)
		m.Reply.Put(&protocol.Error{
			Code: protocol.CodeStorageFailed, Message: "delete cluster: " + err.Error(), Outcome: protocol.OutcomeUnknown,
		})
		return
	}
	m.Reply.Put(nil)
}

// errNodeEnds is the answer to changes of clusters that come too late.
var errNodeEnds = protocol.Errorf(protocol.CodeShuttingDown, "the broker is shutting down")

// end closes all clusters, at the end of the process. It waits for them on a goroutine: the
// actor must take Terminated of clusters that fail meanwhile. Those that end to be removed are
// waited for too, as their logs are still open.
func (a *nodeActor) end(ctx actor.Context, m *endNode) {
	a.over = true
	handles := slices.Collect(maps.Values(a.handles))
	if h := a.fleetHandle(); h != nil {
		handles = append(handles, h)
	}
	var waits []protocol.Future[error]
	for _, h := range handles {
		f := protocol.NewFuture[error]()
		waits = append(waits, f)
		a.endCluster(ctx, h, f)
	}
	removing := slices.Collect(maps.Values(a.removing))
	go func() {
		var errs []error
		for _, f := range waits {
			errs = append(errs, <-f.C())
		}
		for _, closed := range removing {
			<-closed
		}
		m.Reply.Put(errors.Join(errs...))
	}()
}

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

// endCluster tells a cluster to end. It is noted before, by the PID: Terminated carries
// nothing else, and an end that was asked for must not be taken for a panic, also when another
// actor serves the same handle by then.
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
		// It counts as working from when it is started again, so that a long life since
		// forgets the failures before, and a short one does not.
		pause := a.pauses[h].Next(a.env.now())
		a.pauses[h].Works(a.env.now().Add(pause))
		self, system := ctx.Self(), a.env.system
		// Goroutines in the brokers' directories outlive the actors. Brokers that were opened beside
		// them could have their files removed under them, so the new ones wait. The map is this
		// actor's now: the cluster's, which owned it, has ended.
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
