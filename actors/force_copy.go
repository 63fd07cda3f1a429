package actors

import (
	"errors"
	"path/filepath"
	"strconv"

	"ottla/actors/replica"
	"ottla/logfile"
)

// inspectReplica reads a replica that the ledger of the broker whose directory
// is dir has as live. It changes nothing.
func inspectReplica(clusterID string, broker int, dir string, r ledgerReplica) replica.Copy {
	return replica.Inspect(filepath.Join(dir, r.Topic+"-"+strconv.Itoa(r.Partition)), logfile.Identity{
		ClusterID: clusterID, TopicID: r.TopicID, Topic: r.Topic, Partition: r.Partition, Broker: broker, ReplicaID: r.ReplicaID,
	}, bootID())
}

func isCorrupt(err error) bool {
	var corrupt *logfile.CorruptError
	return errors.As(err, &corrupt)
}
