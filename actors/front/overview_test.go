package front

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/routing"
	"ottla/protocol"
)

// show publishes a picture of the cluster with its topics and these brokers, each
// topic with copies on all of them.
func (w *world) show(brokers ...protocol.BrokerInfo) *routing.View {
	v := &routing.View{NextConsumerID: 1, Partitions: map[protocol.PartitionID]*routing.Partition{}, Problems: map[protocol.PartitionID]string{}}
	v.Info.Brokers = brokers
	var ids []int
	for _, b := range brokers {
		ids = append(ids, b.ID)
	}
	for _, t := range w.cluster.Table().Topics {
		info := protocol.TopicInfo{ID: t.ID, Name: t.Name, Cluster: t.Cluster}
		for p, route := range routing.Of(t).Partitions {
			info.Partitions = append(info.Partitions, protocol.PartitionInfo{Number: p, Replicas: ids})
			v.Partitions[route.ID] = route
		}
		v.Topics = append(v.Topics, info)
	}
	w.cluster.Publish(w.cluster.Table(), v)
	return v
}

func broker(id int, state string) protocol.BrokerInfo {
	return protocol.BrokerInfo{ID: id, State: state, Error: map[bool]string{true: "its disk is gone"}[state == protocol.BrokerFailed]}
}

// overview is a new one, made without the groups of a coordinator.
func (w *world) overview() *protocol.Overview {
	w.groupMetrics.over = time.Now()
	w.overviews.last = nil
	return w.Overview()
}

func problemCodes(o *protocol.Overview) (list []string) {
	for _, p := range o.Problems {
		list = append(list, p.Severity+" "+p.Code)
	}
	return list
}

func TestOverviewOfAHealthyServer(t *testing.T) {
	w := newWorld(t)
	w.show(broker(1, protocol.BrokerRunning))
	o := w.overview()
	assert.Equal(t, protocol.StatusOK, o.Status)
	assert.Equal(t, "All is well: 1 broker runs. There are no topics yet.", o.Health)
	assert.NotNil(t, o.Problems, "an empty list, not null")

	_, leaders := w.withTopic("q", 2)
	leaders[0].append("1")
	w.show(broker(1, protocol.BrokerRunning))
	o = w.overview()
	assert.Equal(t, "All is well: 1 broker runs, and 2 partitions of 1 topic have a leader and all their copies.", o.Health)
	assert.Equal(t, 1, o.Counts.Topics)
	assert.Equal(t, 2, o.Counts.Partitions)
	assert.Positive(t, o.Counts.LogBytes)
	assert.Equal(t, []protocol.ClusterOverview{{
		Name: "default", Topics: 1, Partitions: 2, Brokers: []protocol.BrokerOverview{{ID: 1, State: "running", Leaders: 3, Replicas: 3}},
	}}, o.Clusters)
}

func TestOverviewNamesWhatIsWrongWorstFirst(t *testing.T) {
	w := newWorld(t)
	topic, leaders := w.withTopic("q", 15)
	for p := range 12 {
		leaders[p].resign()
		routing.Of(topic).Partitions[p].SetLost(time.Now().Add(-time.Minute))
	}
	v := w.show(broker(1, protocol.BrokerRunning), broker(2, protocol.BrokerStopped), broker(3, protocol.BrokerFailed))
	v.Problems[routing.Of(topic).Partitions[13].ID] = "its copy on broker 3 is being replaced"
	o := w.overview()
	assert.Equal(t, protocol.StatusFailing, o.Status)
	assert.Equal(t, []string{"error leaderless", "error broker_failed", "warning broker_stopped", "warning under_replicated"}, problemCodes(o))
	assert.Equal(t, `12 partitions of cluster "default" have no leader: they can neither be written nor read (and 3 other problems).`, o.Health)
	assert.Equal(t, 12, o.Problems[0].Count)
	assert.Len(t, o.Problems[0].Partitions, maxExamples, "it does not grow with what is wrong")
	assert.Equal(t, `broker 3 of cluster "default" has failed: its disk is gone`, o.Problems[1].Message)
	assert.Equal(t, `1 partition of cluster "default" has fewer copies than it should have`, o.Problems[3].Message)
	assert.Equal(t, "its copy on broker 3 is being replaced", o.Problems[3].Partitions[0].Reason)
	assert.Equal(t, []int{1, 3}, []int{o.Counts.BrokersRunning, o.Counts.Brokers})

	leaderless := o.Counts.Leaderless
	for p := range 12 {
		w.lead(topic, p)
	}
	o = w.overview()
	assert.Equal(t, 12, leaderless-o.Counts.Leaderless)
}

// Between two leaders a partition is not lost yet: hand-overs are no problem.
func TestOverviewIsPatientWithElections(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	w.show(broker(1, protocol.BrokerRunning))
	leaders[0].resign()
	assert.Equal(t, protocol.StatusOK, w.overview().Status)
	w.replicas.running.Store(0)
	assert.Equal(t, protocol.StatusFailing, w.overview().Status, "there is nobody to elect")
}

func TestOverviewOfAClusterThatDoesNotServe(t *testing.T) {
	w := newWorld(t)
	w.show(broker(1, protocol.BrokerRunning))
	w.directory.Put("b", &routing.Cluster{Name: "b", Known: time.Now(), Refused: &routing.Refusal{Reason: "two of its directories are missing"}})
	c := &routing.Cluster{Name: "c", Known: time.Now()}
	c.SetProblem("no majority")
	w.directory.Put("c", c)
	o := w.overview()
	assert.Equal(t, []string{"error starting", "error cluster_held_back"}, problemCodes(o))
	assert.Equal(t, `cluster "c" is recovering its metadata: no majority`, o.Problems[0].Message)
	assert.Equal(t, `cluster "b" is not started: two of its directories are missing`, o.Problems[1].Message)
	assert.Equal(t, 3, o.Counts.Clusters)
}

func TestOverviewOfAFleet(t *testing.T) {
	w := newWorld(t)
	w.show(broker(1, protocol.BrokerRunning))
	host := w.shared.host.(*fakeHost)
	host.nodes = []protocol.NodeInfo{{ID: 1, Name: "a", State: protocol.NodeActive}, {ID: 2, Name: "b", State: protocol.NodeUnreachable}, {ID: 3, State: protocol.NodeUnreachable}}
	o := w.overview()
	assert.Equal(t, []int{1, 3}, []int{o.Counts.NodesReachable, o.Counts.Nodes})
	assert.Equal(t, []string{"warning node_unreachable", "warning node_unreachable"}, problemCodes(o))
	assert.Equal(t, "Node b does not answer (and 1 other problem).", o.Health)
	assert.EqualValues(t, 3, o.Problems[1].Node)
	assert.Equal(t, "node 3 does not answer", o.Problems[1].Message)
	host.joining = "no seed answers"
	assert.Equal(t, []string{"error joining", "warning node_unreachable", "warning node_unreachable"}, problemCodes(w.overview()))
}

// People's topics are the examples, before the broker's own.
func TestOverviewNamesPeoplesTopicsFirst(t *testing.T) {
	w := newWorld(t)
	w.withTopic("q", 3)
	v := w.show(broker(1, protocol.BrokerRunning))
	slices.SortFunc(v.Topics, func(a, b protocol.TopicInfo) int { return cmp.Compare(a.Name, b.Name) })
	for _, route := range v.Partitions {
		v.Problems[route.ID] = "behind"
	}
	o := w.overview()
	require.Equal(t, 4, o.Problems[0].Count)
	assert.Equal(t, "q", o.Problems[0].Partitions[0].Topic)
	assert.Equal(t, protocol.OffsetsTopic, o.Problems[0].Partitions[3].Topic)
}

func TestOverviewOfGroups(t *testing.T) {
	w := newWorld(t)
	for i := range int64(30) {
		w.groupMetrics.last = append(w.groupMetrics.last, protocol.GroupMetrics{Cluster: "default", Group: fmt.Sprint("g", i), Members: 2, Lag: i % 20})
	}
	o := w.overview()
	assert.Equal(t, []int{30, 60}, []int{o.Counts.Groups, o.Counts.Members})
	require.Len(t, o.Lagging, maxExamples)
	assert.Equal(t, "g19", o.Lagging[0].Group)
	assert.EqualValues(t, 19, o.Lagging[0].Lag)
}

func TestRatesByMinute(t *testing.T) {
	w := newWorld(t)
	topic, _ := w.withTopic("q", 2)
	internal := routing.Of(w.table(protocol.OffsetsTopic)).Partitions[0]
	stats := &routing.Of(topic).Partitions[1].Stats
	now := time.Unix(60*1000+30, 0)
	look := func() { w.rates.look(w.directory.Clusters(), now) }
	look()
	stats.ProducedRecords.Add(60)
	stats.FetchedBytes.Add(3000)
	internal.Stats.ProducedRecords.Add(1e6)
	now = now.Add(20 * time.Second)
	look()
	now = now.Add(70 * time.Second) // a minute on
	stats.ProducedRecords.Add(90)
	look()
	total, list := w.rates.last(now)
	assert.Equal(t, protocol.Traffic{ProducedRecords: 150, FetchedBytes: 3000}, total)
	assert.Equal(t, []protocol.Rate{
		{Timestamp: 60 * 1000 * 1000, ProducedRecords: 2, FetchedBytes: 100}, // of the 30 seconds since the first look
		{Timestamp: 60 * 1001 * 1000},
		{Timestamp: 60 * 1002 * 1000, ProducedRecords: 90},
	}, list, "%d", now.Unix())

	w.remove("q")
	look()
	total, _ = w.rates.last(now)
	assert.EqualValues(t, 150, total.ProducedRecords, "what a topic that is gone had is not taken back")
	assert.Empty(t, w.rates.seen)

	for range 200 {
		now = now.Add(time.Minute)
		look()
	}
	_, list = w.rates.last(now)
	require.Len(t, list, rateMinutes+1)
	assert.Equal(t, now.Unix()/60*60_000, list[len(list)-1].Timestamp)
	for i := range list[1:] {
		assert.Equal(t, int64(60_000), list[i+1].Timestamp-list[i].Timestamp)
		assert.Zero(t, list[i].ProducedRecords)
	}
	now = now.Add(24 * time.Hour) // the machine slept
	_, list = w.rates.last(now)
	assert.Len(t, list, rateMinutes+1)
}

func TestRatesAreKeptUntilTheEnd(t *testing.T) {
	w := newWorld(t)
	topic, _ := w.withTopic("q", 1)
	ended := make(chan struct{})
	go func() {
		w.KeepRates()
		close(ended)
	}()
	require.Eventually(t, func() bool {
		w.rates.mu.Lock()
		defer w.rates.mu.Unlock()
		_, seen := w.rates.seen[topic.ID]
		return seen
	}, patience, time.Millisecond)
	close(w.stop)
	<-ended
}

// Whoever asks at the same time gets the same overview.
func TestOverviewIsMadeOnceForMany(t *testing.T) {
	w := newWorld(t)
	w.show(broker(1, protocol.BrokerRunning))
	now := time.Now()
	w.opt.Now = func() time.Time { return now }
	w.groupMetrics.over = now
	first := w.Overview()
	assert.Same(t, first, w.Overview())
	now = now.Add(overviewAge + 1)
	assert.NotSame(t, first, w.Overview())
}

func BenchmarkOverviewOf10000Partitions(b *testing.B) {
	w := &world{}
	t := &testing.T{}
	*w = *newWorld(t)
	var topics []*protocol.Topic
	w.replicas.running.Store(3)
	for i := range 1000 {
		topic := w.topic(fmt.Sprint("t", i), 10)
		for p := range 10 {
			routing.Of(topic).Partitions[p].Placed = 3
			if i == 0 {
				w.lead(topic, p)
				continue
			}
			l := &fakeLeader{}
			l.view.Store(routing.Of(topics[0]).Partitions[p].Leader().Leader.(*fakeLeader).view.Load())
			routing.Of(topic).Partitions[p].Set(&routing.Leadership{Leader: l, Broker: 1 + p%3, Term: 1})
		}
		topics = append(topics, topic)
	}
	w.publish(topics...)
	w.show(broker(1, protocol.BrokerRunning), broker(2, protocol.BrokerRunning), broker(3, protocol.BrokerRunning))
	require.Equal(b, 10_000, w.overview().Counts.Partitions)
	b.ReportAllocs()
	for b.Loop() {
		w.overview()
	}
}
