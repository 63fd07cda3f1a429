package protocol

import (
	"fmt"
	"strings"
)

// PartitionID names a partition. Its topic is named by id, not by name: a
// topic that is deleted and created again is another topic.
type PartitionID struct {
	TopicID   string
	Partition int // from 0
}

// ComparePartitionIDs orders by topic id, then by partition number.
func ComparePartitionIDs(a, b PartitionID) int {
	if c := strings.Compare(a.TopicID, b.TopicID); c != 0 {
		return c
	}
	return a.Partition - b.Partition
}

// ReplicaID names one replica of a partition within a cluster. Replica is its
// raft id, unique within the partition only and never used twice there.
type ReplicaID struct {
	TopicID   string
	Partition int
	Replica   uint64
}

// String implements fmt.Stringer.
func (id ReplicaID) String() string {
	return fmt.Sprintf("replica %d of topic %s partition %d", id.Replica, id.TopicID, id.Partition)
}

// PlacedReplica is a replica of a known partition: the broker that has it, from
// 1, and its raft id.
type PlacedReplica struct {
	Broker    int    `json:"broker"`
	ReplicaID uint64 `json:"id"`
}
