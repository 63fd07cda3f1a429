package front

import (
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// locator finds who leads a partition, follows the leadership when it moves, and asks. It
// serves all clients of the process alike: it does not know who asks. It holds no state:
// what it finds is read from tables that actors publish, and may be outdated when it is
// used. Whoever is asked by mistake refuses, and is followed by another.
type locator struct {
	opt       *Options
	directory *routing.Directory
	stopped   <-chan struct{}
}

// route returns a partition's route; an error if there is no such partition.
func (lc *locator) route(t *protocol.Topic, partition int) (*routing.Partition, *protocol.Error) {
	tr := routing.Of(t)
	if partition < 0 || partition >= len(tr.Partitions) {
		return nil, protocol.Errorf(protocol.CodePartitionNotFound, "topic %q has no partition %d", t.Name, partition).
			With("partitions", len(tr.Partitions))
	}
	return tr.Partitions[partition], nil
}

// gone is the error for a topic that was looked up earlier and does not exist any more; nil
// if it does. A topic of the same name has another id, a cluster of the same name is
// another value.
func (lc *locator) gone(t *protocol.Topic) *protocol.Error {
	c := routing.Of(t).Cluster
	if lc.directory.Clusters()[t.Cluster] != c {
		return clusterNotFound(t.Cluster)
	}
	if now := c.Table().Topics[t.Name]; now == nil || now.ID != t.ID {
		return topicNotFound(t.Name)
	}
	return nil
}

// clusterByID finds a cluster whose metadata is recovered; nil if there is none.
func (lc *locator) clusterByID(id string) *routing.Cluster {
	for _, c := range lc.directory.Clusters() {
		if view := c.View(); view != nil && view.Info.ID == id && c.Table() != nil {
			return c
		}
	}
	return nil
}

// awaitLeaders waits until every partition of a topic has a leader.
func (lc *locator) awaitLeaders(c *routing.Cluster, topic string, deadline time.Time) *protocol.Error {
	t := c.Table().Topics[topic]
	if t == nil {
		return nil // deleted in the meantime
	}
	for p, route := range routing.Of(t).Partitions {
		if route.Await(nil, deadline) == nil {
			// What is waited for was created before: trying again is of no use.
			return lc.leaderless(t, p).WithOutcome(protocol.OutcomeApplied)
		}
	}
	return nil
}
