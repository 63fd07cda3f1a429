package front

import (
	"time"

	"ottla/protocol"
)

// What the client may do. A thing of which it may not even know does not exist for
// whoever wants to read it: the answer is the same.

// mayTopic refuses what the client may not do with a topic. Errors: forbidden;
// for reads of what it may not know of, topic_not_found and cluster_not_found.
func (rv *resolver) mayTopic(cluster, topic string) *protocol.Error {
	who, do := rv.access.Who, rv.access.Do
	switch {
	case who.Topic(do, cluster, topic):
		return nil
	// For reads only: that something else is forbidden is said of any name, and so tells nothing.
	case do == protocol.RightRead && !who.SeesCluster(cluster):
		return clusterNotFound(cluster)
	case do == protocol.RightRead && !who.SeesTopic(cluster, topic):
		return rv.topicMissing(cluster, topic)
	}
	return rv.access.Forbidden(do, "topic", cluster, topic)
}

// mayCreate refuses to create a topic automatically for a client that may not
// write to it: who may write may also have it made.
func (rv *resolver) mayCreate(cluster, topic string) *protocol.Error {
	if rv.access.Who.Topic(protocol.RightWrite, cluster, topic) {
		return nil
	}
	return rv.access.Forbidden(protocol.RightWrite, "topic", cluster, topic)
}

// mayGroup refuses what the client may not do with a group. Errors: forbidden; for
// reads of what it may not know of, if they do not join it, group_not_found.
func (rv *resolver) mayGroup(cluster, group string) *protocol.Error {
	who, do := rv.access.Who, rv.access.Do
	switch {
	case who.Group(do, cluster, group):
		return nil
	case do == protocol.RightRead && !who.SeesGroup(cluster, group):
		return groupNotFound(group)
	}
	return rv.access.Forbidden(do, "group", cluster, group)
}

// mayJoin refuses to join a group: whether it is there already is not said.
func (rv *resolver) mayJoin(cluster, group string) *protocol.Error {
	if rv.access.Who.Group(protocol.RightRead, cluster, group) {
		return nil
	}
	return rv.access.Forbidden(protocol.RightRead, "group", cluster, group)
}

// mayCluster refuses what the client may not do with a cluster as a whole. Errors:
// forbidden; for reads of what it may not know of, cluster_not_found.
func (rv *resolver) mayCluster(cluster string) *protocol.Error {
	if rv.access.Who.Cluster(rv.access.Do, cluster) {
		return nil
	}
	return rv.access.Forbidden(rv.access.Do, "cluster", "", cluster)
}

// revoked reports whether the client has lost, while it waited, what it was let in with.
// Nothing is delivered to it then. It is looked at after each wait, because a token may be
// deleted, or end, while a read is parked.
func (rv *resolver) revoked() bool { return rv.access.Who.Over(time.Now()) }
