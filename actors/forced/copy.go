package forced

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"go.etcd.io/raft/v3/raftpb"

	"ottla/actors/datadir"
	"ottla/actors/replica"
	"ottla/logfile"
)

// inspectReplica reads the log of a replica that the ledger of the broker, whose
// directory is dir, has as live. It changes nothing.
func inspectReplica(clusterID string, broker int, dir string, r datadir.Replica) replica.Copy {
	return replica.Inspect(filepath.Join(dir, r.Topic+"-"+strconv.Itoa(r.Partition)), logfile.Identity{
		ClusterID: clusterID, TopicID: r.TopicID, Topic: r.Topic, Partition: r.Partition, Broker: broker, ReplicaID: r.ReplicaID,
	}, logfile.BootID())
}

func isCorrupt(err error) bool {
	var corrupt *logfile.CorruptError
	return errors.As(err, &corrupt)
}

// SoleVoter reports whether a membership, in the form in which a checkpoint has
// it, consists of the replica with that id alone. Errors: it cannot be decoded.
func SoleVoter(confState []byte, replicaID uint64) (bool, error) {
	var cs raftpb.ConfState
	if err := cs.Unmarshal(confState); err != nil {
		return false, fmt.Errorf("membership cannot be read: %w", err)
	}
	others := len(cs.Learners) + len(cs.VotersOutgoing) + len(cs.LearnersNext)
	return others == 0 && len(cs.Voters) == 1 && cs.Voters[0] == replicaID, nil
}

// TookPlace is datadir.TookPlace: it has the longer log, which says so.
func TookPlace(cluster string, broker int, was string, before datadir.Replica, arrives string, r datadir.Replica) bool {
	old, now := inspectReplica(cluster, broker, was, before), inspectReplica(cluster, broker, arrives, r)
	if best := replica.Longest([]replica.Copy{old, now}); best == nil || best.ReplicaID != now.ReplicaID {
		return false
	}
	cs := now.Confs[len(now.Confs)-1]
	return slices.Contains(cs.Voters, r.ReplicaID) && !slices.Contains(slices.Concat(cs.Voters, cs.VotersOutgoing), before.ReplicaID)
}
