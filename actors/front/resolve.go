package front

import (
	"cmp"
	"slices"
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// What a request means: it may leave out the cluster, and then the one that has
// the topic or the group is meant, and a commit may leave out the group.

// cluster finds a cluster whose metadata is recovered.
func (fr *Front) cluster(name string) (*routing.Cluster, *protocol.Error) {
	h := fr.directory.Clusters()[name]
	switch {
	case h == nil:
		return nil, protocol.Errorf(protocol.CodeClusterNotFound, "cluster %q does not exist", name)
	case h.Table() == nil:
		return nil, h.Unavailable()
	}
	return h, nil
}

// handles returns all clusters by name but for those that are held back, or
// the named one.
func (fr *Front) handles(name string) ([]*routing.Cluster, *protocol.Error) {
	if name != "" {
		h, err := fr.cluster(name)
		if err != nil {
			return nil, err
		}
		return []*routing.Cluster{h}, nil
	}
	var all []*routing.Cluster
	for _, h := range fr.directory.Clusters() {
		if h.Table() == nil {
			if h.Fresh || h.HeldBack(fr.opt.Now()) {
				continue
			}
			return nil, routing.ErrStarting
		}
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b *routing.Cluster) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// LookupTopic finds a topic in the routing snapshot of its cluster.
func (fr *Front) LookupTopic(cluster, topic string, create bool, deadline time.Time) (*protocol.Topic, *protocol.Error) {
	if cluster != "" {
		h, err := fr.cluster(cluster)
		if err != nil {
			return nil, err
		}
		if t := h.Table().Topics[topic]; t != nil {
			return t, nil
		}
		return fr.createMissing(h, cluster, topic, create, deadline)
	}
	var found *protocol.Topic
	all := fr.directory.Clusters()
	for _, h := range all {
		rt := h.Table()
		if rt == nil {
			if h.Fresh || h.HeldBack(fr.opt.Now()) {
				continue
			}
			return nil, routing.ErrStarting
		}
		t := rt.Topics[topic]
		if t == nil {
			continue
		}
		if found != nil {
			return nil, protocol.Errorf(protocol.CodeAmbiguousTopic, "topic %q is in more than one cluster, name one", topic)
		}
		found = t
	}
	if found != nil {
		return found, nil
	}
	if err := fr.held(); err != nil {
		return nil, err
	}
	if all[protocol.DefaultCluster] == nil {
		return nil, fr.topicMissing("", topic)
	}
	h, err := fr.cluster(protocol.DefaultCluster)
	if err != nil {
		return nil, err // it is being created
	}
	return fr.createMissing(h, cluster, topic, create, deadline)
}

func topicNotFound(topic string) *protocol.Error {
	return protocol.Errorf(protocol.CodeTopicNotFound, "topic %q does not exist", topic)
}

// topicCluster finds the cluster of an existing topic.
func (fr *Front) topicCluster(cluster, topic string) (*routing.Cluster, *protocol.Error) {
	t, err := fr.LookupTopic(cluster, topic, false, time.Time{})
	if err != nil {
		return nil, err
	}
	return routing.Of(t).Cluster, nil
}

// groupCluster finds the one cluster that has a group.
func (fr *Front) groupCluster(cluster, group string) (*routing.Cluster, *protocol.Error) {
	all, err := fr.handles(cluster)
	if err != nil || cluster != "" {
		return first(all), err
	}
	held := fr.held()
	if len(all) == 1 && held == nil {
		return all[0], nil
	}
	var found *routing.Cluster
	for _, h := range all {
		names, err := fr.groupsOf(h, 0)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(names, group) {
			continue
		}
		if found != nil {
			return nil, protocol.Errorf(protocol.CodeAmbiguousGroup, "group %q is in more than one cluster, name one", group)
		}
		found = h
	}
	switch {
	case found != nil:
		return found, nil
	case held != nil:
		return nil, held
	}
	return nil, groupNotFound(group)
}

func first(hs []*routing.Cluster) *routing.Cluster {
	if len(hs) == 0 {
		return nil
	}
	return hs[0]
}

func groupNotFound(group string) *protocol.Error {
	return protocol.Errorf(protocol.CodeGroupNotFound, "group %q does not exist", group)
}

// consumerGroup finds the one group that a consumer is or was in.
func (fr *Front) consumerGroup(cluster string, id protocol.ConsumerID) (*routing.Cluster, string, *protocol.Error) {
	all, err := fr.handles(cluster)
	if err != nil {
		return nil, "", err
	}
	var at *routing.Cluster
	var groups []string
	for _, h := range all {
		names, err := fr.groupsOf(h, id)
		if err != nil {
			return nil, "", err
		}
		if len(names) > 0 {
			at = h
			groups = append(groups, names...)
		}
	}
	switch len(groups) {
	case 0:
		if held := fr.held(); held != nil && cluster == "" {
			return nil, "", held
		}
		return nil, "", protocol.Errorf(protocol.CodeConsumerNotFound, "consumer %d has never been seen", id)
	case 1:
		return at, groups[0], nil
	}
	return nil, "", protocol.Errorf(protocol.CodeAmbiguousGroup, "consumer %d is in more than one group, name one", id).
		With("groups", groups)
}

// commitGroup finds the group that a commit means.
func (fr *Front) commitGroup(req *protocol.CommitRequest) (*routing.Cluster, string, *protocol.Error) {
	if req.Group == "" {
		return fr.consumerGroup(req.Cluster, req.ConsumerID)
	}
	if topic := commitTopic(req); topic != "" {
		h, err := fr.topicCluster(req.Cluster, topic)
		return h, req.Group, err
	}
	h, err := fr.groupCluster(req.Cluster, req.Group)
	return h, req.Group, err
}

func commitTopic(req *protocol.CommitRequest) string {
	if req.Topic == "" && len(req.Offsets) > 0 {
		return req.Offsets[0].Topic
	}
	return req.Topic
}

// held is the answer to a question for what the clusters that serve do not
// have, nil if none is held back.
func (fr *Front) held() *protocol.Error {
	var found *routing.Cluster
	for name, h := range fr.directory.Clusters() {
		if h.HeldBack(fr.opt.Now()) && (found == nil || name < found.Name) {
			found = h
		}
	}
	if found == nil {
		return nil
	}
	return found.Unavailable()
}

// gone is why a topic that was looked up earlier cannot be found any more, nil
// if it still can.
func (fr *Front) gone(t *protocol.Topic) *protocol.Error {
	h := routing.Of(t).Cluster
	if fr.directory.Clusters()[t.Cluster] != h {
		return protocol.Errorf(protocol.CodeClusterNotFound, "cluster %q does not exist", t.Cluster)
	}
	if now := h.Table().Topics[t.Name]; now == nil || now.ID != t.ID {
		return topicNotFound(t.Name)
	}
	return nil
}
