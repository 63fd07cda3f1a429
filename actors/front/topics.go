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

// createMissing creates a topic that c does not have, if create and the
// configuration allow it. cluster is the one that the client has named, if any.
func (fr *Front) createMissing(c *routing.Cluster, cluster, topic string, create bool, deadline time.Time) (*protocol.Topic, *protocol.Error) {
	if !create || !fr.opt.AutoCreateTopics || protocol.IsInternalTopic(topic) {
		return nil, fr.topicMissing(cluster, topic)
	}
	if err := fr.mayCreate(c.Name, topic); err != nil {
		return nil, err
	}
	if wait := fr.autoCreated.Take(1, int64(fr.opt.AutoCreatesPerMinute), time.Minute, fr.opt.Now()); wait > 0 {
		e := protocol.Errorf(protocol.CodeTooManyCreations, "topic %q does not exist, and %d topics a minute are created automatically at most: limits.auto_creates_per_minute",
			topic, fr.opt.AutoCreatesPerMinute).With("limit", fr.opt.AutoCreatesPerMinute)
		e.RetryAfter = wait
		return nil, e
	}
	if _, err := fr.createTopic(c, &protocol.TopicSpec{Name: topic}, deadline); err != nil {
		return nil, err
	}
	if t := c.Table().Topics[topic]; t != nil {
		return t, nil
	}
	return nil, topicNotFound(topic) // deleted again in the meantime
}

func (fr *Front) deadline(ctx context.Context) time.Time {
	d := time.Now().Add(fr.opt.RequestTimeout)
	if at, ok := ctx.Deadline(); ok {
		return minTime(d, at)
	}
	return d
}

// createTopic makes a topic and waits until all its partitions have leaders.
func (fr *Front) createTopic(c *routing.Cluster, spec *protocol.TopicSpec, deadline time.Time) (created bool, err *protocol.Error) {
	limits := fr.limitsFor(c)
	err = c.Control.Change(deadline, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		_, recs, err := s.DecideCreateTopic(spec, protocol.NewID(), fr.opt.Now().UnixMilli(), limits)
		created = err == nil && len(recs) > 0
		return recs, err
	})
	if err != nil {
		return false, err
	}
	return created, fr.awaitLeaders(c, spec.Name, deadline)
}

// limitsFor are the bounds of topics in a cluster, with the room that the others leave.
func (fr *Front) limitsFor(c *routing.Cluster) catalog.TopicLimits {
	limits := fr.opt.Limits
	limits.Level = fr.host.Level()
	room := &limits.Room
	room.ReplicasElsewhere = map[uint64]int{}
	room.Owner, room.Owned = fr.access.Who.Entry(), fr.access.Who.Usage().Partitions()
	for _, other := range fr.directory.Clusters() {
		if view := other.View(); other != c && view != nil {
			for node, n := range view.Replicas {
				room.ReplicasElsewhere[node] += n
			}
			room.OwnedElsewhere += view.Owned[room.Owner]
		}
	}
	return limits
}

// awaitLeaders waits until every partition of a topic has a leader.
func (fr *Front) awaitLeaders(c *routing.Cluster, topic string, deadline time.Time) *protocol.Error {
	t := c.Table().Topics[topic]
	if t == nil {
		return nil // deleted in the meantime
	}
	for p, route := range routing.Of(t).Partitions {
		if route.Await(nil, deadline) == nil {
			return fr.leaderless(t, p).WithOutcome(protocol.OutcomeApplied)
		}
	}
	return nil
}

// CreateTopic creates a topic, or finds it there with the same settings.
func (fr *Front) CreateTopic(ctx context.Context, spec *protocol.TopicSpec) (*protocol.TopicInfo, bool, *protocol.Error) {
	cluster := cmp.Or(spec.Cluster, protocol.DefaultCluster)
	if err := fr.mayTopic(cluster, spec.Name); err != nil {
		return nil, false, err
	}
	c, err := fr.cluster(cluster)
	if err != nil {
		return nil, false, err
	}
	if spec.Restoring != nil {
		if err := fr.host.Needs(level.Restores, fr.deadline(ctx)); err != nil {
			return nil, false, err
		}
	}
	created, err := fr.createTopic(c, spec, fr.deadline(ctx))
	if err != nil {
		return nil, false, err
	}
	info, err := fr.topicInfo(c, spec.Name)
	return info, created, err
}

// AlterTopic changes settings or adds partitions.
func (fr *Front) AlterTopic(ctx context.Context, spec *protocol.TopicSpec) (*protocol.TopicInfo, *protocol.Error) {
	c, err := fr.topicCluster(spec.Cluster, spec.Name)
	if err != nil {
		return nil, err
	}
	deadline, limits := fr.deadline(ctx), fr.limitsFor(c)
	if err := c.Control.Change(deadline, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		_, recs, err := s.DecideAlterTopic(spec, fr.opt.Now().UnixMilli(), limits)
		return recs, err
	}); err != nil {
		return nil, err
	}
	if err := fr.awaitLeaders(c, spec.Name, deadline); err != nil {
		return nil, err
	}
	return fr.topicInfo(c, spec.Name)
}

// DeleteTopic deletes a topic; its files go in the background.
func (fr *Front) DeleteTopic(ctx context.Context, cluster, name string) *protocol.Error {
	c, err := fr.topicCluster(cluster, name)
	if err != nil {
		return err
	}
	return c.Control.Change(fr.deadline(ctx), func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		_, recs, err := s.DecideDeleteTopic(name, fr.opt.Now().UnixMilli())
		return recs, err
	})
}

// Topics lists topics of one cluster, or of all.
func (fr *Front) Topics(cluster string, internal bool) ([]protocol.TopicInfo, *protocol.Error) {
	all, err := fr.serving(cluster)
	if err != nil {
		return nil, err
	}
	list := []protocol.TopicInfo{}
	for _, c := range all {
		list = append(list, fr.topicInfos(c, internal)...)
	}
	return list, nil
}

func (fr *Front) topicInfos(c *routing.Cluster, internal bool) []protocol.TopicInfo {
	view := c.View()
	var list []protocol.TopicInfo
	for i := range view.Topics {
		name := view.Topics[i].Name
		if (internal || !protocol.IsInternalTopic(name)) && fr.access.Who.SeesTopic(c.Name, name) {
			list = append(list, fr.describeTopic(view, view.Topics[i]))
		}
	}
	return list
}

// Topic describes one topic.
func (fr *Front) Topic(cluster, name string) (*protocol.TopicInfo, *protocol.Error) {
	c, err := fr.topicCluster(cluster, name)
	if err != nil {
		return nil, err
	}
	return fr.topicInfo(c, name)
}

func (fr *Front) topicInfo(c *routing.Cluster, name string) (*protocol.TopicInfo, *protocol.Error) {
	view := c.View()
	for i := range view.Topics {
		if view.Topics[i].Name == name {
			info := fr.describeTopic(view, view.Topics[i])
			return &info, nil
		}
	}
	return nil, topicNotFound(name)
}

// describeTimeout bounds how long a description waits for a leader's own view.
const describeTimeout = time.Second

// describeTopic adds to what the metadata says what the leaders know.
func (fr *Front) describeTopic(view *routing.View, t protocol.TopicInfo) protocol.TopicInfo {
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
