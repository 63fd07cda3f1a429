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

// fleetService tells of clusters, brokers and nodes, and changes them.
type fleetService struct {
	*resolver
	host     adminHost
	status   statusHost
	topics   *topicService
	registry *registryService
}

// CreateCluster creates a cluster with its brokers, or finds it there.
func (fs *fleetService) CreateCluster(ctx context.Context, spec *protocol.ClusterSpec) (*protocol.ClusterInfo, bool, *protocol.Error) {
	if err := fs.mayCluster(spec.Name); err != nil {
		return nil, false, err
	}
	if err := fs.roomForCluster(spec); err != nil {
		return nil, false, err
	}
	deadline := fs.deadline(ctx)
	c, created, err := fs.host.CreateCluster(spec, deadline)
	if err != nil {
		return nil, false, err
	}
	// Else a client's first poll would find no coordinator.
	if err := fs.awaitLeaders(c, protocol.OffsetsTopic, deadline); err != nil {
		return nil, false, err
	}
	info := c.View().Info
	return &info, created, nil
}

// roomForCluster refuses a new cluster whose internal topics would be beyond what the
// node carries.
func (fs *fleetService) roomForCluster(spec *protocol.ClusterSpec) *protocol.Error {
	limit, all := fs.opt.Limits.Room.Replicas, fs.directory.Clusters()
	if limit == 0 || all[spec.Name] != nil {
		return nil
	}
	used, brokers := 0, 3
	for _, c := range all {
		if view := c.View(); view != nil {
			used += view.Replicas[fs.fleet.Node()]
		}
	}
	if spec.NumBrokers != nil {
		brokers = *spec.NumBrokers
	}
	offsets := cmp.Or(fs.opt.OffsetsPartitions, catalog.OffsetsPartitionsFor(len(fs.status.Nodes()) > 1))
	asked := len(catalog.MetadataVoters(brokers)) + offsets*min(3, brokers)
	if used+asked > limit {
		return catalog.TooManyPartitions(used, asked, limit)
	}
	return nil
}

// Clusters lists all clusters by name.
func (fs *fleetService) Clusters() ([]protocol.ClusterInfo, *protocol.Error) {
	all, err := fs.serving("")
	if err != nil {
		return nil, err
	}
	list := make([]protocol.ClusterInfo, len(all))
	for i, c := range all {
		list[i] = c.View().Info
	}
	for _, c := range fs.directory.Clusters() {
		if c.Refused != nil && fs.access.Who.SeesCluster(c.Name) {
			list = append(list, c.Refused.Info)
		}
	}
	slices.SortFunc(list, func(a, b protocol.ClusterInfo) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// Cluster describes a cluster with its topics.
func (fs *fleetService) Cluster(name string) (*protocol.ClusterDetail, *protocol.Error) {
	c, err := fs.cluster(name)
	if err != nil {
		return nil, err
	}
	d := &protocol.ClusterDetail{ClusterInfo: c.View().Info, Topics: fs.topics.topicInfos(c, false)}
	if d.Topics == nil {
		d.Topics = []protocol.TopicInfo{}
	}
	return d, nil
}

// DeleteCluster ends a cluster and removes its files.
func (fs *fleetService) DeleteCluster(ctx context.Context, name string) *protocol.Error {
	if err := fs.mayCluster(name); err != nil {
		return err
	}
	// The default cluster keeps things for all others; with it they would be gone.
	if err := fs.registry.keepsTokens(name); err != nil {
		return err
	}
	if err := fs.registry.keepsSources(name); err != nil {
		return err
	}
	if err := fs.registry.keepsSubscriptions(name); err != nil {
		return err
	}
	return fs.host.DeleteCluster(name, fs.deadline(ctx))
}

// ResizeCluster gives a cluster more brokers, or fewer, and returns the task of it; nil
// where it has as many.
func (fs *fleetService) ResizeCluster(ctx context.Context, name string, brokers int) (*protocol.TaskInfo, *protocol.Error) {
	if err := fs.mayCluster(name); err != nil {
		return nil, err
	}
	c, err := fs.cluster(name)
	if err != nil {
		return nil, err
	}
	if err := fs.settle(c); err != nil { // else a change that is over would still be under way here
		return nil, err
	}
	return fs.host.ResizeCluster(c, brokers, fs.deadline(ctx))
}

// StopBroker stops one broker, after moving leadership away where it can.
func (fs *fleetService) StopBroker(ctx context.Context, cluster string, id int) (*protocol.BrokerInfo, *protocol.Error) {
	return fs.changeBroker(ctx, cluster, id, false)
}

// StartBroker starts one broker and answers when every partition that has a
// majority has a leader, and the broker's replicas run but for those that cannot: the
// next one may be stopped then.
func (fs *fleetService) StartBroker(ctx context.Context, cluster string, id int) (*protocol.BrokerInfo, *protocol.Error) {
	return fs.changeBroker(ctx, cluster, id, true)
}

// changeBroker stops or starts a broker. The change itself is done when the brokers have
// it; what is waited for afterwards only makes the answer more useful, so a time-out of
// that is no error. After a stop other replicas take over within a second, or cannot.
func (fs *fleetService) changeBroker(ctx context.Context, cluster string, id int, start bool) (*protocol.BrokerInfo, *protocol.Error) {
	if err := fs.mayCluster(cluster); err != nil {
		return nil, err
	}
	c := fs.directory.Clusters()[cluster] // needs no majority, so none is asked for
	if c == nil {
		return nil, clusterNotFound(cluster)
	}
	if c.Refused != nil {
		return nil, c.Unavailable()
	}
	deadline := fs.deadline(ctx)
	if err := c.Control.ChangeBroker(id, start, deadline); err != nil {
		return nil, err
	}
	// The look after the change: ChangeBroker answers when it is published.
	view := c.View()
	if view == nil {
		return nil, c.Unavailable()
	}
	if start {
		fs.awaitPossibleLeaders(view, deadline)
		fs.awaitReplicas(ctx, c, id, minTime(deadline, time.Now().Add(replicasPatience)))
	} else {
		fs.awaitPossibleLeaders(view, minTime(deadline, time.Now().Add(time.Second)))
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
func (fs *fleetService) awaitPossibleLeaders(view *routing.View, deadline time.Time) {
	running := map[int]bool{}
	for _, b := range view.Info.Brokers {
		running[b.ID] = b.State == protocol.BrokerRunning
	}
	// One after the other, within one deadline: elections of all partitions run at the same
	// time, so the first wait covers most of the others.
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

// replicasPatience is how long the answer to a start waits for the broker's replicas. One
// that has to be mended or made again takes as long as that takes.
const replicasPatience = 5 * time.Second

// awaitReplicas waits until all replicas of a broker run of which nothing is known that
// keeps them from it.
func (fs *fleetService) awaitReplicas(ctx context.Context, c *routing.Cluster, broker int, deadline time.Time) {
	for time.Now().Before(deadline) && !replicasRun(c.View(), broker) {
		select {
		case <-fs.stopped:
			return
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond): // each look is at all partitions
		}
	}
}

// replicasRun reports whether as many replicas run of each of a broker's partitions as are
// on running brokers, but where a replica has a problem.
func replicasRun(view *routing.View, broker int) bool {
	running := map[int]bool{}
	for _, b := range view.Info.Brokers {
		running[b.ID] = b.State == protocol.BrokerRunning
	}
	if !running[broker] {
		return true
	}
	for i := range view.Topics {
		t := &view.Topics[i]
		for p := range t.Partitions {
			key := protocol.PartitionID{TopicID: t.ID, Partition: p}
			if !slices.Contains(t.Partitions[p].Replicas, broker) || view.Problems[key] != "" {
				continue
			}
			alive := 0
			for _, id := range t.Partitions[p].Replicas {
				if running[id] {
					alive++
				}
			}
			if view.Partitions[key].Running() < alive {
				return false
			}
		}
	}
	return true
}

// Readiness lists the partitions that have no leader, and those that lack replicas.
//
// It waits for nothing and asks nobody: it must answer when all else hangs. So it tells
// what this node has heard, which may be a moment old. A partition that only lacks a copy
// does not make the node unready: it serves.
func (fs *fleetService) Readiness() protocol.Readiness {
	r := protocol.Readiness{Leaderless: []protocol.PartitionStatus{}, Degraded: []protocol.PartitionStatus{}}
	full := fs.status.SpaceProblem()
	for _, c := range fs.directory.Clusters() {
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
			fs.addReadiness(&r, view, &view.Topics[i])
		}
	}
	if r.Joining = fs.status.Joining(); r.Joining != "" {
		r.Starting = true
	}
	if len(fs.directory.Clusters()) == 0 && fs.directory.WantsDefault.Load() {
		r.Starting = true
	}
	for _, list := range [][]protocol.PartitionStatus{r.Leaderless, r.Degraded} {
		slices.SortFunc(list, func(a, b protocol.PartitionStatus) int {
			return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
	}
	r.Ready = !r.Starting && len(r.Leaderless) == 0
	// After Ready was decided: whether the node is ready does not depend on who asks.
	if who := fs.access.Who; who != nil {
		hidden := func(s protocol.PartitionStatus) bool { return !who.SeesTopic(s.Cluster, s.Topic) }
		r.Leaderless, r.Degraded = slices.DeleteFunc(r.Leaderless, hidden), slices.DeleteFunc(r.Degraded, hidden)
	}
	return r
}

func (fs *fleetService) addReadiness(r *protocol.Readiness, view *routing.View, t *protocol.TopicInfo) {
	for p := range t.Partitions {
		key := protocol.PartitionID{TopicID: t.ID, Partition: p}
		route := view.Partitions[key]
		s := protocol.PartitionStatus{Cluster: t.Cluster, Topic: t.Name, Partition: p, Reason: view.Problems[key]}
		if why := fs.status.DiskProblem(); why != "" {
			s.Reason = why
			r.Leaderless = append(r.Leaderless, s)
			continue
		}
		switch {
		// An election that may come to something is no reason to take a node out of
		// service.
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
