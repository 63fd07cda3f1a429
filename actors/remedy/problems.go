package remedy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/replica"
	"ottla/protocol"
)

// Problem is why a replica does not run although it should.
type Problem struct {
	Holder  int // the broker, by the number under which its cluster keeps it
	Broker  int // the broker as clients know it
	Cause   error
	Fault   replica.Fault
	Running bool // it runs all the same, as the only copy, and serves what it can read
	Refused bool // it cannot be mended as things are
}

// Problems are the replicas of a cluster that do not run. They belong to the cluster's
// actor: no method may be called from two goroutines. A replica is in them from the time
// its broker reports it until it runs again, is not wanted any more, or its broker stops.
type Problems map[protocol.ReplicaID]Problem

// Of names a replica of a partition.
func Of(key protocol.PartitionID, id uint64) protocol.ReplicaID {
	return protocol.ReplicaID{TopicID: key.TopicID, Partition: key.Partition, Replica: id}
}

func partitionOf(id protocol.ReplicaID) protocol.PartitionID {
	return protocol.PartitionID{TopicID: id.TopicID, Partition: id.Partition}
}

// Damaged reports whether a replica can only be made whole from others.
func (p Problems) Damaged(key protocol.PartitionID, id uint64) bool {
	problem, down := p[Of(key, id)]
	return down && problem.Fault.NeedsPeers()
}

// Partitions are those that have a replica with a problem. The result is a copy: what is
// done about one may change p.
func (p Problems) Partitions() map[protocol.PartitionID]bool {
	keys := map[protocol.PartitionID]bool{}
	for id := range p {
		keys[partitionOf(id)] = true
	}
	return keys
}

// In reports whether a partition has a replica with a problem.
func (p Problems) In(key protocol.PartitionID) bool {
	for id := range p {
		if partitionOf(id) == key {
			return true
		}
	}
	return false
}

// Lost is the problem of a replica that was lost with its broker's directory, until its
// successor is a voter. Kept reports whether another broker has its directory.
func Lost(part *catalog.Partition, holder, broker int, kept func(broker int) bool) Problem {
	left := 0
	for _, r := range part.Replicas {
		if r.Broker != broker && kept(r.Broker) {
			left++
		}
	}
	cause := errors.New("its directory was lost or an older copy; the replica is being rebuilt")
	if left < len(part.Replicas)/2+1 {
		cause = fmt.Errorf("with it a majority of the partition's replicas was lost; if it stays without a leader,"+
			" put the directories back or see '%s'", datadir.RepairCommand)
	}
	return Problem{Holder: holder, Broker: broker, Fault: replica.FaultLost, Cause: cause}
}

// Refuse notes why a damaged replica cannot be mended as things are. It reports whether the
// replica is still down.
func (p Problems) Refuse(id protocol.ReplicaID, cause error) bool {
	problem, down := p[id]
	if down {
		problem.Cause, problem.Refused = cause, true
		p[id] = problem
	}
	return down
}

// ForgetHolder forgets what is known of a stopped broker's replicas. After its next start
// it reports them anew; until then what they were says nothing of what they are.
func (p Problems) ForgetHolder(holder int) {
	maps.DeleteFunc(p, func(_ protocol.ReplicaID, x Problem) bool { return x.Holder == holder })
}

// ForgetTopic forgets the replicas of a topic that was deleted.
func (p Problems) ForgetTopic(topicID string) {
	maps.DeleteFunc(p, func(id protocol.ReplicaID, _ Problem) bool { return id.TopicID == topicID })
}

// ForgetLeft forgets the replicas of a partition that are no members any more, and not
// wanted either. One that still votes keeps its problem, although its successor is decided
// on: the group needs it, or its successor, for a majority.
func (p Problems) ForgetLeft(key protocol.PartitionID, part *catalog.Partition, voters []uint64) {
	maps.DeleteFunc(p, func(id protocol.ReplicaID, _ Problem) bool {
		return partitionOf(id) == key && !slices.Contains(voters, id.Replica) &&
			!slices.ContainsFunc(part.Wanted(), func(r protocol.PlacedReplica) bool { return r.ReplicaID == id.Replica })
	})
}

// ForgetReplaced forgets the replicas that the metadata does not have any more. Members is
// a partition's placement, nil where it is not known: of such a partition nothing is
// forgotten.
func (p Problems) ForgetReplaced(members func(protocol.PartitionID) *catalog.Partition) {
	maps.DeleteFunc(p, func(id protocol.ReplicaID, _ Problem) bool {
		part := members(partitionOf(id))
		return part != nil && len(part.Replicas) > 0 &&
			!slices.ContainsFunc(part.Replicas, func(r protocol.PlacedReplica) bool { return r.ReplicaID == id.Replica }) &&
			!slices.ContainsFunc(part.Replacing, func(x catalog.PendingReplica) bool { return x.NewID == id.Replica })
	})
}

// Describe describes the problems of each partition's replicas, as readiness shows them.
// The text is the same as long as the problems are: readiness is compared with what it was.
func (p Problems) Describe(members func(protocol.PartitionID) *catalog.Partition) map[protocol.PartitionID]string {
	lines := map[protocol.PartitionID][]string{}
	refused := map[protocol.PartitionID]bool{}
	for id, problem := range p {
		at := partitionOf(id)
		lines[at] = append(lines[at], fmt.Sprintf("broker %d: %s: %v", problem.Broker, problem.Fault, problem.Cause))
		refused[at] = refused[at] || problem.Refused
	}
	all := map[protocol.PartitionID]string{}
	for at, list := range lines {
		slices.Sort(list)
		all[at] = strings.Join(list, "; ")
		switch part := members(at); {
		case !refused[at]:
		case part != nil && len(part.Replicas) == 1:
			all[at] += "; it has no other copy, see 'ottla log repair'"
		default:
			all[at] += "; unless a copy becomes whole again, see '" + datadir.RepairCommand + "'"
		}
	}
	return all
}
