package fleet

import (
	"slices"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/link"
)

// settings are those of the cluster that is a fleet's metadata.
func settings(f *datadir.Founding) catalog.ClusterSettings {
	// All of it follows from the founding, which every founder has written down alike: so
	// they agree on the cluster without a word.
	return catalog.ClusterSettings{
		ID: f.Fleet, Name: catalog.FleetName, NumBrokers: len(f.Founders), LogDirectory: catalog.FleetName, Partitions: 1,
		RetentionHours: -1, ReplicationFactor: min(3, len(f.Founders)), Fsync: "always", CreatedAt: f.CreatedAt.UnixMilli(),
	}
}

// Placement is the fleet's metadata as a placed cluster: broker n is at founder n.
func Placement(f *datadir.Founding) *catalog.PlacedCluster {
	p := &catalog.PlacedCluster{Settings: settings(f), Phase: catalog.PlacedCreating}
	for _, founder := range f.Founders {
		p.Nodes = append(p.Nodes, founder.Node)
	}
	return p
}

// Founders are the first records of the fleet's nodes.
func Founders(f *datadir.Founding) *catalog.Founding {
	first := &catalog.Founding{}
	for _, n := range f.Founders {
		first.Nodes = append(first.Nodes, catalog.FleetNode{ID: n.Node, UUID: n.UUID, Name: n.Name, Link: n.Link, HTTP: n.HTTP, CreatedAt: f.CreatedAt.UnixMilli()})
	}
	return first
}

// Elsewhere says at which other nodes the brokers of a cluster are.
func Elsewhere(nodes []uint64, self uint64) map[int]link.NodeID {
	elsewhere := map[int]link.NodeID{}
	for i, node := range nodes {
		if node != self {
			elsewhere[i+1] = link.NodeID(node)
		}
	}
	return elsewhere
}

// InTheWay reports whether files of a deleted cluster are still where a new one is to
// be. The fleet's metadata changes once they are gone.
func (v *View) InTheWay(self uint64, p *catalog.PlacedCluster) bool {
	for _, old := range v.Placed {
		// What is removed at other nodes does not matter here.
		if old.Phase == catalog.PlacedDeleting && slices.Contains(old.Nodes, self) && !slices.Contains(old.Removed, self) &&
			slices.Contains(p.Nodes, self) && old.Overlaps(p) {
			return true
		}
	}
	return false
}

// Manifest is a node's part of a placed cluster that it has not begun yet.
func Manifest(p *catalog.PlacedCluster, self uint64) datadir.ClusterManifest {
	s := p.Settings
	m := datadir.ClusterManifest{
		ID: s.ID, Name: s.Name, LogDirectory: s.LogDirectory, NumBrokers: s.NumBrokers, Fsync: s.Fsync,
		CreatedAt: time.UnixMilli(s.CreatedAt).UTC(), Phase: datadir.Creating, Nodes: p.Nodes,
	}
	for _, v := range catalog.MetadataVoters(s.NumBrokers) {
		m.Voters = append(m.Voters, datadir.MetadataVoter(v))
	}
	for i, node := range p.Nodes {
		if node == self {
			m.Local = append(m.Local, i+1)
		}
	}
	// A broker that is on its way here begins empty, and is known by the move that brings
	// it.
	for b, move := range p.Moves {
		if move.Node == self {
			if m.Arriving == nil {
				m.Arriving = map[int]uint64{}
			}
			m.Arriving[b] = move.Epoch
		}
	}
	return m
}
