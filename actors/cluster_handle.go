package actors

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/fleet"
	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// clusterHandle is a cluster as its node knows it. Everybody else knows only the
// routing.Cluster in it.
type clusterHandle struct {
	*routing.Cluster
	env      *environment
	manifest datadir.ClusterManifest
	pid      atomic.Pointer[actor.PID]    // replaced when the cluster's actor is started again; nil if the cluster is refused
	fleet    *fleet.Fleet                 // whose metadata this is; nil: it is a cluster
	placed   atomic.Pointer[fleet.Layout] // where its brokers are
	work     map[int]*sync.WaitGroup      // goroutines in brokers' directories; owned by the cluster's actor, and by the node's once that has ended
}

func (e *environment) newHandle(m datadir.ClusterManifest) *clusterHandle {
	h := &clusterHandle{Cluster: &routing.Cluster{Name: m.Name, Known: e.now()}, env: e, manifest: m}
	h.Control = h
	h.placed.Store(&fleet.Layout{Brokers: m.NumBrokers})
	return h
}

// Change implements routing.Control.
func (h *clusterHandle) Change(deadline time.Time, decide func(*catalog.State) ([]metarecord.Record, *protocol.Error)) *protocol.Error {
	reply := protocol.NewFuture[*protocol.Error]()
	h.env.system.Root.Send(h.pid.Load(), &metadataOp{decide: decide, done: reply.Put, deadline: deadline})
	err, ok := reply.Wait(deadline.Add(time.Second))
	if !ok {
		return protocol.Unknownf("the cluster's metadata did not answer in time")
	}
	return err
}

// ChangeSoon implements fleet.Metadata.
func (h *clusterHandle) ChangeSoon(decide func(*catalog.State) ([]metarecord.Record, *protocol.Error)) {
	h.env.system.Root.Send(h.pid.Load(), &metadataOp{decide: decide})
}

// Routes implements fleet.Metadata.
func (h *clusterHandle) Routes() *routing.Cluster { return h.Cluster }

// barrier waits until this node has applied all that was in the metadata when it was called.
// It is how a node that has only heard of a change answers as one that knows it: without, a
// client that made a topic through one node could be told by the next that there is none.
func (h *clusterHandle) barrier(deadline time.Time) *protocol.Error {
	pid := h.pid.Load()
	if pid == nil {
		return routing.ErrStarting
	}
	reply := protocol.NewFuture[*protocol.Error]()
	h.env.system.Root.Send(pid, &barrierAsked{Deadline: deadline, Reply: reply})
	err, ok := reply.Wait(deadline)
	if !ok {
		return errNoMetadata()
	}
	return err
}

// resize gives the cluster more brokers, or fewer, and returns the task of it; nil where it
// has as many. Errors: not_allowed; those of the fleet's metadata and of the cluster's.
func (h *clusterHandle) resize(brokers int, deadline time.Time) (*protocol.TaskInfo, *protocol.Error) {
	placed := h.placed.Load()
	if err := h.env.fleet.Needs(level.Moves, deadline); err != nil {
		return nil, err
	}
	// The cluster's metadata is asked first, because it may refuse. Brokers that are made
	// before would be left without a purpose.
	task := taskID("resize", h.Name)
	err := h.Change(deadline, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		return s.DecideShrink(brokers, task, h.env.clock.Agreed()) // or takes a change back
	})
	if err == nil && brokers > placed.Brokers {
		if placed.Shared {
			err = h.env.fleet.Grow(h.manifest.ID, brokers, deadline)
		} else {
			reply := protocol.NewFuture[*protocol.Error]()
			h.env.system.Root.Send(h.env.node.Load(), &resizeCluster{Name: h.Name, Brokers: brokers, Reply: reply})
			var answered bool
			if err, answered = reply.Wait(deadline); !answered {
				err = protocol.Unknownf("the number of brokers was not noted in time")
			}
		}
	}
	if err != nil {
		return nil, err
	}
	begun := func() bool {
		v := h.View()
		return v != nil && (v.Resize != nil && v.Resize.Brokers == brokers || v.Resize == nil && v.Info.NumBrokers == brokers)
	}
	if !fleet.Await(deadline, h.env.stopped, begun) {
		return nil, protocol.Unknownf("the brokers of cluster %q are not there in time", h.Name)
	}
	if r := h.View().Resize; r == nil || r.Phase == catalog.ResizeDone && brokers == placed.Brokers && r.TaskID != task {
		return nil, nil
	}
	return fleet.ResizeInfo(h.Cluster), nil
}

// ChangeBroker implements routing.Control.
func (h *clusterHandle) ChangeBroker(id int, start bool, deadline time.Time) *protocol.Error {
	reply := protocol.NewFuture[*protocol.Error]()
	h.env.system.Root.Send(h.pid.Load(), &changeBroker{ID: id, Start: start, Reply: reply})
	err, ok := reply.Wait(deadline.Add(handOverPatience + closePatience))
	if !ok {
		return protocol.Unknownf("broker %d did not answer in time", id)
	}
	return err
}
