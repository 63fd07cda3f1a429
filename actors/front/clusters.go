package front

import (
	"cmp"
	"context"
	"slices"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/routing"
	"ottla/protocol"
)

// CreateCluster creates a cluster with its brokers, or finds it there.
func (fr *Front) CreateCluster(ctx context.Context, spec *protocol.ClusterSpec) (*protocol.ClusterInfo, bool, *protocol.Error) {
	if err := fr.mayCluster(spec.Name); err != nil {
		return nil, false, err
	}
	if err := fr.roomForCluster(spec); err != nil {
		return nil, false, err
	}
	deadline := fr.deadline(ctx)
	c, created, err := fr.host.CreateCluster(spec, deadline)
	if err != nil {
		return nil, false, err
	}
	if err := fr.awaitLeaders(c, protocol.OffsetsTopic, deadline); err != nil {
		return nil, false, err
	}
	info := c.View().Info
	return &info, created, nil
}

// roomForCluster refuses a new cluster whose internal topics would be beyond what the
// node carries.
func (fr *Front) roomForCluster(spec *protocol.ClusterSpec) *protocol.Error {
	limit, all := fr.opt.Limits.Room.Replicas, fr.directory.Clusters()
	if limit == 0 || all[spec.Name] != nil {
		return nil
	}
	used, brokers := 0, 3
	for _, c := range all {
		if view := c.View(); view != nil {
			used += view.Replicas[fr.host.Node()]
		}
	}
	if spec.NumBrokers != nil {
		brokers = *spec.NumBrokers
	}
	asked := len(catalog.MetadataVoters(brokers)) + fr.opt.OffsetsPartitions*min(3, brokers)
	if used+asked > limit {
		return catalog.TooManyPartitions(used, asked, limit)
	}
	return nil
}

// Clusters lists all clusters by name.
func (fr *Front) Clusters() ([]protocol.ClusterInfo, *protocol.Error) {
	all, err := fr.serving("")
	if err != nil {
		return nil, err
	}
	list := make([]protocol.ClusterInfo, len(all))
	for i, c := range all {
		list[i] = c.View().Info
	}
	for _, c := range fr.directory.Clusters() {
		if c.Refused != nil && fr.access.Who.SeesCluster(c.Name) {
			list = append(list, c.Refused.Info)
		}
	}
	slices.SortFunc(list, func(a, b protocol.ClusterInfo) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// Cluster describes a cluster with its topics.
func (fr *Front) Cluster(name string) (*protocol.ClusterDetail, *protocol.Error) {
	c, err := fr.cluster(name)
	if err != nil {
		return nil, err
	}
	d := &protocol.ClusterDetail{ClusterInfo: c.View().Info, Topics: fr.topicInfos(c, false)}
	if d.Topics == nil {
		d.Topics = []protocol.TopicInfo{}
	}
	return d, nil
}

// DeleteCluster ends a cluster and removes its files.
func (fr *Front) DeleteCluster(ctx context.Context, name string) *protocol.Error {
	if err := fr.mayCluster(name); err != nil {
		return err
	}
	if err := fr.keepsTokens(name); err != nil {
		return err
	}
	if err := fr.keepsSources(name); err != nil {
		return err
	}
	if err := fr.keepsSubscriptions(name); err != nil {
		return err
	}
	return fr.host.DeleteCluster(name, fr.deadline(ctx))
}

// ResizeCluster gives a cluster more brokers, or fewer, and returns the task of it; nil
// where it has as many.
func (fr *Front) ResizeCluster(ctx context.Context, name string, brokers int) (*protocol.TaskInfo, *protocol.Error) {
	if err := fr.mayCluster(name); err != nil {
		return nil, err
	}
	c, err := fr.cluster(name)
	if err != nil {
		return nil, err
	}
	return fr.host.ResizeCluster(c, brokers, fr.deadline(ctx))
}

// StopBroker stops one broker, after moving leadership away where it can.
func (fr *Front) StopBroker(ctx context.Context, cluster string, id int) (*protocol.BrokerInfo, *protocol.Error) {
	return fr.changeBroker(ctx, cluster, id, false)
}

// StartBroker starts one broker and answers when every partition that has a
// majority has a leader.
func (fr *Front) StartBroker(ctx context.Context, cluster string, id int) (*protocol.BrokerInfo, *protocol.Error) {
	return fr.changeBroker(ctx, cluster, id, true)
}

func (fr *Front) changeBroker(ctx context.Context, cluster string, id int, start bool) (*protocol.BrokerInfo, *protocol.Error) {
	if err := fr.mayCluster(cluster); err != nil {
		return nil, err
	}
	c := fr.directory.Clusters()[cluster] // needs no majority, so none is asked for
	if c == nil {
		return nil, clusterNotFound(cluster)
	}
	if c.Refused != nil {
		return nil, c.Unavailable()
	}
	deadline := fr.deadline(ctx)
	if err := c.Control.ChangeBroker(id, start, deadline); err != nil {
		return nil, err
	}
	view := c.View()
	if view == nil {
		return nil, c.Unavailable()
	}
	if start {
		fr.awaitPossibleLeaders(view, deadline)
	} else {
		fr.awaitPossibleLeaders(view, minTime(deadline, time.Now().Add(time.Second)))
	}
	i := slices.IndexFunc(c.View().Info.Brokers, func(b protocol.BrokerInfo) bool { return b.ID == id })
	if i < 0 {
		return nil, protocol.Errorf(protocol.CodeBrokerNotFound, "cluster %q has no broker %d", cluster, id)
	}
	info := c.View().Info.Brokers[i]
	return &info, nil
}

// awaitPossibleLeaders waits until every partition of which a majority of the
// replicas is on running brokers has a leader.
func (fr *Front) awaitPossibleLeaders(view *routing.View, deadline time.Time) {
	running := map[int]bool{}
	for _, b := range view.Info.Brokers {
		running[b.ID] = b.State == protocol.BrokerRunning
	}
	for i := range view.Topics {
		t := &view.Topics[i]
		for p := range t.Partitions {
			alive := 0
			for _, broker := range t.Partitions[p].Replicas {
				if running[broker] {
					alive++
				}
			}
			if alive >= len(t.Partitions[p].Replicas)/2+1 {
				view.Partitions[protocol.PartitionID{TopicID: t.ID, Partition: p}].Await(nil, deadline)
			}
		}
	}
}

// Readiness lists the partitions that have no leader, and those that lack
// replicas.
func (fr *Front) Readiness() protocol.Readiness {
	r := protocol.Readiness{Leaderless: []protocol.PartitionStatus{}, Degraded: []protocol.PartitionStatus{}}
	full := fr.host.SpaceProblem()
	for _, c := range fr.directory.Clusters() {
		view := c.View()
		if view != nil && full != "" {
			r.Degraded = append(r.Degraded, protocol.PartitionStatus{Cluster: c.Name, Topic: protocol.MetadataTopic, Reason: full})
		}
		if view == nil {
			r.Starting = r.Starting || c.Refused == nil && !c.Fresh
			if problem := cmp.Or(c.Problem(), full); problem != "" {
				r.Leaderless = append(r.Leaderless, protocol.PartitionStatus{
					Cluster: c.Name, Topic: protocol.MetadataTopic, Reason: problem,
				})
			}
			continue
		}
		for i := range view.Topics {
			fr.addReadiness(&r, view, &view.Topics[i])
		}
	}
	if r.Joining = fr.host.Joining(); r.Joining != "" {
		r.Starting = true
	}
	if len(fr.directory.Clusters()) == 0 && fr.directory.WantsDefault.Load() {
		r.Starting = true
	}
	for _, list := range [][]protocol.PartitionStatus{r.Leaderless, r.Degraded} {
		slices.SortFunc(list, func(a, b protocol.PartitionStatus) int {
			return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
	}
	r.Ready = !r.Starting && len(r.Leaderless) == 0
	if who := fr.access.Who; who != nil {
		hidden := func(s protocol.PartitionStatus) bool { return !who.SeesTopic(s.Cluster, s.Topic) }
		r.Leaderless, r.Degraded = slices.DeleteFunc(r.Leaderless, hidden), slices.DeleteFunc(r.Degraded, hidden)
	}
	return r
}

func (fr *Front) addReadiness(r *protocol.Readiness, view *routing.View, t *protocol.TopicInfo) {
	for p := range t.Partitions {
		key := protocol.PartitionID{TopicID: t.ID, Partition: p}
		route := view.Partitions[key]
		s := protocol.PartitionStatus{Cluster: t.Cluster, Topic: t.Name, Partition: p, Reason: view.Problems[key]}
		if why := fr.host.DiskProblem(); why != "" {
			s.Reason = why
			r.Leaderless = append(r.Leaderless, s)
			continue
		}
		switch {
		case route.Leader() == nil && (route.LacksMajority() || !route.Electing()):
			if s.Reason == "" {
				s.Reason = "no leader"
				if route.LacksMajority() {
					s.Reason = "no majority of its replicas is running"
				}
			}
			r.Leaderless = append(r.Leaderless, s)
		case s.Reason != "" || route.Running() < route.Placed:
			if s.Reason == "" {
				s.Reason = "not all replicas are running"
			}
			r.Degraded = append(r.Degraded, s)
		}
	}
}
