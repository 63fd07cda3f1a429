package actors

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/metarecord"
	"ottla/actors/peers"
	"ottla/actors/routing"
	"ottla/link"
	"ottla/protocol"
)

// fleet is the fleet that this node belongs to, as the node sees it. Which nodes
// there are, and where the brokers of the clusters are, is decided in the fleet's
// metadata: that of a cluster that nobody else sees (catalog.FleetName), whose
// brokers are the nodes that founded it.
type fleet struct {
	env   *environment
	view  atomic.Pointer[fleetView] // nil until the metadata is recovered
	found chan struct{}             // closed when the node belongs to the fleet: the fields below are set
	why   atomic.Pointer[string]    // why it does not belong to one yet

	node   *datadir.Node
	handle *clusterHandle // of the fleet's metadata
}

// errJoining is the answer to everything until the node belongs to a fleet.
var errJoining = protocol.Errorf(protocol.CodeStarting, "this node does not belong to its fleet yet")

// belongs reports whether the node belongs to its fleet, and the fleet's metadata
// runs or is followed here.
func (f *fleet) belongs() bool {
	select {
	case <-f.found:
		return true
	default:
		return false
	}
}

// fleetFound tells the node's actor that the node belongs to a fleet.
type fleetFound struct {
	node    *datadir.Node
	members []catalog.FleetNode
}

// joining is why the node does not belong to its fleet yet, "" if it does, or is
// alone.
func (f *fleet) joining() string {
	if f == nil || f.belongs() {
		return ""
	}
	if why := f.why.Load(); why != nil {
		return *why
	}
	return "looking for the fleet"
}

// fleetView is an immutable picture of a fleet's metadata.
type fleetView struct {
	nodes       map[uint64]*catalog.FleetNode
	placed      map[string]*catalog.PlacedCluster // by id
	tasks       map[string]*catalog.FleetTask     // by id
	hadClusters bool
}

// fleetChanged tells the node's actor that the fleet's metadata has changed.
type fleetChanged struct{ view *fleetView }

// publish is called by the actor of the fleet's metadata when that has changed.
func (f *fleet) publish(s *catalog.State) {
	v := &fleetView{nodes: maps.Clone(s.FleetNodes()), placed: maps.Clone(s.Placed()), tasks: maps.Clone(s.Tasks()), hadClusters: s.HadClusters()}
	if f.view.Swap(v) == nil {
		f.register() // not before: in a fleet that is not founded yet it would be the first node
	}
	if node := f.env.node.Load(); node != nil {
		f.env.system.Root.Send(node, &fleetChanged{v})
	}
}

// self is the number of this node.
func (f *fleet) self() uint64 { return f.node.Node }

// change changes the fleet's metadata; see routing.Control.
func (f *fleet) change(deadline time.Time, decide func(*catalog.State) ([]metarecord.Record, *protocol.Error)) *protocol.Error {
	return f.handle.Change(deadline, decide)
}

// changeSoon changes the fleet's metadata as soon as that can be done, and is tried
// until then.
func (f *fleet) changeSoon(decide func(*catalog.State) ([]metarecord.Record, *protocol.Error)) {
	f.env.system.Root.Send(f.handle.pid.Load(), &metadataOp{decide: decide})
}

// fleetSettings are those of the cluster that is a fleet's metadata.
func fleetSettings(f *datadir.Founding) catalog.ClusterSettings {
	return catalog.ClusterSettings{
		ID: f.Fleet, Name: catalog.FleetName, NumBrokers: len(f.Founders), LogDirectory: catalog.FleetName, Partitions: 1,
		RetentionHours: -1, ReplicationFactor: min(3, len(f.Founders)), Fsync: "always", CreatedAt: f.CreatedAt.UnixMilli(),
	}
}

// fleetPlacement is it as a placed cluster: broker n is at founder n.
func fleetPlacement(f *datadir.Founding) *catalog.PlacedCluster {
	p := &catalog.PlacedCluster{Settings: fleetSettings(f), Phase: catalog.PlacedCreating}
	for _, founder := range f.Founders {
		p.Nodes = append(p.Nodes, founder.Node)
	}
	return p
}

// founders are the first records of the fleet's nodes.
func founders(f *datadir.Founding) *catalog.Founding {
	first := &catalog.Founding{}
	for _, n := range f.Founders {
		first.Nodes = append(first.Nodes, catalog.FleetNode{ID: n.Node, UUID: n.UUID, Name: n.Name, Link: n.Link, HTTP: n.HTTP, CreatedAt: f.CreatedAt.UnixMilli()})
	}
	return first
}

// register puts into the fleet's metadata what has changed of this node.
func (f *fleet) register() {
	o := f.env.opt
	n := catalog.FleetNode{
		UUID: f.node.UUID, Name: o.Link.Name, Link: o.Link.Advertise, HTTP: hostPort(o.Host, o.Port), Rack: o.Link.Rack, Version: o.Version,
	}
	f.changeSoon(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		_, recs, err := s.DecideRegisterNode(n)
		if err != nil {
			f.env.log.Error("this node is not registered", "error", err)
		}
		return recs, err
	})
}

// peersOf are the other nodes.
func (v *fleetView) peersOf(self uint64) []link.Peer {
	var peers []link.Peer
	for id, n := range v.nodes {
		if id != self && !n.Gone {
			peers = append(peers, link.Peer{ID: link.NodeID(id), UUID: n.UUID, Name: n.Name, Address: n.Link})
		}
	}
	return peers
}

// usable reports whether a node may get new brokers.
func (f *fleet) usable(id uint64) bool {
	return id == f.self() || f.env.peers.Alive(link.NodeID(id))
}

// infos describes the nodes, by id.
func (f *fleet) infos() []protocol.NodeInfo {
	v := f.view.Load()
	if v == nil {
		return nil
	}
	list := []protocol.NodeInfo{}
	for id, n := range v.nodes {
		info := protocol.NodeInfo{
			ID: id, Name: n.Name, UUID: n.UUID, HTTP: n.HTTP, Link: n.Link, Rack: n.Rack, Version: n.Version,
			State: protocol.NodeUnreachable, Brokers: []protocol.NodeBroker{}, CreatedAt: time.UnixMilli(n.CreatedAt).UTC(),
		}
		switch {
		case n.Gone:
			info.State = protocol.NodeGone
		case !f.usable(id):
		case n.Draining:
			info.State = protocol.NodeDraining
		default:
			info.State = protocol.NodeActive
		}
		for _, p := range v.placed {
			for i, node := range p.Nodes {
				if node == id && p.Settings.Name != catalog.FleetName && p.Phase != catalog.PlacedDeleting {
					info.Brokers = append(info.Brokers, protocol.NodeBroker{Cluster: p.Settings.Name, ID: i + 1})
				}
			}
		}
		slices.SortFunc(info.Brokers, func(a, b protocol.NodeBroker) int {
			return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.ID, b.ID))
		})
		list = append(list, info)
	}
	slices.SortFunc(list, func(a, b protocol.NodeInfo) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// tell names the other nodes to those who deal with them.
func (v *fleetView) tell(p *peers.Peers, self uint64) {
	var retired []string
	draining := map[link.NodeID]bool{}
	for id, n := range v.nodes {
		if n.Gone {
			retired = append(retired, n.UUID)
		}
		if n.Draining {
			draining[link.NodeID(id)] = true
		}
	}
	p.SetMembers(v.peersOf(self), retired, draining)
}

// nodesOf says at which other nodes the brokers of a cluster are.
func nodesOf(nodes []uint64, self uint64) map[int]link.NodeID {
	elsewhere := map[int]link.NodeID{}
	for i, node := range nodes {
		if node != self {
			elsewhere[i+1] = link.NodeID(node)
		}
	}
	return elsewhere
}

// barrier waits until this node has applied all that was in the metadata of a
// cluster, and of the fleet, when it was called.
func (f *fleet) barrier(c *routing.Cluster, deadline time.Time) *protocol.Error {
	if !f.belongs() {
		return errJoining
	}
	handles := []*clusterHandle{f.handle}
	if c != nil {
		if h, ok := c.Control.(*clusterHandle); ok {
			handles = append(handles, h)
		}
	}
	for _, h := range handles {
		pid := h.pid.Load()
		if pid == nil {
			return routing.ErrStarting
		}
		reply := protocol.NewFuture[*protocol.Error]()
		f.env.system.Root.Send(pid, &barrierAsked{Deadline: deadline, Reply: reply})
		if err, ok := reply.Wait(deadline); err != nil || !ok {
			if !ok {
				err = errNoMetadata()
			}
			return err
		}
	}
	return nil
}

// awaitThat waits until a condition on the node's clusters holds.
func awaitThat(deadline time.Time, stopped <-chan struct{}, holds func() bool) bool {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for !holds() {
		select {
		case <-stopped:
			return false
		case now := <-t.C:
			if now.After(deadline) {
				return holds()
			}
		}
	}
	return true
}
