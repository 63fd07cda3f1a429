package front

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

const (
	// overviewAge is how old an overview may be: however many ask, it is not made more
	// often.
	overviewAge = 100 * time.Millisecond
	// maxExamples is how many partitions, or groups, an overview names of many.
	maxExamples = 10
)

// overviews keeps the newest overview.
type overviews struct {
	mu   sync.Mutex
	last *protocol.Overview
	made time.Time
}

// Overview returns the state of everything at a glance. It waits for nothing, but a moment
// for the first reading of groups. Nobody may change what it returns. It is made with the
// lock held: those who come meanwhile get the same one instead of making their own.
func (st *statusService) Overview() *protocol.Overview {
	o := &st.overviews
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := st.opt.Now(); o.last == nil || now.Sub(o.made) > overviewAge || now.Before(o.made) {
		o.last, o.made = st.makeOverview(now), now
	}
	return o.last
}

// makeOverview looks at everything once. Problems may come in any order; their ranks sort
// them.
func (st *statusService) makeOverview(now time.Time) *protocol.Overview {
	clusters := st.directory.Clusters()
	o := &overviewMaker{Overview: &protocol.Overview{Clusters: []protocol.ClusterOverview{}, Lagging: []protocol.GroupMetrics{}}}
	st.rates.look(clusters, now)
	o.Totals, o.Rates = st.rates.last(now)
	o.Counts.Clusters = len(clusters)
	if why := st.host.DiskProblem(); why != "" {
		o.problem(rankDisk, protocol.Problem{Severity: protocol.SeverityError, Code: "disk_failed", Message: "nothing can be written: " + why})
	}
	if len(clusters) == 0 && st.directory.WantsDefault.Load() {
		o.problem(rankStarting, protocol.Problem{Severity: protocol.SeverityError, Code: "starting", Message: "the default cluster is being created"})
	}
	if why := st.host.Joining(); why != "" {
		o.problem(rankStarting, protocol.Problem{Severity: protocol.SeverityError, Code: "joining", Message: "this node does not belong to its fleet: " + why})
	}
	o.addNodes(st.host.Nodes())
	if f, err := st.host.Fleet(); err == nil {
		o.addLevel(&f)
	}
	for _, c := range clusters {
		o.addCluster(c)
	}
	slices.SortFunc(o.Clusters, func(a, b protocol.ClusterOverview) int { return cmp.Compare(a.Name, b.Name) })
	o.addSpace(st.host)
	groups := st.groupMetrics.recent()
	o.addGroups(groups)
	o.conclude()
	return o.Overview
}

// rank orders problems: what is worse, or what others follow from, comes first.
type rank int

const (
	rankDisk rank = iota
	rankStarting
	rankHeldBack
	rankLeaderless
	rankFailed
	rankNodes
	rankFull
	rankStopped
	rankCopies
	rankSpace
)

// overviewMaker makes one overview.
type overviewMaker struct {
	*protocol.Overview
	ranks []rank // of the problems
}

// problem adds a problem behind those of its rank and before all that are less bad.
func (o *overviewMaker) problem(r rank, p protocol.Problem) {
	i, _ := slices.BinarySearch(o.ranks, r+1) // behind those of its rank
	o.ranks = slices.Insert(o.ranks, i, r)
	o.Problems = slices.Insert(o.Problems, i, p)
}

// addCluster looks at the brokers and partitions of a cluster. View and table are two
// pictures, which may be of different moments: what is only in one of them is left to the
// next look.
func (o *overviewMaker) addCluster(c *routing.Cluster) {
	view, table := c.View(), c.Table()
	if view == nil || table == nil {
		o.addWaiting(c)
		return
	}
	cluster := protocol.ClusterOverview{Name: c.Name, Brokers: []protocol.BrokerOverview{}}
	carried := map[int]*protocol.BrokerOverview{}
	for _, b := range view.Info.Brokers {
		cluster.Brokers = append(cluster.Brokers, protocol.BrokerOverview{ID: b.ID, State: b.State, Error: b.Error})
		o.addBroker(c.Name, b)
	}
	for i := range cluster.Brokers {
		carried[cluster.Brokers[i].ID] = &cluster.Brokers[i]
	}
	var leaderless, copies partitionList
	own := firstOwn(view.Topics)
	for i := range view.Topics {
		t := &view.Topics[(own+i)%len(view.Topics)] // people's topics are named before the broker's
		if !protocol.IsInternalTopic(t.Name) {
			cluster.Topics++
			cluster.Partitions += len(t.Partitions)
		}
		routes := table.Topics[t.Name]
		for p := range t.Partitions {
			for _, broker := range t.Partitions[p].Replicas {
				if b := carried[broker]; b != nil {
					b.Replicas++
				}
			}
			if routes == nil || routes.ID != t.ID || p >= routes.Partitions {
				continue // it was made or deleted between the two pictures
			}
			o.addPartition(view, routing.Of(routes).Partitions[p], t, p, carried, &leaderless, &copies)
		}
	}
	o.Clusters = append(o.Clusters, cluster)
	o.Counts.Topics += cluster.Topics
	o.Counts.Partitions += cluster.Partitions
	o.Counts.Leaderless += leaderless.count
	o.Counts.UnderReplicated += copies.count
	if leaderless.count > 0 {
		o.problem(rankLeaderless, leaderless.problem(c.Name, protocol.SeverityError, "leaderless", "no leader: they can neither be written nor read"))
	}
	if copies.count > 0 {
		o.problem(rankCopies, copies.problem(c.Name, protocol.SeverityWarning, "under_replicated", "fewer copies than they should have"))
	}
}

// firstOwn is where, in topics by name, those that are not internal begin.
func firstOwn(topics []protocol.TopicInfo) int {
	return max(0, slices.IndexFunc(topics, func(t protocol.TopicInfo) bool { return !protocol.IsInternalTopic(t.Name) }))
}

// addNodes looks at the nodes of the fleet.
func (o *overviewMaker) addNodes(nodes []protocol.NodeInfo) {
	o.Counts.Nodes = len(nodes)
	for i := range nodes {
		n := &nodes[i]
		if n.State != protocol.NodeUnreachable {
			o.Counts.NodesReachable++
			continue
		}
		o.problem(rankNodes, protocol.Problem{
			Severity: protocol.SeverityWarning, Code: "node_unreachable", Node: n.ID,
			Message: fmt.Sprintf("node %s does not answer", cmp.Or(n.Name, fmt.Sprint(n.ID))),
		})
	}
}

// addLevel tells that the fleet could go on to a level, and does not by itself.
func (o *overviewMaker) addLevel(f *protocol.FleetInfo) {
	switch {
	case f.Offered > f.Level && f.Held:
		o.problem(rankSpace, protocol.Problem{
			Severity: protocol.SeverityWarning, Code: "not_finalized",
			Message: fmt.Sprintf("the fleet is at level %d, and all nodes go up to %d: finalize it, and what is new can be used", f.Level, f.Offered),
		})
	case len(f.Versions) > 1:
		o.problem(rankSpace, protocol.Problem{
			Severity: protocol.SeverityWarning, Code: "mixed_versions", Message: "nodes run different versions: " + strings.Join(slices.Sorted(maps.Keys(f.Versions)), ", "),
		})
	}
}

// addWaiting tells of a cluster without metadata.
func (o *overviewMaker) addWaiting(c *routing.Cluster) {
	cluster := protocol.ClusterOverview{Name: c.Name, Brokers: []protocol.BrokerOverview{}}
	if c.Refused != nil {
		for _, b := range c.Refused.Info.Brokers {
			cluster.Brokers = append(cluster.Brokers, protocol.BrokerOverview{ID: b.ID, State: b.State, Error: b.Error})
			o.Counts.Brokers++
		}
		o.problem(rankHeldBack, protocol.Problem{
			Severity: protocol.SeverityError, Code: "cluster_held_back", Cluster: c.Name, Message: fmt.Sprintf("cluster %q is not started: %s", c.Name, c.Refused.Reason),
		})
	} else if !c.Fresh {
		message := fmt.Sprintf("cluster %q is recovering its metadata", c.Name)
		if why := c.Problem(); why != "" {
			message += ": " + why
		}
		o.problem(rankStarting, protocol.Problem{Severity: protocol.SeverityError, Code: "starting", Cluster: c.Name, Message: message})
	}
	o.Clusters = append(o.Clusters, cluster)
}

func (o *overviewMaker) addBroker(cluster string, b protocol.BrokerInfo) {
	o.Counts.Brokers++
	p := protocol.Problem{Cluster: cluster, Broker: b.ID}
	switch b.State {
	case protocol.BrokerRunning:
		o.Counts.BrokersRunning++
	case protocol.BrokerStopped:
		p.Severity, p.Code, p.Message = protocol.SeverityWarning, "broker_stopped", fmt.Sprintf("broker %d of cluster %q is stopped", b.ID, cluster)
		o.problem(rankStopped, p)
	default:
		p.Severity, p.Code, p.Message = protocol.SeverityError, "broker_failed", fmt.Sprintf("broker %d of cluster %q has failed: %s", b.ID, cluster, b.Error)
		o.problem(rankFailed, p)
	}
}

// addPartition looks at one partition, as readiness does.
func (o *overviewMaker) addPartition(view *routing.View, route *routing.Partition, t *protocol.TopicInfo, number int,
	carried map[int]*protocol.BrokerOverview, leaderless, copies *partitionList,
) {
	leader := route.Leader()
	if leader == nil {
		if route.LacksMajority() || !route.Electing() {
			leaderless.add(view, route, t, number, "no leader")
		}
		return
	}
	if b := carried[leader.Broker]; b != nil {
		b.Leaders++
	}
	o.Counts.LogBytes += leader.LogBytes()
	if route.Running() < route.Placed || len(view.Problems) > 0 && view.Problems[route.ID] != "" {
		copies.add(view, route, t, number, "not all replicas are running")
	}
}

// partitionList counts partitions and names some.
type partitionList struct {
	count    int
	examples []protocol.PartitionStatus
}

func (l *partitionList) add(view *routing.View, route *routing.Partition, t *protocol.TopicInfo, number int, reason string) {
	l.count++
	if len(l.examples) < maxExamples {
		l.examples = append(l.examples, protocol.PartitionStatus{
			Cluster: t.Cluster, Topic: t.Name, Partition: number, Reason: cmp.Or(view.Problems[route.ID], reason),
		})
	}
}

func (l *partitionList) problem(cluster, severity, code, what string) protocol.Problem {
	has := "have"
	if l.count == 1 {
		has, what = "has", strings.NewReplacer("they can", "it can", "they should", "it should").Replace(what)
	}
	return protocol.Problem{
		Severity: severity, Code: code, Cluster: cluster, Count: l.count, Partitions: l.examples,
		Message: fmt.Sprintf("%s of cluster %q %s %s", plural(l.count, "partition"), cluster, has, what),
	}
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// addSpace looks at the disk. The shares are those of the alert in docs/monitoring.
func (o *overviewMaker) addSpace(host statusHost) {
	var m protocol.Metrics
	host.CountInto(&m)
	o.Counts.DiskFree, o.Counts.DiskTotal = int64(m.DataDirFree), int64(m.DataDirTotal)
	if m.DataDirTotal == 0 {
		return
	}
	share := float64(m.DataDirFree) / float64(m.DataDirTotal)
	p := protocol.Problem{Code: "disk_full", Message: fmt.Sprintf("the data directory's disk has %.1f %% free", share*100)}
	switch {
	case share < 0.02:
		p.Severity = protocol.SeverityError
		o.problem(rankFull, p)
	case share < 0.1:
		p.Severity = protocol.SeverityWarning
		o.problem(rankSpace, p)
	}
}

func (o *overviewMaker) addGroups(groups []protocol.GroupMetrics) {
	o.Counts.Groups = len(groups)
	for _, g := range groups {
		o.Counts.Members += g.Members
		o.Counts.Lag += g.Lag
		if g.Lag > 0 {
			o.Lagging = append(o.Lagging, g)
		}
	}
	slices.SortFunc(o.Lagging, func(a, b protocol.GroupMetrics) int {
		return cmp.Or(cmp.Compare(b.Lag, a.Lag), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Group, b.Group))
	})
	o.Lagging = o.Lagging[:min(len(o.Lagging), maxExamples)]
}

// conclude says what all of it comes to.
func (o *overviewMaker) conclude() {
	if o.Problems == nil {
		o.Problems = []protocol.Problem{}
	}
	c := &o.Counts
	if len(o.Problems) == 0 {
		o.Status = protocol.StatusOK
		o.Health = fmt.Sprintf("All is well: %s, and %s of %s have a leader and all their copies.",
			runs(c.BrokersRunning), plural(c.Partitions, "partition"), plural(c.Topics, "topic"))
		if c.Topics == 0 {
			o.Health = fmt.Sprintf("All is well: %s. There are no topics yet.", runs(c.BrokersRunning))
		}
		return
	}
	o.Status = protocol.StatusDegraded
	for _, p := range o.Problems {
		if p.Severity == protocol.SeverityError {
			o.Status = protocol.StatusFailing
		}
	}
	worst := o.Problems[0].Message
	o.Health = strings.ToUpper(worst[:1]) + worst[1:]
	if more := len(o.Problems) - 1; more > 0 {
		o.Health += fmt.Sprintf(" (and %s)", plural(more, "other problem"))
	}
	o.Health += "."
}

func runs(brokers int) string {
	if brokers == 1 {
		return "1 broker runs"
	}
	return fmt.Sprintf("%d brokers run", brokers)
}
