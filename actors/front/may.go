package front

import (
	"ottla/protocol"
)

// What the client may do. A thing of which it may not even know does not exist for
// whoever wants to read it: the answer is the same.

// mayTopic refuses what the client may not do with a topic. Errors: forbidden;
// for reads of what it may not know of, topic_not_found and cluster_not_found.
func (fr *Front) mayTopic(cluster, topic string) *protocol.Error {
	who, do := fr.access.Who, fr.access.Do
	switch {
	case who.Topic(do, cluster, topic):
		return nil
	case do == protocol.RightRead && !who.SeesCluster(cluster):
		return clusterNotFound(cluster)
	case do == protocol.RightRead && !who.SeesTopic(cluster, topic):
		return fr.topicMissing(cluster, topic)
	}
	return fr.access.Forbidden(do, "topic", cluster, topic)
}

// mayCreate refuses to create a topic automatically for a client that may not
// write to it: who may write may also have it made.
func (fr *Front) mayCreate(cluster, topic string) *protocol.Error {
	if fr.access.Who.Topic(protocol.RightWrite, cluster, topic) {
		return nil
	}
	return fr.access.Forbidden(protocol.RightWrite, "topic", cluster, topic)
}

// mayGroup refuses what the client may not do with a group. Errors: forbidden; for
// reads of what it may not know of, if they do not join it, group_not_found.
func (fr *Front) mayGroup(cluster, group string) *protocol.Error {
	who, do := fr.access.Who, fr.access.Do
	switch {
	case who.Group(do, cluster, group):
		return nil
	case do == protocol.RightRead && !who.SeesGroup(cluster, group):
		return groupNotFound(group)
	}
	return fr.access.Forbidden(do, "group", cluster, group)
}

// mayJoin refuses to join a group: whether it is there already is not said.
func (fr *Front) mayJoin(cluster, group string) *protocol.Error {
	if fr.access.Who.Group(protocol.RightRead, cluster, group) {
		return nil
	}
	return fr.access.Forbidden(protocol.RightRead, "group", cluster, group)
}

// mayCluster refuses what the client may not do with a cluster as a whole. Errors:
// forbidden; for reads of what it may not know of, cluster_not_found.
func (fr *Front) mayCluster(cluster string) *protocol.Error {
	if fr.access.Who.Cluster(fr.access.Do, cluster) {
		return nil
	}
	return fr.access.Forbidden(fr.access.Do, "cluster", "", cluster)
}

// mayPoll refuses a poll of a topic or with a group that the client may not read,
// before any of its topics is created.
func (p *poll) mayPoll() *protocol.Error {
	fr, req := p.front, p.req
	if fr.access.Who == nil {
		return nil
	}
	for _, name := range req.Topics {
		cluster := req.Cluster
		t, err := fr.LookupTopic(cluster, name, false, p.deadline)
		switch {
		case err == nil:
			cluster = t.Cluster
		case err.Code != protocol.CodeTopicNotFound || !req.AutoCreate || !fr.opt.AutoCreateTopics:
			return err
		default:
			if cluster == "" {
				cluster = protocol.DefaultCluster
			}
			if err := fr.mayTopic(cluster, name); err != nil {
				return err
			}
			if err := fr.mayCreate(cluster, name); err != nil {
				return err
			}
		}
		if req.Group == "" {
			continue
		}
		if err := fr.mayJoin(cluster, req.Group); err != nil {
			return err
		}
	}
	return nil
}
