package actors

import (
	"cmp"
	"context"
	"slices"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/metarecord"
	"ottla/protocol"
)

// cluster finds a cluster whose metadata is recovered.
func (n *Node) cluster(name string) (*clusterHandle, *protocol.Error) {
	h := (*n.clusters.Load())[name]
	switch {
	case h == nil:
		return nil, protocol.Errorf(protocol.CodeClusterNotFound, "cluster %q does not exist", name)
	case h.routes.Load() == nil:
		return nil, h.unavailable()
	}
	return h, nil
}

// handles returns all clusters by name but for those that are held back, or
// the named one.
func (n *Node) handles(name string) ([]*clusterHandle, *protocol.Error) {
	if name != "" {
		h, err := n.cluster(name)
		if err != nil {
			return nil, err
		}
		return []*clusterHandle{h}, nil
	}
	var all []*clusterHandle
	for _, h := range *n.clusters.Load() {
		if h.routes.Load() == nil {
			if h.fresh || h.heldBack(n.env.now()) {
				continue
			}
			return nil, errStarting
		}
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b *clusterHandle) int { return cmp.Compare(a.manifest.Name, b.manifest.Name) })
	return all, nil
}

// LookupTopic finds a topic in the routing snapshot of its cluster.
func (n *Node) LookupTopic(cluster, topic string, create bool, deadline time.Time) (*protocol.Topic, *protocol.Error) {
	if cluster != "" {
		h, err := n.cluster(cluster)
		if err != nil {
			return nil, err
		}
		if t := h.routes.Load().topics[topic]; t != nil {
			return t, nil
		}
		return n.createMissing(h, topic, create, deadline)
	}
	var found *protocol.Topic
	all := *n.clusters.Load()
	for _, h := range all {
		rt := h.routes.Load()
		if rt == nil {
			if h.fresh || h.heldBack(n.env.now()) {
				continue
			}
			return nil, errStarting
		}
		t := rt.topics[topic]
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
	if err := n.held(); err != nil {
		return nil, err
	}
	if all[protocol.DefaultCluster] == nil {
		return nil, topicNotFound(topic)
	}
	h, err := n.cluster(protocol.DefaultCluster)
	if err != nil {
		return nil, err // it is being created
	}
	return n.createMissing(h, topic, create, deadline)
}

func topicNotFound(topic string) *protocol.Error {
	return protocol.Errorf(protocol.CodeTopicNotFound, "topic %q does not exist", topic)
}

func (n *Node) createMissing(h *clusterHandle, topic string, create bool, deadline time.Time) (*protocol.Topic, *protocol.Error) {
	if !create || !n.env.opt.AutoCreateTopics || protocol.IsInternalTopic(topic) {
		return nil, topicNotFound(topic)
	}
	if _, err := n.createTopic(h, &protocol.TopicSpec{Name: topic}, deadline); err != nil {
		return nil, err
	}
	if t := h.routes.Load().topics[topic]; t != nil {
		return t, nil
	}
	return nil, topicNotFound(topic) // deleted again in the meantime
}

func (n *Node) limits() catalog.TopicLimits {
	return catalog.TopicLimits{SegmentBytes: n.env.opt.SegmentBytes, MaxRecordBytes: n.env.opt.MaxRecordBytes}
}

// change runs one operation on a cluster's metadata and waits for it.
func (n *Node) change(h *clusterHandle, deadline time.Time, decide func(*catalog.State) ([]metarecord.Record, *protocol.Error)) *protocol.Error {
	reply := protocol.NewFuture[*protocol.Error]()
	n.env.system.Root.Send(h.pid.Load(), &metadataOp{decide: decide, done: reply.Put, deadline: deadline})
	err, ok := reply.Wait(deadline.Add(time.Second))
	if !ok {
		return protocol.Unknownf("the cluster's metadata did not answer in time")
	}
	return err
}

func (n *Node) deadline(ctx context.Context) time.Time {
	d := time.Now().Add(n.env.opt.RequestTimeout)
	if at, ok := ctx.Deadline(); ok {
		return minTime(d, at)
	}
	return d
}

// createTopic makes a topic and waits until all its partitions have leaders.
func (n *Node) createTopic(h *clusterHandle, spec *protocol.TopicSpec, deadline time.Time) (created bool, err *protocol.Error) {
	err = n.change(h, deadline, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		_, recs, err := s.DecideCreateTopic(spec, newID(), n.env.now().UnixMilli(), n.limits())
		created = err == nil && len(recs) > 0
		return recs, err
	})
	if err != nil {
		return false, err
	}
	return created, n.awaitLeaders(h, spec.Name, deadline)
}

// awaitLeaders waits until every partition of a topic has a leader.
func (n *Node) awaitLeaders(h *clusterHandle, topic string, deadline time.Time) *protocol.Error {
	t := h.routes.Load().topics[topic]
	if t == nil {
		return nil // deleted in the meantime
	}
	for p, route := range t.Route.(*topicRoute).partitions {
		if route.await(nil, deadline) == nil {
			return n.leaderless(t, p).WithOutcome(protocol.OutcomeApplied)
		}
	}
	return nil
}

// CreateTopic creates a topic, or finds it there with the same settings.
func (n *Node) CreateTopic(ctx context.Context, spec *protocol.TopicSpec) (*protocol.TopicInfo, bool, *protocol.Error) {
	h, err := n.cluster(cmp.Or(spec.Cluster, protocol.DefaultCluster))
	if err != nil {
		return nil, false, err
	}
	created, err := n.createTopic(h, spec, n.deadline(ctx))
	if err != nil {
		return nil, false, err
	}
	info, err := n.topicInfo(h, spec.Name)
	return info, created, err
}

// AlterTopic changes settings or adds partitions.
func (n *Node) AlterTopic(ctx context.Context, spec *protocol.TopicSpec) (*protocol.TopicInfo, *protocol.Error) {
	h, err := n.topicCluster(spec.Cluster, spec.Name)
	if err != nil {
		return nil, err
	}
	deadline := n.deadline(ctx)
	if err := n.change(h, deadline, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		_, recs, err := s.DecideAlterTopic(spec, n.limits())
		return recs, err
	}); err != nil {
		return nil, err
	}
	if err := n.awaitLeaders(h, spec.Name, deadline); err != nil {
		return nil, err
	}
	return n.topicInfo(h, spec.Name)
}

// DeleteTopic deletes a topic; its files go in the background.
func (n *Node) DeleteTopic(ctx context.Context, cluster, name string) *protocol.Error {
	h, err := n.topicCluster(cluster, name)
	if err != nil {
		return err
	}
	return n.change(h, n.deadline(ctx), func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		_, recs, err := s.DecideDeleteTopic(name, n.env.now().UnixMilli())
		return recs, err
	})
}

// topicCluster finds the cluster of an existing topic.
func (n *Node) topicCluster(cluster, topic string) (*clusterHandle, *protocol.Error) {
	t, err := n.LookupTopic(cluster, topic, false, time.Time{})
	if err != nil {
		return nil, err
	}
	return t.Route.(*topicRoute).cluster, nil
}

// Topics lists topics of one cluster, or of all.
func (n *Node) Topics(cluster string, internal bool) ([]protocol.TopicInfo, *protocol.Error) {
	all, err := n.handles(cluster)
	if err != nil {
		return nil, err
	}
	list := []protocol.TopicInfo{}
	for _, h := range all {
		list = append(list, n.topicInfos(h, internal)...)
	}
	return list, nil
}

func (n *Node) topicInfos(h *clusterHandle, internal bool) []protocol.TopicInfo {
	view := h.admin.Load()
	var list []protocol.TopicInfo
	for i := range view.topics {
		if internal || !protocol.IsInternalTopic(view.topics[i].Name) {
			list = append(list, n.describeTopic(view, view.topics[i]))
		}
	}
	return list
}

// Topic describes one topic.
func (n *Node) Topic(cluster, name string) (*protocol.TopicInfo, *protocol.Error) {
	h, err := n.topicCluster(cluster, name)
	if err != nil {
		return nil, err
	}
	return n.topicInfo(h, name)
}

func (n *Node) topicInfo(h *clusterHandle, name string) (*protocol.TopicInfo, *protocol.Error) {
	view := h.admin.Load()
	for i := range view.topics {
		if view.topics[i].Name == name {
			info := n.describeTopic(view, view.topics[i])
			return &info, nil
		}
	}
	return nil, topicNotFound(name)
}

// describeTimeout bounds how long a description waits for a leader's own view.
const describeTimeout = time.Second

// describeTopic adds to what the metadata says what the leaders know.
func (n *Node) describeTopic(view *clusterView, t protocol.TopicInfo) protocol.TopicInfo {
	t.Partitions = slices.Clone(t.Partitions)
	replies := make([]protocol.Future[partitionState], len(t.Partitions))
	for p := range t.Partitions {
		if ref := view.partitions[protocol.PartitionID{TopicID: t.ID, Partition: p}].leader.Load(); ref != nil {
			broker := ref.broker
			t.Partitions[p].LeaderBrokerID = &broker
			replies[p] = protocol.NewFuture[partitionState]()
			n.env.system.Root.Send(ref.pid, &describePartition{Reply: replies[p]})
		}
	}
	deadline := time.Now().Add(describeTimeout)
	for p := range t.Partitions {
		if t.Partitions[p].LeaderBrokerID == nil {
			continue
		}
		if st, ok := replies[p].Wait(deadline); ok && st.Err == nil {
			t.Partitions[p].InSync = st.InSync
			t.Partitions[p].Earliest, t.Partitions[p].Latest = &st.Earliest, &st.Latest
		}
	}
	return t
}
