package front

import (
	"cmp"
	"context"
	"slices"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// topicService tells of topics and changes them.
type topicService struct{ *resolver }

// CreateTopic creates a topic, or finds it there with the same settings.
func (ts *topicService) CreateTopic(ctx context.Context, spec *protocol.TopicSpec) (*protocol.TopicInfo, bool, *protocol.Error) {
	cluster := cmp.Or(spec.Cluster, protocol.DefaultCluster)
	if err := ts.mayTopic(cluster, spec.Name); err != nil {
		return nil, false, err
	}
	c, err := ts.cluster(cluster)
	if err != nil {
		return nil, false, err
	}
	if spec.Restoring != nil {
		if err := ts.fleet.Needs(level.Restores, ts.deadline(ctx)); err != nil {
			return nil, false, err
		}
	}
	created, err := ts.createTopic(c, spec, ts.deadline(ctx))
	if err != nil {
		return nil, false, err
	}
	info, err := ts.topicInfo(c, spec.Name)
	return info, created, err
}

// AlterTopic changes settings or adds partitions.
func (ts *topicService) AlterTopic(ctx context.Context, spec *protocol.TopicSpec) (*protocol.TopicInfo, *protocol.Error) {
	c, err := ts.topicCluster(spec.Cluster, spec.Name)
	if err != nil {
		return nil, err
	}
	deadline, limits := ts.deadline(ctx), ts.limitsFor(c)
	if err := ts.change(c, deadline, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		_, recs, err := s.DecideAlterTopic(spec, ts.opt.Millis(), limits)
		return recs, err
	}); err != nil {
		return nil, err
	}
	// New partitions have no leader yet; producers would be refused there.
	if err := ts.awaitLeaders(c, spec.Name, deadline); err != nil {
		return nil, err
	}
	return ts.topicInfo(c, spec.Name)
}

// DeleteTopic deletes a topic; its files go in the background.
func (ts *topicService) DeleteTopic(ctx context.Context, cluster, name string) *protocol.Error {
	c, err := ts.topicCluster(cluster, name)
	if err != nil {
		return err
	}
	return ts.change(c, ts.deadline(ctx), func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		_, recs, err := s.DecideDeleteTopic(name, ts.opt.Millis())
		return recs, err
	})
}

// Topics lists topics of one cluster, or of all.
func (ts *topicService) Topics(cluster string, internal bool) ([]protocol.TopicInfo, *protocol.Error) {
	all, err := ts.serving(cluster)
	if err != nil {
		return nil, err
	}
	list := []protocol.TopicInfo{}
	for _, c := range all {
		list = append(list, ts.topicInfos(c, internal)...)
	}
	return list, nil
}

// topicInfos describes the topics of one picture of a cluster.
func (ts *topicService) topicInfos(c *routing.Cluster, internal bool) []protocol.TopicInfo {
	view := c.View()
	var list []protocol.TopicInfo
	for i := range view.Topics {
		name := view.Topics[i].Name
		if (internal || !protocol.IsInternalTopic(name)) && ts.access.Who.SeesTopic(c.Name, name) {
			list = append(list, ts.describeTopic(view, view.Topics[i]))
		}
	}
	return list
}

// Topic describes one topic.
func (ts *topicService) Topic(cluster, name string) (*protocol.TopicInfo, *protocol.Error) {
	c, err := ts.topicCluster(cluster, name)
	if err != nil {
		return nil, err
	}
	return ts.topicInfo(c, name)
}

// topicInfo describes a topic that was just looked up or changed. It may have been deleted
// since.
func (ts *topicService) topicInfo(c *routing.Cluster, name string) (*protocol.TopicInfo, *protocol.Error) {
	view := c.View()
	for i := range view.Topics {
		if view.Topics[i].Name == name {
			info := ts.describeTopic(view, view.Topics[i])
			return &info, nil
		}
	}
	return nil, topicNotFound(name)
}

// describeTimeout bounds how long a description waits for a leader's own view.
const describeTimeout = time.Second

// describeTopic adds to what the metadata says what the leaders know.
func (ts *topicService) describeTopic(view *routing.View, t protocol.TopicInfo) protocol.TopicInfo {
	t.Partitions = slices.Clone(t.Partitions)
	replies := make([]protocol.Future[routing.PartitionState], len(t.Partitions))
	for p := range t.Partitions {
		if ref := view.Partitions[protocol.PartitionID{TopicID: t.ID, Partition: p}].Leader(); ref != nil {
			broker := ref.Broker
			t.Partitions[p].LeaderBrokerID = &broker
			replies[p] = protocol.NewFuture[routing.PartitionState]()
			ref.Ask(&routing.DescribePartition{Reply: replies[p]})
		}
	}
	// All are asked by now. A leader that does not answer in time leaves its columns empty,
	// and holds up nothing else.
	deadline := time.Now().Add(describeTimeout)
	for p := range t.Partitions {
		if t.Partitions[p].LeaderBrokerID == nil {
			continue
		}
		if st, ok := replies[p].Wait(deadline); ok && st.Err == nil {
			t.Partitions[p].InSync = st.InSync
			t.Partitions[p].Earliest, t.Partitions[p].Latest, t.Partitions[p].LogBytes = &st.Earliest, &st.Latest, &st.LogBytes
		}
	}
	return t
}
