package catalog

import (
	"time"

	"ottla/protocol"
)

// quotaPatience is when to ask again for partitions beyond a quota: topics are deleted
// by people.
const quotaPatience = time.Minute

// Replicas is how many replicas of the cluster each node of the fleet carries, those of
// internal topics included; 0 is the only node where there is no fleet. One that is being
// moved counts where it comes from until it has arrived.
func (s *State) Replicas() map[uint64]int {
	carried := map[uint64]int{}
	for _, p := range s.partitions {
		for _, r := range p.Replicas {
			if s.brokers[r.Broker] != nil {
				carried[s.Locate(p, r.Broker)]++
			}
		}
	}
	return carried
}

// shares are how many of so many new replicas each node gets, at most: they are placed
// on all brokers in turn.
func (s *State) shares(replicas int) map[uint64]int {
	brokers := map[uint64]int{}
	for _, b := range s.brokers {
		brokers[b.Node]++
	}
	for node, n := range brokers {
		brokers[node] = (replicas*n + len(s.brokers) - 1) / len(s.brokers)
	}
	return brokers
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
		carried := s.Replicas()
		for node, asked := range s.shares(partitions * replicationFactor) {
			if have := carried[node] + r.ReplicasElsewhere[node]; have+asked > r.Replicas {
				return TooManyPartitions(have, asked, r.Replicas)
			}
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
	return protocol.Errorf(protocol.CodeTooManyPartitions, "a node carries %d replicas of partitions: with %d more they would exceed limits.partitions, %d",
		have, asked, limit).With("limit", limit).With("used", have).With("asked", asked)
}
