package front

import (
	"slices"
	"sync"
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// groupsPatience is how long a reading of the metrics waits for the groups'
// coordinators; one that has no leader would hold it up for seconds.
const groupsPatience = 500 * time.Millisecond

// statusService says how the process is: what it counts, and at a glance.
type statusService struct {
	*locator
	fleet fleetHost
	host  statusHost

	groupMetrics groupReader
	rates        rates
	overviews    overviews
}

// Metrics reads everything that the node counts. It waits for nothing but,
// for a moment, the coordinators of groups.
func (st *statusService) Metrics() *protocol.Metrics {
	m := &protocol.Metrics{}
	st.host.CountInto(m)
	m.ReplicasLimit = st.opt.Limits.Room.Replicas
	for name, c := range st.directory.Clusters() {
		view := c.View()
		if c.Refused != nil {
			m.Brokers = append(m.Brokers, brokerMetrics(name, c.Refused.Info.Brokers)...)
		}
		if view == nil {
			continue // still recovering
		}
		m.Brokers = append(m.Brokers, brokerMetrics(name, view.Info.Brokers)...)
		m.Replicas += view.Replicas[st.fleet.Node()]
		for i := range view.Topics {
			m.Topics = append(m.Topics, topicMetrics(view, &view.Topics[i]))
		}
	}
	m.Groups, m.GroupsStale = st.groupMetrics.read()
	return m
}

// brokerMetrics counts brokers by their state.
func brokerMetrics(cluster string, brokers []protocol.BrokerInfo) []protocol.BrokerMetrics {
	states := map[string]int{}
	for _, b := range brokers {
		states[b.State]++
	}
	var counts []protocol.BrokerMetrics
	for state, count := range states {
		counts = append(counts, protocol.BrokerMetrics{Cluster: cluster, State: state, Count: count})
	}
	return counts
}

// topicMetrics adds up what this node has done for a topic, and what it leads.
func topicMetrics(view *routing.View, t *protocol.TopicInfo) protocol.TopicMetrics {
	m := protocol.TopicMetrics{
		Cluster: t.Cluster, Topic: t.Name, Internal: protocol.IsInternalTopic(t.Name), Partitions: len(t.Partitions),
	}
	for p := range t.Partitions {
		key := protocol.PartitionID{TopicID: t.ID, Partition: p}
		route := view.Partitions[key]
		if route == nil {
			continue
		}
		s := &route.Stats
		m.ProducedRecords += s.ProducedRecords.Load()
		m.ProducedBytes += s.ProducedBytes.Load()
		m.FetchedRecords += s.FetchedRecords.Load()
		m.FetchedBytes += s.FetchedBytes.Load()
		ref := route.Leader()
		switch {
		case ref == nil:
			m.Leaderless++
			continue
		// Sums over all nodes are to be right, so each partition is counted where it is
		// led.
		case ref.Away: // its own node counts it
		case view.Problems[key] != "" || route.Running() < route.Placed:
			m.UnderReplicated++
		}
		m.LogBytes += ref.LogBytes()
	}
	return m
}

// groupReader reads the groups of all clusters in the background, one reading
// at a time, and keeps the last one. It takes what the coordinators know: one
// that was cut off and does not know it yet may be behind by an election
// timeout, and thousands of groups at each scrape are not worth a round each.
type groupReader struct {
	groups *groupService // of the Front that answers for anybody

	mu    sync.Mutex
	busy  chan struct{} // closed when the reading under way is over; nil: none is
	last  []protocol.GroupMetrics
	stale bool
	over  time.Time     // when the last reading was over; zero: there was none
	took  time.Duration // how long it took
}

// read returns a fresh reading, or the last one if that takes too long.
func (g *groupReader) read() (groups []protocol.GroupMetrics, stale bool) {
	g.mu.Lock()
	// Whoever comes while one is under way waits for that: however many ask, the
	// coordinators are asked once.
	if g.busy == nil {
		g.busy = make(chan struct{})
		go g.refresh(g.busy)
	}
	busy := g.busy
	g.mu.Unlock()
	t := time.NewTimer(groupsPatience)
	defer t.Stop()
	select {
	case <-busy:
	case <-t.C:
		stale = true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.last, stale || g.stale
}

// The last reading is good enough for recent if it is not older than readingAge, or
// than readingShare times as long as it took: with very many groups it takes a while.
const (
	readingAge   = 500 * time.Millisecond
	readingShare = 20
)

// recent returns the last reading, and has it renewed if it is old. It waits only for
// one that is likely to be there at once.
func (g *groupReader) recent() []protocol.GroupMetrics {
	g.mu.Lock()
	age := time.Since(g.over)
	last, never, quick := g.last, g.over.IsZero(), g.took < readingAge/10
	fresh := !never && age < max(readingAge, readingShare*g.took)
	if !fresh && g.busy == nil {
		g.busy = make(chan struct{})
		go g.refresh(g.busy)
	}
	g.mu.Unlock()
	if fresh || !never && !quick {
		return last
	}
	last, _ = g.read()
	return last
}

// isAway reports whether a group's coordinator is at another node, which counts it.
func (lc *locator) isAway(g protocol.GroupInfo) bool {
	c := lc.directory.Clusters()[g.Cluster]
	if c == nil || c.Table() == nil || c.Table().Topics[protocol.OffsetsTopic] == nil {
		return false
	}
	offsets := routing.Of(c.Table().Topics[protocol.OffsetsTopic])
	leader := offsets.Partitions[routing.GroupPartition(g.Group, len(offsets.Partitions))].Leader()
	return leader != nil && leader.Away
}

// refresh makes a reading. If that fails the last one stays, and is called stale: an empty
// one would look as if all groups had gone.
func (g *groupReader) refresh(done chan struct{}) {
	began := time.Now()
	// Without the lock: it takes as long as it takes.
	infos, err := g.groups.listGroupInfos("", true)
	infos = slices.DeleteFunc(infos, g.groups.isAway)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over, g.took = time.Now(), time.Since(began)
	if g.stale = err != nil; !g.stale {
		g.last = make([]protocol.GroupMetrics, len(infos))
		for i := range infos {
			x := &infos[i]
			g.last[i] = protocol.GroupMetrics{Cluster: x.Cluster, Group: x.Group, Members: len(x.Members), Lag: int64(x.Lag)}
			if x.QueueInfo != nil {
				g.last[i].Queue = x.Partitions
			}
		}
	}
	g.busy = nil
	close(done)
}
