package actors

import (
	"errors"
	"maps"
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/protocol"
)

// endAndRemove closes a cluster and then removes its files.
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

// end closes all clusters, at the end of the process.
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
