package actors

import (
	"cmp"
	"context"
	"slices"
	"time"

	"ottla/protocol"
)

// CreateCluster creates a cluster with its brokers, or finds it there.
func (n *Node) CreateCluster(ctx context.Context, spec *protocol.ClusterSpec) (*protocol.ClusterInfo, bool, *protocol.Error) {
	deadline := n.deadline(ctx)
	reply := protocol.NewFuture[clusterCreation]()
	n.env.system.Root.Send(n.pid, &createCluster{Spec: spec, Reply: reply})
	res, ok := reply.Wait(deadline.Add(time.Second))
	switch {
	case !ok:
		return nil, false, protocol.Unknownf("the cluster was not created in time")
	case res.Err != nil:
		return nil, false, res.Err
	}
	if err := n.awaitLeaders(res.Handle, protocol.OffsetsTopic, deadline); err != nil {
		return nil, false, err
	}
	info := res.Handle.admin.Load().info
	return &info, res.Created, nil
}

// Clusters lists all clusters by name.
func (n *Node) Clusters() ([]protocol.ClusterInfo, *protocol.Error) {
	all, err := n.handles("")
	if err != nil {
		return nil, err
	}
	list := make([]protocol.ClusterInfo, len(all))
	for i, h := range all {
		list[i] = h.admin.Load().info
	}
	for _, h := range *n.clusters.Load() {
		if h.refused != nil {
			list = append(list, n.heldInfo(h))
		}
	}
	slices.SortFunc(list, func(a, b protocol.ClusterInfo) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// Cluster describes a cluster with its topics.
func (n *Node) Cluster(name string) (*protocol.ClusterDetail, *protocol.Error) {
	h, err := n.cluster(name)
	if err != nil {
		return nil, err
	}
	d := &protocol.ClusterDetail{ClusterInfo: h.admin.Load().info, Topics: n.topicInfos(h, false)}
	if d.Topics == nil {
		d.Topics = []protocol.TopicInfo{}
	}
	return d, nil
}

// DeleteCluster ends a cluster and removes its files.
func (n *Node) DeleteCluster(ctx context.Context, name string) *protocol.Error {
	reply := protocol.NewFuture[*protocol.Error]()
	n.env.system.Root.Send(n.pid, &deleteCluster{Name: name, Reply: reply})
	err, ok := reply.Wait(n.deadline(ctx).Add(closePatience))
	if !ok {
		return protocol.Unknownf("cluster %q was not deleted in time", name)
	}
	return err
}

// StopBroker stops one broker, after moving leadership away where it can.
func (n *Node) StopBroker(ctx context.Context, cluster string, id int) (*protocol.BrokerInfo, *protocol.Error) {
	return n.changeBroker(ctx, cluster, id, false)
}

// StartBroker starts one broker and answers when every partition that has a
// majority has a leader.
func (n *Node) StartBroker(ctx context.Context, cluster string, id int) (*protocol.BrokerInfo, *protocol.Error) {
	return n.changeBroker(ctx, cluster, id, true)
}

func (n *Node) changeBroker(ctx context.Context, cluster string, id int, start bool) (*protocol.BrokerInfo, *protocol.Error) {
	h := (*n.clusters.Load())[cluster] // needs no majority, so none is asked for
	if h == nil {
		return nil, protocol.Errorf(protocol.CodeClusterNotFound, "cluster %q does not exist", cluster)
	}
	if h.refused != nil {
		return nil, h.unavailable()
	}
	deadline := n.deadline(ctx)
	reply := protocol.NewFuture[*protocol.Error]()
	n.env.system.Root.Send(h.pid.Load(), &changeBroker{ID: id, Start: start, Reply: reply})
	err, ok := reply.Wait(deadline.Add(handOverPatience + closePatience))
	switch {
	case !ok:
		return nil, protocol.Unknownf("broker %d did not answer in time", id)
	case err != nil:
		return nil, err
	}
	view := h.admin.Load()
	if view == nil {
		return nil, h.unavailable()
	}
	if start {
		n.awaitPossibleLeaders(view, deadline)
	} else {
		n.awaitPossibleLeaders(view, minTime(deadline, time.Now().Add(time.Second)))
	}
	i := slices.IndexFunc(h.admin.Load().info.Brokers, func(b protocol.BrokerInfo) bool { return b.ID == id })
	if i < 0 {
		return nil, protocol.Errorf(protocol.CodeBrokerNotFound, "cluster %q has no broker %d", cluster, id)
	}
	info := h.admin.Load().info.Brokers[i]
	return &info, nil
}

// awaitPossibleLeaders waits until every partition of which a majority of the
// replicas is on running brokers has a leader.
func (n *Node) awaitPossibleLeaders(view *clusterView, deadline time.Time) {
	running := map[int]bool{}
	for _, b := range view.info.Brokers {
		running[b.ID] = b.State == brokerRunning
	}
	for i := range view.topics {
		t := &view.topics[i]
		for p := range t.Partitions {
			alive := 0
			for _, broker := range t.Partitions[p].Replicas {
				if running[broker] {
					alive++
				}
			}
			if alive >= len(t.Partitions[p].Replicas)/2+1 {
				view.partitions[protocol.PartitionID{TopicID: t.ID, Partition: p}].await(nil, deadline)
			}
		}
	}
}

// Readiness lists the partitions that have no leader, and those that lack
// replicas.
func (n *Node) Readiness() protocol.Readiness {
	r := protocol.Readiness{Leaderless: []protocol.PartitionStatus{}, Degraded: []protocol.PartitionStatus{}}
	for _, h := range *n.clusters.Load() {
		view := h.admin.Load()
		if view == nil {
			r.Starting = r.Starting || h.refused == nil && !h.fresh
			if trouble := h.trouble.Load(); trouble != nil && *trouble != "" {
				r.Leaderless = append(r.Leaderless, protocol.PartitionStatus{
					Cluster: h.manifest.Name, Topic: protocol.MetadataTopic, Reason: *trouble,
				})
			}
			continue
		}
		for i := range view.topics {
			n.addReadiness(&r, view, &view.topics[i])
		}
	}
	if len(*n.clusters.Load()) == 0 && n.wantsDefault.Load() {
		r.Starting = true
	}
	for _, list := range [][]protocol.PartitionStatus{r.Leaderless, r.Degraded} {
		slices.SortFunc(list, func(a, b protocol.PartitionStatus) int {
			return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
	}
	r.Ready = !r.Starting && len(r.Leaderless) == 0
	return r
}

func (n *Node) addReadiness(r *protocol.Readiness, view *clusterView, t *protocol.TopicInfo) {
	for p := range t.Partitions {
		key := protocol.PartitionID{TopicID: t.ID, Partition: p}
		route := view.partitions[key]
		s := protocol.PartitionStatus{Cluster: t.Cluster, Topic: t.Name, Partition: p, Reason: view.problems[key]}
		if why := n.env.stall.Load(); why != nil {
			s.Reason = *why
			r.Leaderless = append(r.Leaderless, s)
			continue
		}
		switch {
		case route.leader.Load() == nil && (lacksMajority(route) || !route.electing()):
			if s.Reason == "" {
				s.Reason = "no leader"
				if lacksMajority(route) {
					s.Reason = "no majority of its replicas is running"
				}
			}
			r.Leaderless = append(r.Leaderless, s)
		case s.Reason != "" || route.group.running() < route.replicas:
			if s.Reason == "" {
				s.Reason = "not all replicas are running"
			}
			r.Degraded = append(r.Degraded, s)
		}
	}
}
