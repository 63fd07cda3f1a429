package fleet

import (
	"time"

	"ottla/actors/level"
	"ottla/actors/routing"
	"ottla/protocol"
)

// Host is what of front.Host concerns the fleet. A node that is alone has none: it lists
// no nodes, and what only a fleet can do is an error.
type Host struct {
	Of       func() *Fleet                      // nil: the node is alone
	Clusters func() map[string]*routing.Cluster // that clients see
}

// Joining implements front.Host.
func (h Host) Joining() string { return h.Of().Joining() }

// Node implements front.Host.
func (h Host) Node() uint64 {
	// Numbers begin at 1, so 0 is no node.
	if f := h.Of(); f != nil && f.Belongs() {
		return f.Self()
	}
	return 0
}

// IDs implements front.Host.
func (h Host) IDs() routing.Control {
	if f := h.Of(); f != nil && f.Belongs() {
		return f.Metadata()
	}
	return nil
}

// Nodes implements front.Host.
func (h Host) Nodes() []protocol.NodeInfo {
	f := h.Of()
	if f == nil {
		return nil
	}
	return f.Infos()
}

// errNoFleet is the answer to what only a fleet can do.
var errNoFleet = protocol.Errorf(protocol.CodeNodeNotFound, "this server is alone: it belongs to no fleet")

// Fleet implements front.Host.
func (h Host) Fleet() (protocol.FleetInfo, *protocol.Error) {
	f := h.Of()
	switch {
	case f == nil:
		return protocol.FleetInfo{}, errNoFleet
	case !f.Belongs() || f.View() == nil:
		return protocol.FleetInfo{}, ErrJoining
	}
	return f.Info(), nil
}

// Finalize implements front.Host.
func (h Host) Finalize(deadline time.Time) (protocol.FleetInfo, *protocol.Error) {
	f := h.Of()
	if f == nil {
		return protocol.FleetInfo{}, errNoFleet
	}
	return f.Finalize(deadline)
}

// Level implements front.Host.
func (h Host) Level() int { return h.Of().Level() }

// Needs implements front.Host.
func (h Host) Needs(what level.Feature, deadline time.Time) *protocol.Error {
	return h.Of().Needs(what, deadline)
}

// Tasks implements front.Host.
func (h Host) Tasks() []protocol.TaskInfo {
	f := h.Of()
	switch {
	case f == nil:
		// Also a server that is alone changes the numbers of its clusters' brokers.
		return sortTasks(resizes(h.Clusters()))
	case !f.Belongs():
		return nil
	}
	return sortTasks(f.TaskInfos())
}

// ReplaceNode implements front.Host.
func (h Host) ReplaceNode(lost, with uint64, deadline time.Time) (protocol.TaskInfo, *protocol.Error) {
	f := h.Of()
	if f == nil {
		return protocol.TaskInfo{}, errNoFleet
	}
	return f.Replace(lost, with, deadline)
}

// DecommissionNode implements front.Host.
func (h Host) DecommissionNode(id uint64, deadline time.Time) (protocol.TaskInfo, *protocol.Error) {
	f := h.Of()
	if f == nil {
		return protocol.TaskInfo{}, errNoFleet
	}
	return f.Decommission(id, deadline)
}

// KeepNode implements front.Host.
func (h Host) KeepNode(id uint64, deadline time.Time) *protocol.Error {
	f := h.Of()
	if f == nil {
		return errNoFleet
	}
	return f.Stay(id, deadline)
}

// Rebalance implements front.Host.
func (h Host) Rebalance(deadline time.Time) (protocol.TaskInfo, *protocol.Error) {
	f := h.Of()
	if f == nil {
		return protocol.TaskInfo{}, errNoFleet
	}
	return f.Rebalance(deadline)
}

// DrainNode implements front.Host.
func (h Host) DrainNode(id uint64, drain bool, deadline time.Time) *protocol.Error {
	f := h.Of()
	if f == nil {
		return errNoFleet
	}
	return f.Drain(id, drain, deadline)
}
