package remedy

import (
	"slices"

	"ottla/actors/catalog"
	"ottla/protocol"
)

// Remedy is what a damaged replica needs.
type Remedy int

// The remedies. The zero value does no harm.
const (
	Wait    Remedy = iota // other replicas have not reported yet whether they run
	Replace               // a majority of the others runs
	Mend                  // no majority of the others can run
)

// Others is what is known of a partition's other replicas.
type Others struct {
	Partition *catalog.Partition
	// GoesOn reports whether a broker's replica serves until its successor does, because
	// it is sound and merely moves.
	GoesOn func(broker int) bool
	// Reachable reports whether a replica runs, as far as is known at this node.
	Reachable func(id uint64) bool
	// Awaited reports whether the broker of a replica that does not run starts, or runs
	// and may report the replica any moment.
	Awaited func(r protocol.PlacedReplica) bool
}

// Remedy decides what to do about one damaged replica.
func (p Problems) Remedy(key protocol.PartitionID, without uint64, o Others) Remedy {
	sound, unknown := 0, 0
	for _, r := range o.Partition.Replicas {
		replaced := slices.ContainsFunc(o.Partition.Replacing, func(x catalog.PendingReplica) bool { return x.Broker == r.Broker })
		if r.ReplicaID == without || replaced && !o.GoesOn(r.Broker) {
			continue
		}
		_, down := p[Of(key, r.ReplicaID)]
		switch {
		case p.Damaged(key, r.ReplicaID): // it may run for a moment yet, and must not be counted
		case o.Reachable(r.ReplicaID):
			sound++
		case !down && o.Awaited(r): // one that is down has reported
			unknown++
		}
	}
	// Of all replicas, not of those that are left: that the successor is a member must be
	// decided by a majority of the group as it is, in which the damaged one has no voice.
	majority := len(o.Partition.Replicas)/2 + 1
	switch {
	case sound >= majority:
		return Replace
	case sound+unknown >= majority:
		return Wait
	}
	return Mend
}
