package actors

import (
	"cmp"
	"time"

	"ottla/actors/datadir"
	"ottla/actors/disk"
	"ottla/actors/fleet"
	"ottla/actors/routing"
	"ottla/protocol"
)

// frontHost is the node as its Front sees it. What concerns the fleet is fleet.Host's.
type frontHost struct {
	fleet.Host
	n *Node
}

// CreateCluster implements front.Host.
func (h *frontHost) CreateCluster(spec *protocol.ClusterSpec, deadline time.Time) (*routing.Cluster, bool, *protocol.Error) {
	reply := protocol.NewFuture[clusterCreation]()
	h.n.env.system.Root.Send(h.n.pid, &createCluster{Spec: spec, Reply: reply})
	res, ok := reply.Wait(deadline.Add(time.Second))
	switch {
	case !ok:
		return nil, false, protocol.Unknownf("the cluster was not created in time")
	case res.Err != nil:
		return nil, false, res.Err
	}
	return res.Cluster, res.Created, nil
}

// DeleteCluster implements front.Host.
func (h *frontHost) DeleteCluster(name string, deadline time.Time) *protocol.Error {
	reply := protocol.NewFuture[*protocol.Error]()
	h.n.env.system.Root.Send(h.n.pid, &deleteCluster{Name: name, Reply: reply})
	err, ok := reply.Wait(deadline.Add(closePatience))
	if !ok {
		return protocol.Unknownf("cluster %q was not deleted in time", name)
	}
	return err
}

// DiskProblem implements front.Host.
func (h *frontHost) DiskProblem() string {
	if why := h.n.env.stall.Load(); why != nil {
		return *why
	}
	return ""
}

// SpaceProblem implements front.Host.
func (h *frontHost) SpaceProblem() string {
	return cmp.Or(h.n.env.space.Reason(), h.n.env.fitness.Reason(), h.n.env.clockProblem())
}

// CountInto implements front.Host.
func (h *frontHost) CountInto(m *protocol.Metrics) {
	env := h.n.env
	env.stats.Into(m)
	m.QueueRecordsRemoved = env.groups.QueueRemoved.Load()
	m.Disk = env.diskStats.Metrics()
	m.Disk.Unfit = env.fitness.Reason() != ""
	m.ClockWrong = env.clockProblem() != ""
	m.Scrub = env.scrubber.Metrics()
	m.CatchUp = env.catchUp.Metrics()
	m.DirectoriesReplaced = map[string]uint64{datadir.DirectoryLost: env.stats.LostDirs.Load(), datadir.DirectoryOutdated: env.stats.OutdatedDirs.Load()}
	if env.peers != nil {
		m.Nodes = env.peers.Metrics()
		if info, err := h.Fleet(); err == nil {
			m.Fleet = &info
		}
	}
	m.DataDirFree, m.DataDirTotal = disk.Space(env.opt.DataDir)
}

// Settle implements front.Host. The fleet's metadata comes first, because it says which
// clusters there are, then the cluster's. Each answer is about the moment when it was asked,
// so a change that a client has seen elsewhere is here afterwards.
func (h *frontHost) Settle(c *routing.Cluster, deadline time.Time) (waited bool, err *protocol.Error) {
	f := h.n.env.fleet
	if f == nil {
		return false, nil
	}
	if !f.Belongs() {
		return true, fleet.ErrJoining
	}
	controls := []routing.Control{f.Metadata()}
	if c != nil {
		controls = append(controls, c.Control)
	}
	for _, control := range controls {
		if h, ok := control.(*clusterHandle); ok {
			if err := h.barrier(deadline); err != nil {
				return true, err
			}
		}
	}
	// What the fleet's metadata has brought is on its way to the node's actor.
	handled := protocol.NewFuture[struct{}]()
	h.n.env.system.Root.Send(h.n.pid, &nodeAsked{Reply: handled})
	if _, ok := handled.Wait(deadline); !ok {
		return true, errNoMetadata()
	}
	return true, nil
}

// ResizeCluster implements front.Host.
func (h *frontHost) ResizeCluster(c *routing.Cluster, brokers int, deadline time.Time) (*protocol.TaskInfo, *protocol.Error) {
	handle, ok := c.Control.(*clusterHandle)
	if !ok || handle.pid.Load() == nil {
		return nil, c.Unavailable()
	}
	return handle.resize(brokers, deadline)
}

// Stopped implements front.Host.
func (h *frontHost) Stopped() <-chan struct{} { return h.n.stopped }
