package fleet

import (
	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/metarecord"
	"ottla/link"
)

// Layout is where a cluster's brokers are, as one node knows it. Immutable: it is handed
// from the node's actor to the cluster's, and read by clients' goroutines.
type Layout struct {
	Brokers int
	Shared  bool                // with a fleet, whose metadata says all of this
	Nodes   map[int]link.NodeID // of those that are at other nodes
	Aims    map[int]uint64      // the node at which each is to be; nil where that is not known yet
	Moves   map[int]Arrival     // by the number of the arriving one (catalog.MoveKey)
}

// Arrival is a broker on its way to another node.
type Arrival struct {
	Number int         // as clients know it
	Epoch  uint64      // of the move
	Node   link.NodeID // to where, 0: here
}

// LayoutOf is the layout of a fleet's cluster as the fleet's metadata has it.
func LayoutOf(p *catalog.PlacedCluster, self uint64) *Layout {
	l := &Layout{Brokers: len(p.Nodes), Shared: true, Nodes: Elsewhere(p.Nodes, self), Aims: map[int]uint64{}, Moves: map[int]Arrival{}}
	for i := range p.Nodes {
		l.Aims[i+1] = p.Aim(i + 1)
	}
	for b, m := range p.Moves {
		l.Moves[catalog.MoveKey(b, m.Epoch)] = arrivalAt(b, m.Epoch, m.Node, self)
	}
	return l
}

// LayoutBefore is the layout as far as this node knew when it was stopped. Of the moves it
// has only those to this node: their directories are here, and the replicas in them
// may be needed to read the fleet's metadata, which has the others.
func LayoutBefore(m datadir.ClusterManifest, self uint64) *Layout {
	l := &Layout{Brokers: m.NumBrokers}
	if len(m.Nodes) > 0 {
		l.Shared, l.Nodes, l.Moves = true, Elsewhere(m.Nodes, self), map[int]Arrival{}
	}
	for b, epoch := range m.Arriving {
		l.Moves[catalog.MoveKey(b, epoch)] = arrivalAt(b, epoch, self, self)
	}
	return l
}

func arrivalAt(number int, epoch, node, self uint64) Arrival {
	if node == self {
		node = 0
	}
	return Arrival{Number: number, Epoch: epoch, Node: link.NodeID(node)}
}

// Due reports whether there may be a move to decide on, or one that is over and that the
// fleet is to hear of.
func (l *Layout) Due(s *catalog.State) bool {
	r := s.Resizing()
	return s.Moving() || len(l.Moves) > 0 || l.Brokers > s.BrokerCount() || r != nil && r.Phase == catalog.ResizeRemoving || l.misplaces(s)
}

// misplaces reports whether a broker is not where the fleet wants it.
func (l *Layout) misplaces(s *catalog.State) bool {
	for id, aim := range l.Aims {
		if b := s.BrokerAt(id); b != nil && b.Node != aim {
			return true
		}
	}
	return false
}

// Ground is what a decision on moves stands on, beside the cluster's metadata.
type Ground struct {
	Running func(broker int) bool              // it has a directory, and is let in
	Awaited func(broker int, node uint64) bool // it has a directory at the node to which it is to move
	Gone    func(node uint64) bool             // the node is lost for good
	Places  map[int]catalog.Broker             // where clients reach brokers that are about to be made
	Task    string                             // id of a change of the number of brokers that begins now
	Now     int64                              // milliseconds since 1970, as the fleet has it
}

// Decide returns the records of what is to be done next about moves, none if there is
// nothing. It decides on one step: the next follows on the state that has this one. Nothing
// is moved to a broker that has no directory yet.
func (l *Layout) Decide(s *catalog.State, g Ground) []metarecord.Record {
	r := s.Resizing()
	switch settled := r == nil || r.Phase == catalog.ResizeDone; {
	case settled && l.Brokers > s.BrokerCount():
		for id := s.BrokerCount() + 1; id <= l.Brokers; id++ {
			if !g.Running(id) {
				return nil
			}
		}
		return s.DecideGrow(l.Brokers, g.Places, g.Task, g.Now)
	case !settled && r.Phase == catalog.ResizeRemoving && l.Brokers <= r.Brokers:
		return s.DecideRemoved()
	}
	for id := 1; id <= l.Brokers; id++ {
		b := s.BrokerAt(id)
		if aim := l.Aims[id]; aim != 0 && b != nil && !g.Gone(b.Node) && (aim == b.Node || g.Awaited(id, aim)) {
			if recs := s.DecideMoveBroker(id, aim); len(recs) > 0 {
				return recs
			}
		}
	}
	return s.DecideMoves()
}
