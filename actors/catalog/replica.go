package catalog

import (
	"slices"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// DecideReplaceReplica allocates a new replica id for the copy on broker
// whose id oldID must not come back (lost, damaged or outdated). Asked again
// for the same oldID it returns the id that is already catching up; asked for
// that one, because it was lost too, it allocates yet another for the same
// place. Errors: partition_not_found, broker_not_found (no such replica).
func (s *State) DecideReplaceReplica(topicID string, partition, broker int, oldID uint64) (newID uint64, recs []metarecord.Record, err *protocol.Error) {
	p := s.partition(topicID, partition)
	if p == nil {
		return 0, nil, noPartition(topicID, partition)
	}
	next := p.clone()
	newID = next.NextReplicaID
	at := slices.IndexFunc(next.Replacing, func(r PendingReplica) bool { return r.Broker == broker })
	switch {
	case at >= 0 && next.Replacing[at].OldID == oldID:
		return next.Replacing[at].NewID, nil, nil
	case at >= 0 && next.Replacing[at].NewID == oldID:
		next.Replacing[at].NewID = newID
	case at < 0 && slices.Contains(next.Replicas, protocol.PlacedReplica{Broker: broker, ReplicaID: oldID}):
		next.Replacing = append(next.Replacing, PendingReplica{Broker: broker, OldID: oldID, NewID: newID})
	default:
		return 0, nil, protocol.Errorf(protocol.CodeBrokerNotFound,
			"partition %d of topic %s has no replica %d on broker %d", partition, topicID, oldID, broker)
	}
	next.NextReplicaID++
	return newID, []metarecord.Record{partitionRecord(actionReplaceReplica, topicID, partition, next)}, nil
}

// DecideReplicaReplaced records that raft's membership has changed: newID
// votes, the id it replaces is gone. The place in the order of preference
// stays. No records if that is known. Errors: partition_not_found,
// broker_not_found (no such replacement).
func (s *State) DecideReplicaReplaced(topicID string, partition, broker int, newID uint64) ([]metarecord.Record, *protocol.Error) {
	p := s.partition(topicID, partition)
	if p == nil {
		return nil, noPartition(topicID, partition)
	}
	if slices.Contains(p.Replicas, protocol.PlacedReplica{Broker: broker, ReplicaID: newID}) {
		return nil, nil
	}
	next := p.clone()
	at := slices.IndexFunc(next.Replacing, func(r PendingReplica) bool { return r.Broker == broker && r.NewID == newID })
	old := -1
	if at >= 0 {
		old = slices.Index(next.Replicas, protocol.PlacedReplica{Broker: broker, ReplicaID: next.Replacing[at].OldID})
	}
	if old < 0 {
		return nil, protocol.Errorf(protocol.CodeBrokerNotFound,
			"partition %d of topic %s has no replica %d under way to broker %d", partition, topicID, newID, broker)
	}
	next.Replicas[old].ReplicaID = newID
	next.Replacing = slices.Delete(next.Replacing, at, at+1)
	return []metarecord.Record{partitionRecord(actionReplicaReplaced, topicID, partition, next)}, nil
}

// clone copies p, so that the copy can be changed.
func (p *Partition) clone() Partition {
	c := *p
	c.Replicas = slices.Clone(p.Replicas)
	c.Replacing = slices.Clone(p.Replacing)
	return c
}

func noPartition(topicID string, partition int) *protocol.Error {
	return protocol.Errorf(protocol.CodePartitionNotFound, "topic %s has no partition %d", topicID, partition)
}

// On returns the replica that a broker shall hold, 0 if none: the one under
// way, if one is being replaced. A founder is one that the partition began
// with.
func (p *Partition) On(broker int) (replica uint64, founder bool) {
	for _, r := range p.Replacing {
		if r.Broker == broker {
			return r.NewID, false
		}
	}
	for _, r := range p.Replicas {
		if r.Broker == broker {
			return r.ReplicaID, r.ReplicaID <= uint64(len(p.Replicas))
		}
	}
	return 0, false
}

// Wanted is the membership to reach: replicas with their successors in place.
func (p *Partition) Wanted() []protocol.PlacedReplica {
	want := slices.Clone(p.Replicas)
	for i := range want {
		for _, r := range p.Replacing {
			if r.Broker == want[i].Broker {
				want[i].ReplicaID = r.NewID
			}
		}
	}
	return want
}
