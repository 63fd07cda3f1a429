package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// FleetName is the cluster whose metadata says which nodes a fleet has and where
// the brokers of its clusters are. Its brokers are the nodes that founded it. Nobody
// sees it as a cluster.
const FleetName = "__fleet"

// Actions and kinds of keys of a fleet's records.
const (
	actionRegisterNode = "REGISTER_NODE"
	actionPlaceCluster = "PLACE_CLUSTER"
	actionForgetPlaced = "FORGET_CLUSTER"
	actionNoteClusters = "NOTE_CLUSTERS"
	actionNoteTask     = "NOTE_TASK"
	actionRaiseLevel   = "RAISE_LEVEL"

	keyNode   = "node"   // ["node",1]
	keyPlaced = "placed" // ["placed","<cluster id>"]
	keyHad    = "had_clusters"
	keyTask   = "task"  // ["task","<task id>"]
	keyLevel  = "level" // ["level"]
)

// FleetNode is a node of a fleet. Immutable, like Topic.
type FleetNode struct {
	ID        uint64 `json:"id"`
	UUID      string `json:"uuid"`            // of its data directory
	Name      string `json:"name"`            // unique in the fleet
	Link      string `json:"link"`            // HOST:PORT where other nodes reach it
	HTTP      string `json:"http"`            // HOST:PORT where clients reach it; empty until it has said so
	Kafka     string `json:"kafka,omitempty"` // HOST:PORT where Kafka clients reach it; empty: nowhere
	Rack      string `json:"rack,omitempty"`
	Version   string `json:"version,omitempty"`  // of the program
	CreatedAt int64  `json:"created_at"`         // milliseconds since 1970
	Draining  bool   `json:"draining,omitempty"` // leadership leaves it
	Leaving   bool   `json:"leaving,omitempty"`  // its brokers are moved to other nodes; it is gone then
	Gone      bool   `json:"gone,omitempty"`     // another node has taken its place, for good
}

// PlacedPhase says how far the creation or deletion of a cluster has come.
type PlacedPhase string

// The phases.
const (
	PlacedCreating PlacedPhase = "creating"
	PlacedCreated  PlacedPhase = "created"
	PlacedDeleting PlacedPhase = "deleting" // until every node has removed its part
)

// PlacedCluster is a cluster of a fleet and where its brokers are. Immutable, like
// Topic.
type PlacedCluster struct {
	Settings ClusterSettings `json:"settings"`
	Nodes    []uint64        `json:"nodes"` // of brokers 1, 2, ...
	Phase    PlacedPhase     `json:"phase"`
	Reason   string          `json:"reason,omitempty"`  // why it could not be created
	Removed  []uint64        `json:"removed,omitempty"` // nodes that have removed their part

	Moves map[int]BrokerMove `json:"moves,omitempty"` // brokers that are on their way, by id
	Epoch uint64             `json:"epoch,omitempty"` // how many moves there have been
}

// BrokerMove is a broker on its way to another node. Until all of its replicas are there
// it has a directory at either.
type BrokerMove struct {
	Node  uint64 `json:"node"`           // to where
	Epoch uint64 `json:"epoch"`          // tells the directory from those of other moves
	Back  bool   `json:"back,omitempty"` // it was called off: what is at Node goes back
}

// MoveKey is how a cluster names the directory of a broker at the node to which it moves:
// it is none of the brokers' numbers, which are below 16, and none of another move's, as the
// first epoch is 1.
func MoveKey(broker int, epoch uint64) int { return int(epoch)<<4 | broker }

// Founding is what the first records of a fleet need.
type Founding struct {
	Nodes []FleetNode
}

type (
	nodeValue struct {
		V int `json:"v"`
		FleetNode
	}
	placedValue struct {
		V int `json:"v"`
		PlacedCluster
	}
)

// FleetNodes are the nodes of the fleet by id. The map may not be changed.
func (s *fleetState) FleetNodes() map[uint64]*FleetNode { return s.nodes }

// Placed are the clusters of the fleet by id. The map may not be changed.
func (s *fleetState) Placed() map[string]*PlacedCluster { return s.placed }

// HadClusters reports whether a cluster was ever placed: what is missing then was
// deleted.
func (s *fleetState) HadClusters() bool { return s.hadPlaced }

// PlacedByName finds a cluster that is not being deleted; nil if there is none.
func (s *fleetState) PlacedByName(name string) *PlacedCluster {
	for _, p := range s.placed {
		if p.Settings.Name == name && p.Phase != PlacedDeleting {
			return p
		}
	}
	return nil
}

// DecideRegisterNode enters a node, or what has changed of it. A node without an id
// is new and gets one, unless its uuid is known. No records where nothing has
// changed. Errors: another node has the name.
func (s *fleetState) DecideRegisterNode(n FleetNode) (id uint64, recs []metarecord.Record, err *protocol.Error) {
	next := uint64(1)
	// Nodes that are gone stay in the state, so no number is given twice. What was decided
	// about a node stays as well: it says of itself where it is, not whether it drains.
	for _, other := range s.nodes {
		next = max(next, other.ID+1)
		if other.UUID == n.UUID && other.Gone {
			return 0, nil, protocol.Errorf(protocol.CodeNotAllowed,
				"node %d has been replaced for good: it can only come back with an empty data directory, as a new node", other.ID)
		}
		if other.UUID == n.UUID {
			n.ID, n.CreatedAt, n.Draining, n.Leaving = other.ID, other.CreatedAt, other.Draining, other.Leaving
		}
	}
	for _, other := range s.nodes {
		if other.Name == n.Name && other.ID != n.ID && !other.Gone {
			return 0, nil, protocol.Errorf(protocol.CodeNotAllowed,
				"the fleet has a node named %q already: give this one another name with node.name", n.Name).With("node", other.ID)
		}
	}
	if n.ID == 0 {
		n.ID = next
	}
	if have := s.nodes[n.ID]; have != nil && *have == n {
		return n.ID, nil, nil
	}
	return n.ID, []metarecord.Record{nodeRecord(n)}, nil
}

// DecidePlaceCluster enters a cluster that is to be created, with its brokers spread
// over the nodes for which usable is true: each at a node of its own as far as there
// are enough, then over racks, then over the nodes with the fewest brokers. No records
// where it exists with the same settings, which spec is held against. Errors:
// cluster_exists, directory_in_use, not_enough_replicas where no node is usable.
func (s *fleetState) DecidePlaceCluster(c ClusterSettings, spec *protocol.ClusterSpec, usable func(uint64) bool) (*PlacedCluster, []metarecord.Record, *protocol.Error) {
	if have := s.PlacedByName(c.Name); have != nil {
		return have, nil, have.Settings.Conflict(spec)
	}
	// One that is being deleted may have files there yet. Nodes that still do wait with the
	// new one until they are gone.
	for _, p := range s.placed {
		if p.Phase != PlacedDeleting && overlaps(p.Settings.LogDirectory, c.LogDirectory) {
			return nil, nil, protocol.Errorf(protocol.CodeDirectoryInUse,
				"log_directory %q is equal to, inside or around that of cluster %q", c.LogDirectory, p.Settings.Name)
		}
	}
	nodes := s.spread(c.NumBrokers, usable)
	if nodes == nil {
		return nil, nil, protocol.Errorf(protocol.CodeNotEnoughReplicas, "no node of the fleet can take a broker")
	}
	p := &PlacedCluster{Settings: c, Nodes: nodes, Phase: PlacedCreating}
	return p, append(s.noteClusters(), placedRecord(*p)), nil
}

// noteClusters says for good that the fleet has had a cluster: without it the default one
// would be made again after the last was deleted.
func (s *fleetState) noteClusters() []metarecord.Record {
	if s.hadPlaced {
		return nil
	}
	v := struct {
		V int `json:"v"`
	}{metarecord.Format}
	return []metarecord.Record{{Action: actionNoteClusters, Key: metarecord.Key(keyHad), Value: metarecord.JSON(v)}}
}

// Overlaps reports whether one of two clusters would have its directory in, or
// around, that of the other.
func (p *PlacedCluster) Overlaps(other *PlacedCluster) bool {
	return overlaps(p.Settings.LogDirectory, other.Settings.LogDirectory)
}

func overlaps(a, b string) bool {
	a, b = path.Clean(filepath.ToSlash(a)), path.Clean(filepath.ToSlash(b))
	return a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}

// spread chooses a node for each of n brokers; nil if none is usable.
func (s *fleetState) spread(n int, usable func(uint64) bool) []uint64 {
	load, racks := map[uint64]int{}, map[string]int{}
	var ids []uint64
	for id := range s.nodes {
		if n := s.nodes[id]; usable(id) && !n.Gone && !n.Draining && !n.Leaving {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	// By where brokers are to be, not where they are: those on their way arrive.
	for _, p := range s.placed {
		for i := range p.Nodes {
			load[p.Aim(i+1)]++
		}
	}
	mine := map[uint64]int{}
	nodes := make([]uint64, n)
	for i := range nodes {
		best := slices.MinFunc(ids, func(a, b uint64) int {
			return cmp.Or(
				cmp.Compare(mine[a], mine[b]),
				cmp.Compare(racks[s.nodes[a].Rack], racks[s.nodes[b].Rack]),
				cmp.Compare(load[a], load[b]),
				cmp.Compare(a, b),
			)
		})
		mine[best]++
		load[best]++
		racks[s.nodes[best].Rack]++
		nodes[i] = best
	}
	return nodes
}

// DecideAdoptCluster enters a cluster that a node had before it belonged to a fleet.
func (s *fleetState) DecideAdoptCluster(c ClusterSettings, node uint64) []metarecord.Record {
	if s.placed[c.ID] != nil {
		return nil
	}
	return append(s.noteClusters(), placedRecord(PlacedCluster{Settings: c, Nodes: slices.Repeat([]uint64{node}, c.NumBrokers), Phase: PlacedCreated}))
}

// DecideClusterPhase moves a cluster on: to created, or to deleting with the reason
// why it could not be created. No records where it is there, or past it. Errors:
// cluster_not_found.
func (s *fleetState) DecideClusterPhase(id string, to PlacedPhase, reason string) ([]metarecord.Record, *protocol.Error) {
	p := s.placed[id]
	switch {
	case p == nil:
		return nil, protocol.Errorf(protocol.CodeClusterNotFound, "cluster %s does not exist", id)
	// Whoever says late that it could not be created does not delete what others have made.
	case p.Phase == to, p.Phase == PlacedDeleting, reason != "" && p.Phase == PlacedCreated:
		return nil, nil
	}
	next := *p
	next.Phase, next.Reason = to, reason
	return []metarecord.Record{placedRecord(next)}, nil
}

// DecideClusterRemoved notes that a node has removed its part of a deleted cluster,
// and forgets the cluster when all have.
func (s *fleetState) DecideClusterRemoved(id string, node uint64) []metarecord.Record {
	p := s.placed[id]
	if p == nil || p.Phase != PlacedDeleting || slices.Contains(p.Removed, node) {
		return nil
	}
	next := *p
	next.Removed = append(slices.Clone(p.Removed), node)
	for _, id := range next.Nodes {
		if !slices.Contains(next.Removed, id) {
			return []metarecord.Record{placedRecord(next)}
		}
	}
	return []metarecord.Record{{Action: actionForgetPlaced, Key: metarecord.Key(keyPlaced, id)}}
}

func nodeRecord(n FleetNode) metarecord.Record {
	return metarecord.Record{Action: actionRegisterNode, Key: metarecord.Key(keyNode, n.ID), Value: metarecord.JSON(nodeValue{metarecord.Format, n})}
}

func placedRecord(p PlacedCluster) metarecord.Record {
	return metarecord.Record{Action: actionPlaceCluster, Key: metarecord.Key(keyPlaced, p.Settings.ID), Value: metarecord.JSON(placedValue{metarecord.Format, p})}
}

func (s *fleetState) applyNode(id string, value []byte) error {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return fmt.Errorf("node %q is not a number", id)
	}
	var v nodeValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	if v.ID != n {
		return errors.New("the key is of another node")
	}
	s.nodes[n] = &v.FleetNode
	return nil
}

func (s *fleetState) applyPlaced(id string, value []byte) error {
	if value == nil {
		delete(s.placed, id)
		return nil
	}
	var v placedValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	s.placed[id] = &v.PlacedCluster
	return nil
}
