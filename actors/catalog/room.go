package catalog

import (
	"time"

	"ottla/protocol"
)

// quotaPatience is when to ask again for partitions beyond a quota: topics are deleted
// by people.
const quotaPatience = time.Minute

// Replicas is how many replicas the cluster has, those of internal topics included.
func (s *State) Replicas() int {
	n := 0
	for _, t := range s.topics {
		n += t.Partitions * t.ReplicationFactor
	}
	return n
}

// Owned is how many partitions the topics have, by the tokens that have created them.
func (s *State) Owned() map[string]int64 {
	owned := map[string]int64{}
	for _, t := range s.topics {
		if t.Owner != "" {
			owned[t.Owner] += int64(t.Partitions)
		}
	}
	return owned
}

// OwnedPartitions is how many partitions the topics have that owner has created.
func (s *State) OwnedPartitions(owner string) (n int64) {
	for _, t := range s.topics {
		if t.Owner == owner {
			n += int64(t.Partitions)
		}
	}
	return n
}

// admit refuses partitions for which there is no room. Errors: too_many_partitions,
// quota_exceeded.
func (r *Room) admit(s *State, partitions, replicationFactor int) *protocol.Error {
	if r.Replicas > 0 {
		if have, asked := s.Replicas()+r.ReplicasElsewhere, partitions*replicationFactor; have+asked > r.Replicas {
			return TooManyPartitions(have, asked, r.Replicas)
		}
	}
	if r.Owned > 0 && r.Owner != "" {
		if have := s.OwnedPartitions(r.Owner) + r.OwnedElsewhere; have+int64(partitions) > r.Owned {
			e := protocol.Errorf(protocol.CodeQuotaExceeded, "the topics of %q have %d partitions: with %d more they would exceed its quota of %d",
				r.Owner, have, partitions, r.Owned).With("quota", "partitions").With("limit", r.Owned).With("used", have).With("asked", partitions)
			e.RetryAfter = quotaPatience
			return e
		}
	}
	return nil
}

// TooManyPartitions refuses replicas beyond what the node carries.
func TooManyPartitions(have, asked, limit int) *protocol.Error {
	return protocol.Errorf(protocol.CodeTooManyPartitions, "the node carries %d replicas of partitions: with %d more they would exceed limits.partitions, %d",
		have, asked, limit).With("limit", limit).With("used", have).With("asked", asked)
}
