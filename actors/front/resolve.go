package front

import (
	"cmp"
	"slices"
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// What a request means. It may leave out the cluster: then the cluster that has
// the topic or the group is meant. A commit may leave out the group as well.

// cluster finds a cluster whose metadata is recovered. A cluster of which the
// client may not know does not exist for it.
func (fr *Front) cluster(name string) (*routing.Cluster, *protocol.Error) {
	c := fr.directory.Clusters()[name]
	if c == nil {
		if err := fr.settle(nil); err != nil {
			return nil, err
		}
		c = fr.directory.Clusters()[name]
	}
	switch {
	case c == nil || !fr.access.Who.SeesCluster(name):
		return nil, clusterNotFound(name)
	case c.Table() == nil:
		return nil, c.Unavailable()
	}
	return c, nil
}

func clusterNotFound(name string) *protocol.Error {
	return protocol.Errorf(protocol.CodeClusterNotFound, "cluster %q does not exist", name)
}

// serving returns all clusters by name that the client may know of, but for those that are held back, or
// the named one.
func (fr *Front) serving(name string) ([]*routing.Cluster, *protocol.Error) {
	if name != "" {
		c, err := fr.cluster(name)
		if err != nil {
			return nil, err
		}
		return []*routing.Cluster{c}, nil
	}
	var all []*routing.Cluster
	for _, c := range fr.directory.Clusters() {
		if !fr.access.Who.SeesCluster(c.Name) {
			continue
		}
		if c.Table() == nil {
			if c.Fresh || c.HeldBack(fr.opt.Now()) {
				continue
			}
			return nil, routing.ErrStarting
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *routing.Cluster) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// settlePatience is how long a node of a fleet may take to find out whether it knows
// all there is.
const settlePatience = 3 * time.Second

// settle waits until this process knows everything that existed when it was called,
// of one cluster or of all; at once where there is no fleet. Nothing may be called
// "not found" before. Errors: there is nobody to ask.
func (fr *Front) settle(c *routing.Cluster) *protocol.Error {
	deadline := time.Now().Add(settlePatience)
	if c != nil {
		_, err := fr.host.Settle(c, deadline)
		return err
	}
	if waited, err := fr.host.Settle(nil, deadline); !waited || err != nil {
		return err
	}
	for _, c := range fr.directory.Clusters() {
		if c.Table() == nil {
			continue
		}
		if _, err := fr.host.Settle(c, deadline); err != nil {
			return err
		}
	}
	return nil
}

// LookupTopic finds a topic in the routing snapshot of its cluster. Topics of which
// the client may not know are passed over.
func (fr *Front) LookupTopic(cluster, topic string, create bool, deadline time.Time) (*protocol.Topic, *protocol.Error) {
	t, err := fr.findTopic(cluster, topic, create, deadline)
	if err == nil && t.Restoring != "" {
		return nil, protocol.Errorf(protocol.CodeTopicRestoring, "topic %q is being restored from a backup, and is not complete yet", topic)
	}
	return t, err
}

// RestoringTopic resolves a topic that a producer fills from a backup. Errors: those of
// LookupTopic.
func (fr *Front) RestoringTopic(cluster, topic, producer string) (*protocol.Topic, *protocol.Error) {
	t, err := fr.findTopic(cluster, topic, false, time.Time{})
	if err != nil || t.Restoring == producer {
		return t, err
	}
	return fr.LookupTopic(cluster, topic, false, time.Time{})
}

// findTopic resolves a topic, also one that is not complete.
func (fr *Front) findTopic(cluster, topic string, create bool, deadline time.Time) (*protocol.Topic, *protocol.Error) {
	t, err := fr.lookupTopic(cluster, topic, false, deadline)
	if err == nil || err.Code != protocol.CodeTopicNotFound {
		return t, err
	}
	if serr := fr.settle(nil); serr != nil {
		return nil, serr
	}
	return fr.lookupTopic(cluster, topic, create, deadline)
}

func (fr *Front) lookupTopic(cluster, topic string, create bool, deadline time.Time) (*protocol.Topic, *protocol.Error) {
	if cluster != "" {
		if err := fr.mayTopic(cluster, topic); err != nil {
			return nil, err
		}
		c, err := fr.cluster(cluster)
		if err != nil {
			return nil, err
		}
		if t := c.Table().Topics[topic]; t != nil {
			return t, nil
		}
		return fr.createMissing(c, cluster, topic, create, deadline)
	}
	var found, half *protocol.Topic // half: one that is restored, in whose way clients do not come
	all := fr.directory.Clusters()
	for _, c := range all {
		if !fr.access.Who.SeesTopic(c.Name, topic) {
			continue
		}
		rt := c.Table()
		if rt == nil {
			if c.Fresh || c.HeldBack(fr.opt.Now()) {
				continue
			}
			return nil, routing.ErrStarting
		}
		t := rt.Topics[topic]
		if t == nil {
			continue
		}
		if t.Restoring != "" {
			half = t
			continue
		}
		if found != nil {
			return nil, protocol.Errorf(protocol.CodeAmbiguousTopic, "topic %q is in more than one cluster: name one (cluster=NAME)", topic)
		}
		found = t
	}
	if found = cmp.Or(found, half); found != nil {
		return found, fr.mayTopic(found.Cluster, topic)
	}
	if err := fr.mayTopic(protocol.DefaultCluster, topic); err != nil && err.Code == protocol.CodeForbidden {
		return nil, err
	}
	if err := fr.heldBack(); err != nil {
		return nil, err
	}
	if all[protocol.DefaultCluster] == nil || !fr.access.Who.SeesCluster(protocol.DefaultCluster) {
		return nil, fr.topicMissing("", topic)
	}
	c, err := fr.cluster(protocol.DefaultCluster)
	if err != nil {
		return nil, err // it is being created
	}
	return fr.createMissing(c, cluster, topic, create, deadline)
}

func topicNotFound(topic string) *protocol.Error {
	return protocol.Errorf(protocol.CodeTopicNotFound, "topic %q does not exist", topic)
}

// topicCluster finds the cluster of an existing topic.
func (fr *Front) topicCluster(cluster, topic string) (*routing.Cluster, *protocol.Error) {
	t, err := fr.findTopic(cluster, topic, false, time.Time{})
	if err != nil {
		return nil, err
	}
	return routing.Of(t).Cluster, nil
}

// groupCluster finds the one cluster that has a group. Groups of which the client
// may not know are passed over. None is said not to exist before it is known that this
// process knows all clusters.
func (fr *Front) groupCluster(cluster, group string) (*routing.Cluster, *protocol.Error) {
	c, err := fr.findGroup(cluster, group)
	if err == nil || err.Code != protocol.CodeGroupNotFound && err.Code != protocol.CodeClusterNotFound {
		return c, err
	}
	if serr := fr.settle(nil); serr != nil {
		return nil, serr
	}
	return fr.findGroup(cluster, group)
}

func (fr *Front) findGroup(cluster, group string) (*routing.Cluster, *protocol.Error) {
	if cluster != "" {
		if err := fr.mayGroup(cluster, group); err != nil {
			return nil, err
		}
	}
	all, err := fr.serving(cluster)
	if err != nil || cluster != "" {
		return first(all), err
	}
	held := fr.heldBack()
	if len(all) == 1 && held == nil {
		return all[0], fr.mayGroup(all[0].Name, group)
	}
	var found *routing.Cluster
	for _, c := range all {
		if !fr.access.Who.SeesGroup(c.Name, group) {
			continue
		}
		names, err := fr.groupsOf(c, 0)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(names, group) {
			continue
		}
		if found != nil {
			return nil, protocol.Errorf(protocol.CodeAmbiguousGroup, "group %q is in more than one cluster: name one (cluster=NAME)", group)
		}
		found = c
	}
	if found != nil {
		return found, fr.mayGroup(found.Name, group)
	}
	if err := fr.mayGroup(protocol.DefaultCluster, group); err != nil {
		return nil, err
	}
	return nil, cmp.Or(held, groupNotFound(group))
}

func first(all []*routing.Cluster) *routing.Cluster {
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

func groupNotFound(group string) *protocol.Error {
	return protocol.Errorf(protocol.CodeGroupNotFound, "group %q does not exist", group)
}

// consumerGroup finds the one group that a consumer is or was in.
func (fr *Front) consumerGroup(cluster string, id protocol.ConsumerID) (*routing.Cluster, string, *protocol.Error) {
	all, err := fr.serving(cluster)
	if err != nil {
		return nil, "", err
	}
	var at *routing.Cluster
	var groups []string
	for _, c := range all {
		names, err := fr.groupsOf(c, id)
		if err != nil {
			return nil, "", err
		}
		names = slices.DeleteFunc(names, func(group string) bool { return !fr.access.Who.SeesGroup(c.Name, group) })
		if len(names) > 0 {
			at = c
			groups = append(groups, names...)
		}
	}
	switch len(groups) {
	case 0:
		if held := fr.heldBack(); held != nil && cluster == "" {
			return nil, "", held
		}
		return nil, "", protocol.Errorf(protocol.CodeConsumerNotFound, "consumer %d has never been seen", id)
	case 1:
		return at, groups[0], fr.mayGroup(at.Name, groups[0])
	}
	return nil, "", protocol.Errorf(protocol.CodeAmbiguousGroup, "consumer %d is in more than one group: name one (group)", id).
		With("groups", groups)
}

// commitGroup finds the group that a commit means.
func (fr *Front) commitGroup(req *protocol.CommitRequest) (*routing.Cluster, string, *protocol.Error) {
	if req.Group == "" {
		return fr.consumerGroup(req.Cluster, req.ConsumerID)
	}
	if topic := commitTopic(req); topic != "" {
		c, err := fr.topicCluster(req.Cluster, topic)
		if err == nil {
			err = fr.mayGroup(c.Name, req.Group)
		}
		return c, req.Group, err
	}
	c, err := fr.groupCluster(req.Cluster, req.Group)
	return c, req.Group, err
}

func commitTopic(req *protocol.CommitRequest) string {
	if req.Topic == "" && len(req.Offsets) > 0 {
		return req.Offsets[0].Topic
	}
	return req.Topic
}

// heldBack is the error for what the clusters that serve do not have: a cluster
// that is held back may have it. It is nil if none is held back.
func (fr *Front) heldBack() *protocol.Error {
	var found *routing.Cluster
	for name, c := range fr.directory.Clusters() {
		if c.HeldBack(fr.opt.Now()) && (found == nil || name < found.Name) {
			found = c
		}
	}
	if found == nil {
		return nil
	}
	return found.Unavailable()
}

// gone is the error for a topic that was looked up earlier and does not exist
// any more; nil if it does.
func (fr *Front) gone(t *protocol.Topic) *protocol.Error {
	c := routing.Of(t).Cluster
	if fr.directory.Clusters()[t.Cluster] != c {
		return clusterNotFound(t.Cluster)
	}
	if now := c.Table().Topics[t.Name]; now == nil || now.ID != t.ID {
		return topicNotFound(t.Name)
	}
	return nil
}
