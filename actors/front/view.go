package front

import (
	"errors"
	"slices"
	"sync"
	"time"

	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// route returns a partition's route; an error if there is no such partition.
func (fr *Front) route(t *protocol.Topic, partition int) (*routing.Partition, *protocol.Error) {
	tr := routing.Of(t)
	if partition < 0 || partition >= len(tr.Partitions) {
		return nil, protocol.Errorf(protocol.CodePartitionNotFound, "topic %q has no partition %d", t.Name, partition).
			With("partitions", len(tr.Partitions))
	}
	return tr.Partitions[partition], nil
}

// view returns the newest published view of a partition, and who published it.
func (fr *Front) view(t *protocol.Topic, partition int, patience time.Duration) (routing.LogView, *routing.Leadership, *protocol.Error) {
	route, err := fr.route(t, partition)
	if err != nil {
		return nil, nil, err
	}
	ref, until := route.Leader(), time.Time{}
	for {
		if ref != nil {
			v, err := ref.View()
			if err == nil || patience == 0 {
				return v, ref, err
			}
		}
		if until.IsZero() {
			until = time.Now().Add(patience)
		}
		if ref = fr.nextLeader(t, route, ref, until); ref == nil {
			return nil, nil, fr.leaderless(t, partition)
		}
	}
}

// errStaleView says that compaction or retention removed a file while it was
// read. The newest view is without that file, so the read is tried again, and the
// error does not reach a client unless that happens many times in a row.
var errStaleView = protocol.Errorf(protocol.CodeStorageFailed, "the partition's files changed while they were read")

// withView calls read with the newest view of a partition. It does so again when
// that view turned out to be stale, and when its leader could not read the bytes
// and another one leads.
func (fr *Front) withView(t *protocol.Topic, partition int, read func(routing.LogView, *routing.Leadership) *protocol.Error) *protocol.Error {
	return fr.withViewWithin(routing.FailoverPatience, t, partition, read)
}

// withViewWithin is withView with another patience for a partition that nobody leads.
func (fr *Front) withViewWithin(patience time.Duration, t *protocol.Topic, partition int, read func(routing.LogView, *routing.Leadership) *protocol.Error) *protocol.Error {
	for tries := 0; ; tries++ {
		v, ref, err := fr.view(t, partition, patience)
		if err != nil {
			return err
		}
		err = read(v, ref)
		switch {
		case err == nil || tries == 10:
			return err
		case err == errStaleView:
		case err.Code != protocol.CodeStorageFailed || !fr.hasSuccessor(t, partition, ref):
			return err
		}
	}
}

// hasSuccessor reports whether another replica leads after ref, whose bytes could
// not be read: damage ends a leader, and its successor has them.
func (fr *Front) hasSuccessor(t *protocol.Topic, partition int, ref *routing.Leadership) bool {
	route, err := fr.route(t, partition)
	if err != nil {
		return false
	}
	next := fr.nextLeader(t, route, ref, time.Now().Add(routing.FailoverPatience))
	return next != nil && next != ref
}

func outOfRange(topic string, partition int, offset int64, v routing.LogView) *protocol.Error {
	return protocol.Errorf(protocol.CodeOffsetOutOfRange,
		"offset %d of partition %d of topic %q is below the log start", offset, partition, topic).
		With("earliest", v.Earliest()).With("latest", v.HighWatermark()).
		With("topic", topic).With("partition", partition)
}

// unreadable is the answer for bytes that are there but cannot be read: never
// "empty", never "not found".
func unreadable(topic string, partition int, err error) *protocol.Error {
	return protocol.Errorf(protocol.CodeStorageFailed, "partition %d of topic %q cannot be read: %v", partition, topic, err)
}

// PartitionOffsets returns the earliest and the next offset of a partition.
func (fr *Front) PartitionOffsets(t *protocol.Topic, partition int) (earliest, latest protocol.Offset, err *protocol.Error) {
	v, _, err := fr.view(t, partition, routing.FailoverPatience)
	if err != nil {
		return 0, 0, err
	}
	return protocol.Offset(v.Earliest()), protocol.Offset(v.HighWatermark()), nil
}

// startOffset resolves where a group starts on a partition.
func (fr *Front) startOffset(t *protocol.Topic, partition int, from protocol.StartFrom) (protocol.Offset, *protocol.Error) {
	var at int64
	err := fr.withView(t, partition, func(v routing.LogView, _ *routing.Leadership) *protocol.Error {
		var err error
		switch {
		case from.Timestamp != nil:
			at, err = v.OffsetForTime(*from.Timestamp)
		case from.Latest:
			at = v.HighWatermark()
		default:
			at = v.Earliest()
		}
		switch {
		case errors.Is(err, logfile.ErrStale):
			return errStaleView
		case err != nil:
			return unreadable(t.Name, partition, err)
		}
		return nil
	})
	return protocol.Offset(at), err
}

// countFetched counts records that were read for a client.
func countFetched(t *protocol.Topic, partition, records, bytes int) {
	routing.Of(t).Partitions[partition].Stats.Fetched(records, bytes)
}

// groupsPatience is how long a reading of the metrics waits for the groups'
// coordinators; one that has no leader would hold it up for seconds.
const groupsPatience = 500 * time.Millisecond

// Metrics reads everything that the node counts. It waits for nothing but,
// for a moment, the coordinators of groups.
func (fr *Front) Metrics() *protocol.Metrics {
	m := &protocol.Metrics{}
	fr.host.CountInto(m)
	m.ReplicasLimit = fr.opt.Limits.Room.Replicas
	for name, c := range fr.directory.Clusters() {
		view := c.View()
		if c.Refused != nil {
			m.Brokers = append(m.Brokers, brokerMetrics(name, c.Refused.Info.Brokers)...)
		}
		if view == nil {
			continue // still recovering
		}
		m.Brokers = append(m.Brokers, brokerMetrics(name, view.Info.Brokers)...)
		m.Replicas += view.Replicas[fr.host.Node()]
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
	mu    sync.Mutex
	busy  chan struct{} // closed when the reading under way is over; nil: none is
	last  []protocol.GroupMetrics
	stale bool
	over  time.Time     // when the last reading was over; zero: there was none
	took  time.Duration // how long it took
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

// The last reading is good enough for recent if it is not older than readingAge, or
// than readingShare times as long as it took: with very many groups it takes a while.
const (
	readingAge   = 500 * time.Millisecond
	readingShare = 20
)

// recent returns the last reading, and has it renewed if it is old. It waits only for
// one that is likely to be there at once.
func (g *groupReader) recent(fr *Front) []protocol.GroupMetrics {
	g.mu.Lock()
	age := time.Since(g.over)
	last, never, quick := g.last, g.over.IsZero(), g.took < readingAge/10
	fresh := !never && age < max(readingAge, readingShare*g.took)
	if !fresh && g.busy == nil {
		g.busy = make(chan struct{})
		go g.refresh(fr, g.busy)
	}
	g.mu.Unlock()
	if fresh || !never && !quick {
		return last
	}
	last, _ = g.read(fr)
	return last
}

// isAway reports whether a group's coordinator is at another node, which counts it.
func (fr *Front) isAway(g protocol.GroupInfo) bool {
	c := fr.directory.Clusters()[g.Cluster]
	if c == nil || c.Table() == nil || c.Table().Topics[protocol.OffsetsTopic] == nil {
		return false
	}
	offsets := routing.Of(c.Table().Topics[protocol.OffsetsTopic])
	leader := offsets.Partitions[routing.GroupPartition(g.Group, len(offsets.Partitions))].Leader()
	return leader != nil && leader.Away
}

func (g *groupReader) refresh(fr *Front, done chan struct{}) {
	began := time.Now()
	infos, err := fr.listGroupInfos("", true)
	infos = slices.DeleteFunc(infos, fr.isAway)
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
