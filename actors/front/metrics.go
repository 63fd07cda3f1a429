package front

import (
	"sync"
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// groupsPatience is how long a reading of the metrics waits for the groups'
// coordinators; one that has no leader would hold it up for seconds.
const groupsPatience = 500 * time.Millisecond

// Metrics reads everything that the node counts. It waits for nothing but,
// for a moment, the coordinators of groups.
func (fr *Front) Metrics() *protocol.Metrics {
	m := &protocol.Metrics{}
	fr.host.CountInto(m)
	for name, c := range fr.directory.Clusters() {
		view := c.View()
		if c.Refused != nil {
			m.Brokers = append(m.Brokers, brokerMetrics(name, c.Refused.Info.Brokers)...)
		}
		if view == nil {
			continue // still recovering
		}
		m.Brokers = append(m.Brokers, brokerMetrics(name, view.Info.Brokers)...)
		for i := range view.Topics {
			m.Topics = append(m.Topics, topicMetrics(view, &view.Topics[i]))
		}
	}
	m.Groups, m.GroupsStale = fr.groupMetrics.read(fr)
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
		case view.Problems[key] != "" || route.Running() < route.Placed:
			m.UnderReplicated++
		}
		m.LogBytes += ref.View().Size()
	}
	return m
}

// groupReader reads the groups of all clusters in the background, one reading
// at a time, and keeps the last one. It takes what the coordinators know: one
// that was cut off and does not know it yet may be behind by an election
// timeout, and thousands of groups at each scrape are not worth a round each.
type groupReader struct {
	mu    sync.Mutex
	busy  chan struct{} // closed when the reading under way is over; nil: none is
	last  []protocol.GroupMetrics
	stale bool
}

// read returns a fresh reading, or the last one if that takes too long.
func (g *groupReader) read(fr *Front) (groups []protocol.GroupMetrics, stale bool) {
	g.mu.Lock()
	if g.busy == nil {
		g.busy = make(chan struct{})
		go g.refresh(fr, g.busy)
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

func (g *groupReader) refresh(fr *Front, done chan struct{}) {
	infos, err := fr.listGroupInfos("", true)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stale = err != nil; !g.stale {
		g.last = make([]protocol.GroupMetrics, len(infos))
		for i := range infos {
			x := &infos[i]
			g.last[i] = protocol.GroupMetrics{Cluster: x.Cluster, Group: x.Group, Members: len(x.Members), Lag: int64(x.Lag)}
		}
	}
	g.busy = nil
	close(done)
}
