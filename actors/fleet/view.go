package fleet

import (
	"cmp"
	"slices"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/peers"
	"ottla/link"
	"ottla/protocol"
)

// View is an immutable picture of a fleet's metadata.
type View struct {
	Nodes       map[uint64]*catalog.FleetNode
	Placed      map[string]*catalog.PlacedCluster // by id
	Tasks       map[string]*catalog.FleetTask     // by id
	HadClusters bool
	Level       int
}

// peersOf are the other nodes.
func (v *View) peersOf(self uint64) []link.Peer {
	var peers []link.Peer
	for id, n := range v.Nodes {
		if id != self && !n.Gone {
			peers = append(peers, link.Peer{ID: link.NodeID(id), UUID: n.UUID, Name: n.Name, Address: n.Link})
		}
	}
	return peers
}

// Tell names the other nodes to those who deal with them.
func (v *View) Tell(p *peers.Peers, self uint64) {
	var retired []string
	draining := map[link.NodeID]bool{}
	for id, n := range v.Nodes {
		// By uuid, which its data directory keeps, whatever name it is started with.
		if n.Gone {
			retired = append(retired, n.UUID)
		}
		// To the others both are one: a node that is to hand its leadership to them.
		if n.Draining || n.Leaving {
			draining[link.NodeID(id)] = true
		}
	}
	p.SetMembers(v.peersOf(self), retired, draining)
}

// Infos describes the nodes, by id; nil until the metadata is recovered.
func (f *Fleet) Infos() []protocol.NodeInfo {
	v := f.view.Load()
	if v == nil {
		return nil
	}
	list := v.infos(f.Usable)
	for i := range list {
		// It is heard over the link, so the metadata does not have it.
		list[i].Newest = f.offer(list[i].ID).Newest
	}
	return list
}

func (v *View) infos(alive func(uint64) bool) []protocol.NodeInfo {
	list := []protocol.NodeInfo{}
	for id, n := range v.Nodes {
		info := protocol.NodeInfo{
			ID: id, Name: n.Name, UUID: n.UUID, HTTP: n.HTTP, Kafka: n.Kafka, Link: n.Link, Rack: n.Rack, Version: n.Version,
			State: protocol.NodeUnreachable, Brokers: []protocol.NodeBroker{}, CreatedAt: time.UnixMilli(n.CreatedAt).UTC(),
		}
		switch {
		case n.Gone:
			info.State = protocol.NodeGone
		// Unreachable before anything else: whether it leaves or drains does not show while
		// nobody hears it.
		case !alive(id):
		case n.Leaving:
			info.State = protocol.NodeLeaving
		case n.Draining:
			info.State = protocol.NodeDraining
		default:
			info.State = protocol.NodeActive
		}
		for _, p := range v.Placed {
			for i, node := range p.Nodes {
				// The metadata's own brokers are not for clients to see.
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
