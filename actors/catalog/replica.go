package catalog

import (
	"maps"
	"slices"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// DecideReplaceReplica allocates a new replica id in the place of oldID, the replica on
// broker that must not come back (lost, damaged or outdated). Node is where its
// directory is, if that is not where the broker is: it moves. Called again for the same
// oldID it returns the id that is catching up already; called for that id, because it was
// lost too, it allocates another one for the same place. Errors: partition_not_found,
// broker_not_found (no such replica).
func (s *State) DecideReplaceReplica(topicID string, partition, broker int, oldID, node uint64) (newID uint64, recs []metarecord.Record, err *protocol.Error) {
	p := s.partition(topicID, partition)
	if p == nil {
		return 0, nil, noPartition(topicID, partition)
	}
	next := p.clone()
	newID = next.NextReplicaID
	at := slices.IndexFunc(next.Replacing, func(r PendingReplica) bool {
		return r.Broker == broker && r.OldID == oldID || r.Target() == broker && r.NewID == oldID
	})
	switch {
	case at >= 0 && next.Replacing[at].OldID == oldID && !s.goesOn(p, &next.Replacing[at]):
		return next.Replacing[at].NewID, nil, nil
	// It was being moved, and is lost before its successor votes. That one takes its place at
	// once, and the move is not called off any more: there is nothing to go back to.
	case at >= 0 && next.Replacing[at].OldID == oldID:
		next.Replacing[at].Lost, next.Replacing[at].Back = true, false
		return next.Replacing[at].NewID, []metarecord.Record{partitionRecord(actionReplaceReplica, topicID, partition, next)}, nil
	// The successor is lost, too. It may have voted, so it gets one itself, for the same place.
	case at >= 0:
		next.Replacing[at].NewID = newID
	case slices.Contains(next.Replicas, protocol.PlacedReplica{Broker: broker, ReplicaID: oldID}):
		next.Replacing = append(next.Replacing, PendingReplica{Broker: broker, OldID: oldID, NewID: newID, Node: node})
	default:
		return 0, nil, protocol.Errorf(protocol.CodeBrokerNotFound,
			"partition %d of topic %s has no replica %d on broker %d", partition, topicID, oldID, broker)
	}
	next.NextReplicaID++
	return newID, []metarecord.Record{partitionRecord(actionReplaceReplica, topicID, partition, next)}, nil
}

// DecideReplicaReplaced records that raft's membership has changed: newID votes,
// and the id that it replaces on broker does not; or, of a move that was called off, that
// it is the other way round. It keeps that one's place in the order
// of preference. NewID is 0 where nothing takes its place. No records are returned if that
// is known already. Errors: partition_not_found, broker_not_found (no such replacement).
func (s *State) DecideReplicaReplaced(topicID string, partition, broker int, newID uint64) ([]metarecord.Record, *protocol.Error) {
	p := s.partition(topicID, partition)
	if p == nil {
		return nil, noPartition(topicID, partition)
	}
	next := p.clone()
	at := slices.IndexFunc(next.Replacing, func(r PendingReplica) bool { return r.Broker == broker && r.NewID == newID })
	if at < 0 {
		if newID != 0 && slices.ContainsFunc(next.Replicas, func(r protocol.PlacedReplica) bool { return r.ReplicaID == newID }) {
			return nil, nil
		}
		return nil, protocol.Errorf(protocol.CodeBrokerNotFound,
			"partition %d of topic %s has no replica %d under way to broker %d", partition, topicID, newID, broker)
	}
	r := next.Replacing[at]
	next.Replacing = slices.Delete(next.Replacing, at, at+1)
	old := slices.Index(next.Replicas, protocol.PlacedReplica{Broker: broker, ReplicaID: r.OldID})
	// The old replica stays where it is, and was never taken out of the placement.
	if r.Back {
		return []metarecord.Record{partitionRecord(actionReplicaReplaced, topicID, partition, next)}, nil
	}
	// That was of the old replica. The new one is where its broker is, unless it is said below.
	delete(next.Moved, broker)
	switch successor := (protocol.PlacedReplica{Broker: r.Target(), ReplicaID: newID}); {
	case r.OldID == 0:
		next.Replicas = append(next.Replicas, successor)
	case old >= 0 && newID == 0:
		next.Replicas = slices.Delete(next.Replicas, old, old+1)
	case old >= 0:
		next.Replicas[old] = successor
	}
	if r.Node != 0 && newID != 0 {
		if next.Moved == nil {
			next.Moved = map[int]uint64{}
		}
		next.Moved[r.Target()] = r.Node
	}
	return []metarecord.Record{partitionRecord(actionReplicaReplaced, topicID, partition, next)}, nil
}

// clone copies p, so that the copy can be changed.
func (p *Partition) clone() Partition {
	c := *p
	c.Replicas = slices.Clone(p.Replicas)
	c.Replacing = slices.Clone(p.Replacing)
	c.Moved = maps.Clone(p.Moved)
	return c
}

// Target is the broker of the new replica.
func (r *PendingReplica) Target() int {
	if r.To != 0 {
		return r.To
	}
	return r.Broker
}

// Done reports whether a group with these voters has got what the replacement wants.
func (r *PendingReplica) Done(voters []uint64) bool {
	if r.Back {
		return (r.OldID == 0 || slices.Contains(voters, r.OldID)) && !slices.Contains(voters, r.NewID)
	}
	return (r.NewID == 0 || slices.Contains(voters, r.NewID)) && !slices.Contains(voters, r.OldID)
}

func noPartition(topicID string, partition int) *protocol.Error {
	return protocol.Errorf(protocol.CodePartitionNotFound, "topic %s has no partition %d", topicID, partition)
}

// Locate is the node at which a broker has its replica of a partition, 0 where it is not
// known: then it is where the broker is.
func (s *State) Locate(p *Partition, broker int) uint64 {
	if node := p.Moved[broker]; node != 0 {
		return node
	}
	if b := s.brokers[broker]; b != nil {
		return b.Node
	}
	return 0
}

// goesOn reports whether the old replica of a replacement goes on until that is over.
func (s *State) goesOn(p *Partition, r *PendingReplica) bool {
	if r.Lost || r.OldID == 0 {
		return false
	}
	return r.To != 0 || r.NewID == 0 || r.Node != 0 && r.Node != s.Locate(p, r.Broker)
}

// MovedTo is the node at which a broker's replica is, 0 if it is where the broker is.
func (s *State) MovedTo(p *Partition, broker int) uint64 {
	if b := s.brokers[broker]; b != nil && p.Moved[broker] == b.Node {
		return 0
	}
	return p.Moved[broker]
}

// GoesOn reports whether the replica that a broker has of the partition goes on, and
// counts, although another one is to take its place: it is moved.
func (s *State) GoesOn(p *Partition, broker int) bool {
	i := slices.IndexFunc(p.Replacing, func(r PendingReplica) bool { return r.Broker == broker })
	return i >= 0 && s.goesOn(p, &p.Replacing[i])
}

// Held returns the id of the replica that a broker is to have in its directory at a node,
// 0 if none. While a replica is being replaced that is its successor, unless it goes on. Founder
// reports that the partition began with this replica. Node 0 is a process that is alone: all
// is there, also what was elsewhere in a fleet of which it is what is left.
func (s *State) Held(p *Partition, broker int, node uint64) (replica uint64, founder bool) {
	home := true // it is the node where the broker is, and not one that it moves to
	if b := s.brokers[broker]; b != nil {
		home = node == 0 || b.Node == 0 || b.Node == node
	}
	for _, r := range p.Replacing {
		here := r.Node == 0 && home || r.Node != 0 && r.Node == node || node == 0 && !s.goesOn(p, &r)
		if here && r.NewID != 0 && r.Target() == broker {
			return r.NewID, false
		}
	}
	for _, r := range p.Replicas {
		if r.Broker != broker {
			continue
		}
		at := s.Locate(p, broker)
		here := at == node && node != 0 || at == 0 && home || home && node == 0
		replaced := slices.ContainsFunc(p.Replacing, func(x PendingReplica) bool { return x.OldID == r.ReplicaID && !s.goesOn(p, &x) })
		if here && !replaced {
			return r.ReplicaID, r.ReplicaID < firstAddedReplica && r.ReplicaID <= uint64(len(p.Replicas))
		}
	}
	return 0, false
}

// bringHome returns records for the partitions of brokers that are in a process that is
// alone: nothing has moved to where else, and moves to there are called off. The group may
// have the replica that was on its way as a member; it is one that is not wanted.
func (s *State) bringHome(brokers []int) (recs []metarecord.Record) {
	for _, key := range slices.SortedFunc(maps.Keys(s.partitions), protocol.ComparePartitionIDs) {
		p := s.partitions[key]
		next := p.clone()
		maps.DeleteFunc(next.Moved, func(broker int, _ uint64) bool { return slices.Contains(brokers, broker) })
		away := func(r PendingReplica) bool { return r.Node != 0 && slices.Contains(brokers, r.Broker) }
		next.Replacing = slices.DeleteFunc(next.Replacing, func(r PendingReplica) bool { return away(r) && s.goesOn(p, &r) })
		for i := range next.Replacing {
			if away(next.Replacing[i]) {
				next.Replacing[i].Node = 0
			}
		}
		if !maps.Equal(next.Moved, p.Moved) || !slices.Equal(next.Replacing, p.Replacing) {
			recs = append(recs, partitionRecord(actionReplaceReplica, key.TopicID, key.Partition, next))
		}
	}
	return recs
}

// firstAddedReplica is the least id of a replica that is added to a partition: none may
// pass for one with which the partition began.
const firstAddedReplica = maxBrokers + 1

// On is Held where all of the cluster's brokers are in one data directory.
func (p *Partition) On(broker int) (replica uint64, founder bool) {
	return (&State{}).Held(p, broker, 0)
}

// Wanted is the membership to reach: the replicas, each that is being replaced as
// its successor. The order is that of preference.
func (p *Partition) Wanted() []protocol.PlacedReplica {
	want := make([]protocol.PlacedReplica, 0, len(p.Replicas)+1)
	for _, have := range p.Replicas {
		i := slices.IndexFunc(p.Replacing, func(r PendingReplica) bool { return r.OldID == have.ReplicaID })
		switch {
		case i < 0 || p.Replacing[i].Back:
			want = append(want, have)
		case p.Replacing[i].NewID != 0:
			want = append(want, protocol.PlacedReplica{Broker: p.Replacing[i].Target(), ReplicaID: p.Replacing[i].NewID})
		}
	}
	for _, r := range p.Replacing {
		if r.OldID == 0 && !r.Back {
			want = append(want, protocol.PlacedReplica{Broker: r.Target(), ReplicaID: r.NewID})
		}
	}
	return want
}
