package actors

import (
	"cmp"
	"time"

	"ottla/actors/datadir"
	"ottla/actors/disk"
	"ottla/actors/fleet"
	"ottla/actors/level"
	"ottla/actors/routing"
	"ottla/protocol"
)

// frontHost is the node as its Front sees it.
type frontHost struct{ n *Node }

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
	s := &env.stats
	m.Elections = s.elections.Load()
	m.DamageNotFound = s.damageNotFound.Load()
	m.QueueRecordsRemoved = env.groups.QueueRemoved.Load()
	m.BatchRecords = s.batchRecords.Snapshot(0, 14, 1)
	m.BatchBytes = s.batchBytes.Snapshot(7, 24, 1)
	m.Disk = s.disk.Metrics()
	m.Disk.Unfit = env.fitness.Reason() != ""
	m.ClockWrong = env.clockProblem() != ""
	m.Scrub = env.scrubber.Metrics()
	m.CatchUp = env.catchUp.Metrics()
	m.DirectoriesReplaced = map[string]uint64{datadir.DirectoryLost: s.lostDirs.Load(), datadir.DirectoryOutdated: s.outdatedDirs.Load()}
	if env.peers != nil {
		m.Nodes = env.peers.Metrics()
		if info, err := h.Fleet(); err == nil {
			m.Fleet = &info
		}
	}
	m.DataDirFree, m.DataDirTotal = disk.Space(env.opt.DataDir)
}

// Joining implements front.Host.
func (h *frontHost) Joining() string { return h.n.env.fleet.Joining() }

// Settle implements front.Host.
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

// Node implements front.Host.
func (h *frontHost) Node() uint64 {
	if f := h.n.env.fleet; f != nil && f.Belongs() {
		return f.Self()
	}
	return 0
}

// IDs implements front.Host.
func (h *frontHost) IDs() routing.Control {
	if f := h.n.env.fleet; f != nil && f.Belongs() {
		return f.Metadata()
	}
	return nil
}

// Nodes implements front.Host.
func (h *frontHost) Nodes() []protocol.NodeInfo {
	f := h.n.env.fleet
	if f == nil {
		return nil
	}
	return f.Infos()
}

// errNoFleet is the answer to what only a fleet can do.
var errNoFleet = protocol.Errorf(protocol.CodeNodeNotFound, "this server is alone: it belongs to no fleet")

// Fleet implements front.Host.
func (h *frontHost) Fleet() (protocol.FleetInfo, *protocol.Error) {
	f := h.n.env.fleet
	switch {
	case f == nil:
		return protocol.FleetInfo{}, errNoFleet
	case !f.Belongs() || f.View() == nil:
		return protocol.FleetInfo{}, fleet.ErrJoining
	}
	return f.Info(), nil
}

// Finalize implements front.Host.
func (h *frontHost) Finalize(deadline time.Time) (protocol.FleetInfo, *protocol.Error) {
	f := h.n.env.fleet
	if f == nil {
		return protocol.FleetInfo{}, errNoFleet
	}
	return f.Finalize(deadline)
}

// Level implements front.Host.
func (h *frontHost) Level() int { return h.n.env.fleet.Level() }

// Needs implements front.Host.
func (h *frontHost) Needs(what level.Feature, deadline time.Time) *protocol.Error {
	return h.n.env.fleet.Needs(what, deadline)
}

// Tasks implements front.Host.
func (h *frontHost) Tasks() []protocol.TaskInfo {
	f := h.n.env.fleet
	switch {
	case f == nil:
		return fleet.SortTasks(fleet.Resizes(h.n.env.directory.Clusters()))
	case !f.Belongs():
		return nil
	}
	return fleet.SortTasks(f.TaskInfos())
}

// ReplaceNode implements front.Host.
func (h *frontHost) ReplaceNode(lost, with uint64, deadline time.Time) (protocol.TaskInfo, *protocol.Error) {
	f := h.n.env.fleet
	if f == nil {
		return protocol.TaskInfo{}, errNoFleet
	}
	return f.Replace(lost, with, deadline)
}

// DecommissionNode implements front.Host.
func (h *frontHost) DecommissionNode(id uint64, deadline time.Time) (protocol.TaskInfo, *protocol.Error) {
	f := h.n.env.fleet
	if f == nil {
		return protocol.TaskInfo{}, errNoFleet
	}
	return f.Decommission(id, deadline)
}

// KeepNode implements front.Host.
func (h *frontHost) KeepNode(id uint64, deadline time.Time) *protocol.Error {
	f := h.n.env.fleet
	if f == nil {
		return errNoFleet
	}
	return f.Stay(id, deadline)
}

// Rebalance implements front.Host.
func (h *frontHost) Rebalance(deadline time.Time) (protocol.TaskInfo, *protocol.Error) {
	f := h.n.env.fleet
	if f == nil {
		return protocol.TaskInfo{}, errNoFleet
	}
	return f.Rebalance(deadline)
}

// ResizeCluster implements front.Host.
func (h *frontHost) ResizeCluster(c *routing.Cluster, brokers int, deadline time.Time) (*protocol.TaskInfo, *protocol.Error) {
	handle, ok := c.Control.(*clusterHandle)
	if !ok || handle.pid.Load() == nil {
		return nil, c.Unavailable()
	}
	return handle.resize(brokers, deadline)
}

// DrainNode implements front.Host.
func (h *frontHost) DrainNode(id uint64, drain bool, deadline time.Time) *protocol.Error {
	f := h.n.env.fleet
	if f == nil {
		return errNoFleet
	}
	return f.Drain(id, drain, deadline)
}

// Stopped implements front.Host.
func (h *frontHost) Stopped() <-chan struct{} { return h.n.stopped }
