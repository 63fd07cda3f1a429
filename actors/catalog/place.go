package catalog

import (
	"slices"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// placeReplicas places partitions from..to-1 of a topic with rf copies each.
// Preferred leaders rotate over the brokers beginning at brokers[start]; the
// other copies follow at a distance that grows each time the rotation comes back
// to the same broker, so that the partitions a broker leads fail over to different
// brokers. The ids of the replicas are 1 to rf, in all partitions: by that it is known
// later which are founders (State.Held), the only ones that may begin a group.
func placeReplicas(brokers []int, start, from, to, rf int) []Partition {
	n := len(brokers)
	placed := make([]Partition, 0, to-from)
	for p := from; p < to; p++ {
		leader := start + p
		replicas := []protocol.PlacedReplica{{Broker: brokers[leader%n], ReplicaID: 1}}
		for j := 1; j < rf; j++ {
			shift := 1 + (p/n+j-1)%(n-1)
			replicas = append(replicas, protocol.PlacedReplica{Broker: brokers[(leader+shift)%n], ReplicaID: uint64(j + 1)})
		}
		placed = append(placed, Partition{Replicas: replicas, NextReplicaID: uint64(rf + 1)})
	}
	return placed
}

// chosenReplicas places as many partitions with rf copies each on brokers that somebody has
// chosen of those that there are. Errors: not_allowed.
func chosenReplicas(all []int, chosen [][]int, partitions, rf int) ([]Partition, *protocol.Error) {
	refuse := func(format string, args ...any) ([]Partition, *protocol.Error) {
		return nil, protocol.Errorf(protocol.CodeNotAllowed, "replicas: "+format, args...).With("field", "assignment")
	}
	if len(chosen) != partitions {
		return refuse("they are chosen for %d partitions, not %d", len(chosen), partitions)
	}
	placed := make([]Partition, 0, partitions)
	for i, brokers := range chosen {
		if len(brokers) != rf {
			return refuse("partition %d of those has %d, not %d", i, len(brokers), rf)
		}
		var replicas []protocol.PlacedReplica
		for j, b := range brokers {
			if indexOf(all, b) < 0 {
				return refuse("there is no broker %d", b)
			}
			if slices.Contains(brokers[:j], b) {
				return refuse("broker %d has two copies of one partition", b)
			}
			// The same ids as with placeReplicas.
			replicas = append(replicas, protocol.PlacedReplica{Broker: b, ReplicaID: uint64(j + 1)})
		}
		placed = append(placed, Partition{Replicas: replicas, NextReplicaID: uint64(rf + 1)})
	}
	return placed, nil
}

// nextReplicaID is the first id above those of replicas.
func nextReplicaID(replicas []protocol.PlacedReplica) uint64 {
	next := uint64(1)
	for _, r := range replicas {
		next = max(next, r.ReplicaID+1)
	}
	return next
}

func indexOf(brokers []int, id int) int { return slices.Index(brokers, id) }

// newTopicRecords are the records of a new topic and its partitions.
func newTopicRecords(t Topic, placed []Partition) []metarecord.Record {
	return append([]metarecord.Record{topicRecord(actionCreateTopic, t)}, placementRecords(t.ID, 0, placed)...)
}

// placementRecords are the records of partitions from, from+1, ...
func placementRecords(topicID string, from int, placed []Partition) []metarecord.Record {
	recs := make([]metarecord.Record, len(placed))
	for i, p := range placed {
		recs[i] = partitionRecord(actionPlacePartition, topicID, from+i, p)
	}
	return recs
}

func topicRecord(action string, t Topic) metarecord.Record {
	return metarecord.Record{Action: action, Key: metarecord.Key(keyTopic, t.ID), Value: metarecord.JSON(topicValue{V: metarecord.Format, Topic: &t})}
}

func partitionRecord(action, topicID string, partition int, p Partition) metarecord.Record {
	return metarecord.Record{Action: action, Key: metarecord.Key(keyPartition, topicID, partition), Value: metarecord.JSON(partitionValue{metarecord.Format, p})}
}
