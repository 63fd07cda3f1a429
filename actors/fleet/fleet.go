package fleet

import (
	"log/slog"
	"maps"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/link"
	"ottla/protocol"
)

// Options are what a fleet needs of its node.
type Options struct {
	Self     catalog.FleetNode // what the node says of itself; without id
	Alive    func(id uint64) bool
	Said     func(id link.NodeID) (link.Identity, bool) // what another node has said of itself; false where it is not heard of
	Expelled func() bool                                // another node has said that this one is gone
	Holds    bool                                       // the level is not to be raised by itself, as long as this node runs
	Room     int                                        // replicas that a node carries; 0: any number
	Level    int                                        // of the fleet, as it was noted here last
	Raise    func(to int) error                         // notes that the fleet has a level, and tells other nodes
	Clusters func() map[string]*routing.Cluster         // that clients see, by name
	Changed  func(*View)                                // called when the metadata has changed
	Timeout  time.Duration                              // of changes that nobody waits for by a deadline of his own
	Now      func() time.Time
	Log      *slog.Logger
	Stopped  <-chan struct{} // closed when the node begins to end
}

// Metadata is the fleet's own, at this node.
type Metadata interface {
	routing.Control
	// ChangeSoon changes it as soon as that can be done, and tries until then.
	ChangeSoon(decide func(*catalog.State) ([]metarecord.Record, *protocol.Error))
	// Routes is the metadata as a cluster.
	Routes() *routing.Cluster
}

// Fleet is the fleet that a node belongs to, or is to belong to.
type Fleet struct {
	o     Options
	view  atomic.Pointer[View]   // nil until the metadata is recovered
	found chan struct{}          // closed when the node belongs to the fleet: the fields below are set
	why   atomic.Pointer[string] // why it does not belong to one yet

	node *datadir.Node
	meta Metadata

	level atomic.Int64 // that this node may write; it is noted, so that older programs refuse the data directory
}

// New returns a fleet that the node does not belong to yet.
func New(o Options) *Fleet {
	f := &Fleet{o: o, found: make(chan struct{})}
	// What was noted last holds again at once: this node may have written at that level.
	f.level.Store(int64(max(level.Oldest, o.Level)))
	return f
}

// Waits says why the node does not belong to the fleet yet.
func (f *Fleet) Waits(why string) { f.why.Store(&why) }

// Found says which fleet it is. Until Begin the fleet is of use to the node's actor
// only.
func (f *Fleet) Found(node *datadir.Node) { f.node = node }

// Meta gives the fleet its metadata; the first call counts.
func (f *Fleet) Meta(m Metadata) {
	if f.meta == nil {
		f.meta = m
	}
}

// Metadata is the fleet's metadata, nil if it does not run or is not followed yet.
func (f *Fleet) Metadata() Metadata { return f.meta }

// Begin says that the node belongs to the fleet.
func (f *Fleet) Begin() { close(f.found) }

// View is the fleet's metadata; nil until that is recovered.
func (f *Fleet) View() *View { return f.view.Load() }

// ErrJoining is the answer to everything until the node belongs to a fleet.
var ErrJoining = protocol.Errorf(protocol.CodeStarting, "this node does not belong to its fleet yet")

// Belongs reports whether the node belongs to its fleet, and the fleet's metadata
// runs or is followed here.
func (f *Fleet) Belongs() bool {
	select {
	case <-f.found:
		return true
	default:
		return false
	}
}

// Joining is why the node does not belong to its fleet yet, "" if it does, or is
// alone.
func (f *Fleet) Joining() string {
	switch {
	case f == nil:
		return ""
	// Another node has told it: what the metadata says of it need not have come here.
	case f.Belongs() && f.o.Expelled():
		return "it is gone: it has left the fleet for good; stop it, it can only come back with an empty data directory, as a new node"
	case f.Belongs():
		return ""
	}
	if why := f.why.Load(); why != nil {
		return *why
	}
	return "looking for the fleet"
}

// Publish is called by the actor of the fleet's metadata when that has changed.
func (f *Fleet) Publish(s *catalog.State) {
	v := &View{Nodes: maps.Clone(s.FleetNodes()), Placed: maps.Clone(s.Placed()), Tasks: maps.Clone(s.Tasks()), HadClusters: s.HadClusters(), Level: s.Level()}
	if f.view.Swap(v) == nil {
		f.register() // not before: in a fleet that is not founded yet it would be the first node
	}
	f.o.Changed(v)
}

// Self is the number of this node.
func (f *Fleet) Self() uint64 { return f.node.Node }

// Usable reports whether a node may get new brokers.
func (f *Fleet) Usable(id uint64) bool {
	// It never hears of itself over the link.
	return id == f.Self() || f.o.Alive(id)
}

// register puts into the fleet's metadata what has changed of this node.
func (f *Fleet) register() {
	n := f.o.Self
	f.meta.ChangeSoon(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		_, recs, err := s.DecideRegisterNode(n)
		if err != nil {
			f.o.Log.Error("this node is not registered", "error", err)
		}
		return recs, err
	})
}

// Enter enters another node, whose program goes up to a level, into the fleet's metadata,
// and returns its number and the nodes that there are. Errors: starting; not_allowed for a
// program that is too old; those of catalog.State.DecideRegisterNode and of the metadata.
func (f *Fleet) Enter(n catalog.FleetNode, newest int) (id uint64, members []catalog.FleetNode, err *protocol.Error) {
	if !f.Belongs() || f.view.Load() == nil {
		return 0, nil, protocol.Errorf(protocol.CodeStarting, "node %q does not know its fleet's metadata yet", f.o.Self.Name)
	}
	// Whatever the other says of these: both are given here.
	n.ID, n.CreatedAt = 0, f.o.Now().UnixMilli()
	err = f.meta.Change(time.Now().Add(f.o.Timeout), func(s *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		// Inside of the decision, because the level may be raised between a look at it and
		// the entry.
		if newest < s.Level() {
			return nil, protocol.Errorf(protocol.CodeNotAllowed, "the fleet is at level %d, and this program (version %s) goes up to level %d: start a newer version", s.Level(), n.Version, newest)
		}
		id, recs, err = s.DecideRegisterNode(n)
		// Anew each time it is decided.
		members = members[:0]
		for _, other := range s.FleetNodes() {
			if !other.Gone {
				members = append(members, *other)
			}
		}
		return recs, err
	})
	return id, members, err
}

// Places is where clients reach the brokers of a cluster that are at nodes elsewhere,
// as far as that is known.
func (f *Fleet) Places(elsewhere map[int]link.NodeID) map[int]catalog.Broker {
	// The founders first, for as long as there is no view; what the metadata says of a node
	// comes later in the list, and counts.
	nodes := Founders(&f.node.Founding).Nodes
	if v := f.view.Load(); v != nil {
		for _, n := range v.Nodes {
			nodes = append(nodes, *n)
		}
	}
	places := map[int]catalog.Broker{}
	for id, node := range elsewhere {
		place := catalog.Broker{Node: uint64(node)}
		for _, n := range nodes {
			if host, port, err := net.SplitHostPort(n.HTTP); err == nil && n.ID == place.Node {
				place.Host = host
				place.Port, _ = strconv.Atoi(port) // 0 where it makes no sense
			}
		}
		places[id] = place
	}
	return places
}
