package catalog

import (
	"slices"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// DecideReplaceReplica allocates a new replica id in the place of oldID, the
// replica on broker that must not come back (lost, damaged or outdated). Called
// again for the same oldID it returns the id that is catching up already, and no
// records; called for that id, because it was lost too, it allocates another one
// for the same place. Errors: partition_not_found, broker_not_found (no such replica).
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

// DecideReplicaReplaced records that raft's membership has changed: newID votes,
// and the id that it replaces does not. It keeps that one's place in the order of
// preference. No records are returned if that is known already. Errors: partition_not_found,
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

// On returns the id of the replica that a broker is to have, 0 if none: while one
// is being replaced, that is its successor. Founder reports that the partition
// began with this replica.
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

// Wanted is the membership to reach: the replicas, each that is being replaced as
// its successor. The order is that of preference.
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
