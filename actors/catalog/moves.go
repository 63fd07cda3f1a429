package catalog

import (
	"cmp"
	"maps"
	"slices"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Replicas are moved for two reasons: their broker moves to another node (Broker.To),
// or the cluster gets more brokers or fewer (Resize). What is to be done next follows from
// the state alone, so a crash anywhere costs nothing, and whoever changes the aim changes
// what is done from then on. A replica moves as one that is replaced: the new one learns,
// and votes in the old one's stead once it has caught up.

// movesAtOnce is how many replicas of a cluster are moved at a time.
const movesAtOnce = 4

// DecideMoveBroker has a broker's replicas moved to a node, or back to where the broker is.
// No records where that is the aim already.
func (s *State) DecideMoveBroker(id int, to uint64) []metarecord.Record {
	b := s.brokers[id]
	// Without a node the server is alone, and there is nowhere to move to.
	if b == nil || b.Node == 0 || b.To == to || b.To == 0 && b.Node == to {
		return nil
	}
	next := *b
	next.To = to
	return []metarecord.Record{brokerRecord(next)}
}

// goal is the node at which a broker's replicas are to be.
func (b *Broker) goal() uint64 {
	if b.To != 0 {
		return b.To
	}
	return b.Node
}

// Moving reports whether there is anything to move, or to complete.
func (s *State) Moving() bool {
	// Also with nothing left to move: that it is done has to be noted.
	if s.resize != nil && s.resize.Phase == ResizeMoving {
		return true
	}
	for _, b := range s.brokers {
		if b.To != 0 {
			return true
		}
	}
	return false
}

// DecideMoves returns the records of the next step of all moves: moves that are not aimed
// at any more are given up, others are begun as long as few are under way, and what is
// complete is noted. None where the replicas that move have to catch up first.
func (s *State) DecideMoves() []metarecord.Record {
	if !s.Moving() {
		return nil
	}
	m := s.planMoves()
	// By itself: what can be begun depends on what is left after that.
	recs := m.giveUp()
	if len(recs) > 0 {
		return recs
	}
	for _, key := range m.order {
		if m.begun >= movesAtOnce {
			return recs
		}
		if next, ok := m.begin(key); ok {
			recs = append(recs, partitionRecord(actionReplaceReplica, key.TopicID, key.Partition, next))
			m.begun++
		}
	}
	// Last, because the moves before it decide how many replicas each broker has.
	if len(recs) == 0 && m.begun == 0 {
		recs = m.balance()
	}
	return append(recs, m.completed(len(recs) == 0 && m.begun == 0)...)
}

// moves is a plan in the making.
type moves struct {
	s     *State
	order []protocol.PartitionID // internal topics first
	load  map[int]int            // replicas by broker, as they will be
	share map[string]map[int]int // likewise, by topic
	begun int                    // moves under way
}

func (s *State) planMoves() *moves {
	m := &moves{s: s, load: map[int]int{}, share: map[string]map[int]int{}}
	m.order = slices.SortedFunc(maps.Keys(s.partitions), func(a, b protocol.PartitionID) int {
		return cmp.Or(cmp.Compare(m.rank(a), m.rank(b)), protocol.ComparePartitionIDs(a, b))
	})
	for _, key := range m.order {
		p := s.partitions[key]
		// As it will be once all moves are done: else many would go to the broker that is
		// empty now.
		for _, w := range p.Wanted() {
			m.count(key, w.Broker, 1)
		}
		for i := range p.Replacing {
			// Replacements of lost brokers wait for nobody and are not counted.
			if r := &p.Replacing[i]; s.goesOn(p, r) || r.OldID == 0 {
				m.begun++
			}
		}
	}
	return m
}

func (m *moves) count(key protocol.PartitionID, broker, by int) {
	m.load[broker] += by
	if m.share[key.TopicID] == nil {
		m.share[key.TopicID] = map[int]int{}
	}
	m.share[key.TopicID][broker] += by
}

func (m *moves) rank(key protocol.PartitionID) int {
	// Ottla's own topics first: all else needs the metadata, and the cursors that are in
	// them.
	if t := m.s.topics[key.TopicID]; t != nil && t.Internal() {
		return 0
	}
	return 1
}

func (m *moves) isMetadata(key protocol.PartitionID) bool {
	t := m.s.topics[key.TopicID]
	return t != nil && t.Name == protocol.MetadataTopic
}

// leaves reports whether a broker is to be removed.
func (s *State) leaves(broker int) bool {
	return s.resize != nil && s.resize.Phase == ResizeMoving && broker > s.resize.Brokers
}

// giveUp calls off moves to where nothing is to be any more, and resumes those that were
// called off too early.
func (m *moves) giveUp() (recs []metarecord.Record) {
	for _, key := range m.order {
		p := m.s.partitions[key]
		next, changed := p.clone(), false
		for i := range next.Replacing {
			r := &next.Replacing[i]
			// A replacement of what is lost is no move: there is nothing to go back to.
			if !m.s.goesOn(p, r) && r.OldID != 0 {
				continue
			}
			// The aim may have changed twice since.
			if back := !m.aimed(r); back != r.Back {
				r.Back, changed = back, true
			}
		}
		given := func(r PendingReplica) bool { return r.Back && r.NewID == 0 } // nothing has to go for it
		if changed {
			next.Replacing = slices.DeleteFunc(next.Replacing, given)
			recs = append(recs, partitionRecord(actionReplaceReplica, key.TopicID, key.Partition, next))
		}
		// These cost little, but one write should not hold the records of thousands.
		if len(recs) >= movesAtOnce*4 {
			return recs
		}
	}
	return recs
}

// aimed reports whether a move leads to where something is to be.
func (m *moves) aimed(r *PendingReplica) bool {
	to := m.s.brokers[r.Target()]
	switch {
	// It only leaves, and nothing comes in its stead.
	case r.NewID == 0:
		return m.s.leaves(r.Broker)
	case to == nil || m.s.leaves(r.Target()):
		return false
	case r.To == 0 && r.OldID != 0:
		return r.Node == to.goal()
	}
	return true
}

// begin begins the next move of a partition of which nothing moves; false if there is
// none.
func (m *moves) begin(key protocol.PartitionID) (Partition, bool) {
	p := m.s.partitions[key]
	// One at a time: with two of its replicas on their way a partition would depend on
	// fewer.
	if len(p.Replacing) > 0 {
		return Partition{}, false
	}
	for _, r := range p.Replicas {
		b := m.s.brokers[r.Broker]
		if b == nil {
			continue
		}
		at := m.s.Locate(p, r.Broker)
		switch {
		case m.s.leaves(r.Broker):
			// The replica gets another broker.
			if to := m.place(p); to != 0 {
				return m.pending(key, PendingReplica{Broker: r.Broker, OldID: r.ReplicaID, To: to}), true
			}
			// No broker is free: a topic of Ottla's own gets along with fewer copies, those
			// of users keep theirs.
			if m.rank(key) == 0 && len(p.Replicas) > 1 {
				next := p.clone()
				next.Replacing = append(next.Replacing, PendingReplica{Broker: r.Broker, OldID: r.ReplicaID})
				m.count(key, r.Broker, -1)
				return next, true
			}
		// The broker stays, and its replica goes to another node with it.
		case at != 0 && b.goal() != 0 && at != b.goal():
			return m.pending(key, PendingReplica{Broker: r.Broker, OldID: r.ReplicaID, Node: b.goal()}), true
		}
	}
	// A cluster that began with one broker has one copy of these.
	if m.rank(key) == 0 && m.s.resize != nil && m.s.resize.Phase == ResizeMoving && len(p.Replicas) < m.copies(key) {
		if to := m.place(p); to != 0 {
			return m.pending(key, PendingReplica{Broker: to}), true
		}
	}
	return Partition{}, false
}

// copies is how many replicas a partition of an internal topic is to have.
func (m *moves) copies(key protocol.PartitionID) int {
	brokers := 0
	for id := range m.s.brokers {
		if !m.s.leaves(id) {
			brokers++
		}
	}
	if m.isMetadata(key) {
		return len(MetadataVoters(brokers))
	}
	return min(3, brokers)
}

// pending adds a replacement under a new id.
func (m *moves) pending(key protocol.PartitionID, r PendingReplica) Partition {
	next := m.s.partitions[key].clone()
	// An id is never used again: a replica that was away would answer in another's name.
	r.NewID = max(next.NextReplicaID, firstAddedReplica)
	next.NextReplicaID = r.NewID + 1
	next.Replacing = append(next.Replacing, r)
	if r.OldID != 0 {
		m.count(key, r.Broker, -1)
	}
	m.count(key, r.Target(), 1)
	return next
}

// place is the broker for one more replica of a partition: at a node that has none of it
// where there is one, and of those the one with the fewest replicas; 0 if all have one.
func (m *moves) place(p *Partition) int {
	nodes, has := map[uint64]int{}, map[int]bool{}
	for _, r := range p.Wanted() {
		has[r.Broker] = true
		if !m.s.leaves(r.Broker) {
			nodes[m.s.Locate(p, r.Broker)]++
		}
	}
	var best *Broker
	for _, id := range m.s.brokerIDs() {
		b := m.s.brokers[id]
		// One that is moving itself would have to send on what it gets.
		if has[id] || m.s.leaves(id) || b.To != 0 {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(nodes[b.Node], nodes[best.Node]), cmp.Compare(m.load[id], m.load[best.ID])) < 0 {
			best = b
		}
	}
	if best == nil {
		return 0
	}
	return best.ID
}

// balance moves replicas to brokers that are new: until each topic is spread evenly, and
// then all of them together. Each move makes either more equal and the first no less, so
// there is an end to it.
func (m *moves) balance() (recs []metarecord.Record) {
	if m.s.resize == nil || m.s.resize.Phase != ResizeMoving {
		return nil
	}
	// By topic first, since the load of one topic is what shows in a cluster with few.
	for _, evenly := range []func(share map[int]int, from, to int) bool{
		func(share map[int]int, from, to int) bool { return share[from]-share[to] >= 2 },
		func(share map[int]int, from, to int) bool {
			return share[from] > share[to] && m.load[from]-m.load[to] >= 2
		},
	} {
		for _, key := range m.order {
			p, share := m.s.partitions[key], m.share[key.TopicID]
			// The brokers of the metadata are told by the number of all of them.
			if len(p.Replacing) > 0 || m.isMetadata(key) {
				continue
			}
			to := m.place(p)
			if to == 0 {
				continue
			}
			from := slices.MaxFunc(p.Replicas, func(a, b protocol.PlacedReplica) int {
				return cmp.Or(cmp.Compare(share[a.Broker], share[b.Broker]), cmp.Compare(m.load[a.Broker], m.load[b.Broker]))
			})
			if !evenly(share, from.Broker, to) || !m.keepsApart(p, from.Broker, to) {
				continue
			}
			next := m.pending(key, PendingReplica{Broker: from.Broker, OldID: from.ReplicaID, To: to})
			recs = append(recs, partitionRecord(actionReplaceReplica, key.TopicID, key.Partition, next))
			if len(recs) >= movesAtOnce {
				return recs
			}
		}
		if len(recs) > 0 {
			return recs
		}
	}
	return nil
}

// keepsApart reports whether a partition has no fewer nodes after a move.
func (m *moves) keepsApart(p *Partition, from, to int) bool {
	before, after := map[uint64]bool{}, map[uint64]bool{}
	for _, r := range p.Replicas {
		// Where the copy is now, which need not be where its broker will be.
		at := m.s.Locate(p, r.Broker)
		before[at] = true
		if r.Broker == from {
			at = m.s.brokers[to].Node
		}
		after[at] = true
	}
	return len(after) >= len(before)
}

// completed notes which brokers have arrived, and that the cluster has the brokers that it
// is to have. Still says that nothing moves any more.
func (m *moves) completed(still bool) (recs []metarecord.Record) {
	for _, id := range m.s.brokerIDs() {
		b := m.s.brokers[id]
		// Only with all of them: clients are told one node for a broker.
		if b.To == 0 || !m.arrived(b) {
			continue
		}
		next := *b
		next.Node, next.To = b.To, 0
		if b.Node != next.Node { // until that node has said where clients reach it
			for _, other := range m.s.brokers {
				if other.Node == next.Node {
					next.Host, next.Port = other.Host, other.Port
				}
			}
		}
		recs = append(recs, brokerRecord(next))
	}
	if r := m.s.resize; still && r != nil && r.Phase == ResizeMoving && !m.loaded(r.Brokers) {
		recs = append(recs, m.s.resized()...)
	}
	return recs
}

// arrived reports whether all replicas of a broker are where they are to be.
func (m *moves) arrived(b *Broker) bool {
	for _, p := range m.s.partitions {
		for _, r := range p.Replicas {
			if r.Broker == b.ID && m.s.Locate(p, b.ID) != b.To {
				return false
			}
		}
		// What is still on its way, here or from here, may yet be called off.
		if slices.ContainsFunc(p.Replacing, func(r PendingReplica) bool { return r.Target() == b.ID || r.Broker == b.ID }) {
			return false
		}
	}
	return true
}

// loaded reports whether a broker beyond so many has replicas.
func (m *moves) loaded(brokers int) bool {
	for id, n := range m.load {
		if id > brokers && n > 0 {
			return true
		}
	}
	return false
}

// Progress is how far the moves of a broker's replicas are.
type Progress struct {
	Placed  int // replicas of the broker
	Left    int // of these: not where they are to be
	Stuck   protocol.PartitionID
	Waiting bool // Stuck is one of those that are left
}

// Filling lists the partitions of which a replica is to be another one, in no order.
func (s *State) Filling() (all []protocol.PartitionID) {
	for key, p := range s.partitions {
		if len(p.Replacing) > 0 {
			all = append(all, key)
		}
	}
	return all
}

// Progress says how far the moves of each broker are.
func (s *State) Progress() map[int]Progress {
	all := map[int]Progress{}
	for key, p := range s.partitions {
		for _, r := range p.Replicas {
			b := s.brokers[r.Broker]
			if b == nil {
				continue
			}
			n := all[r.Broker]
			n.Placed++
			if at := s.Locate(p, r.Broker); s.leaves(r.Broker) || at != 0 && at != b.goal() || slices.ContainsFunc(p.Replacing, func(x PendingReplica) bool { return x.Broker == r.Broker }) {
				n.Left++
				// Rather one that has begun: of that it can be said what it waits for.
				if !n.Waiting || len(p.Replacing) > 0 {
					n.Stuck, n.Waiting = key, true
				}
			}
			all[r.Broker] = n
		}
	}
	return all
}
