package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

func topicOf(t *testing.T, m *protocol.Metrics, name string) protocol.TopicMetrics {
	t.Helper()
	for _, x := range m.Topics {
		if x.Topic == name {
			return x
		}
	}
	require.FailNow(t, "no metrics of topic", name)
	return protocol.TopicMetrics{}
}

func TestMetricsOfANode(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	before := n.Metrics()
	produce(t, n, "liked", 0, "1", "2")
	produce(t, n, "liked", 1, "3")
	require.Len(t, fetchAll(t, n, "liked", 0), 2)
	tp, err := n.LookupTopic("", "liked", false, time.Time{})
	require.Nil(t, err)
	reply, err := n.Poll(&protocol.PollRequest{
		Group: "g", Topics: []string{"liked"}, MaxRecords: 10, MaxBytes: 1 << 20, Timeout: 5 * time.Second,
		SessionTimeout: 10 * time.Second, AutoCommit: true,
	}, nil)
	require.Nil(t, err)

	var m *protocol.Metrics
	var rounds uint64
	require.Eventually(t, func() bool { // a round of the disk may end, and coordinators may take their time, while it is read
		m, rounds = n.Metrics(), 0
		for _, c := range m.Disk.RoundSeconds.Counts {
			rounds += c
		}
		return !m.GroupsStale && rounds == m.Disk.Rounds
	}, patience, 5*time.Millisecond)
	liked := topicOf(t, m, "liked")
	assert.EqualValues(t, 3, liked.ProducedRecords)
	assert.Greater(t, liked.ProducedBytes, uint64(3*30))
	assert.EqualValues(t, 2+len(reply.Records), liked.FetchedRecords)
	assert.Positive(t, liked.FetchedBytes)
	assert.Equal(t, tp.Partitions, liked.Partitions)
	assert.Zero(t, liked.Leaderless)
	assert.Positive(t, liked.LogBytes)
	assert.Greater(t, m.Elections, before.Elections)
	assert.Greater(t, m.Disk.Rounds, before.Disk.Rounds)
	var syncs, entries uint64
	for _, c := range m.Disk.SyncSeconds.Counts {
		syncs += c
	}
	for _, c := range m.BatchRecords.Counts {
		entries += c
	}
	assert.Positive(t, syncs)
	assert.EqualValues(t, 2, entries, "internal topics do not count")
	assert.InDelta(t, 3, m.BatchRecords.Sum, 0)
	assert.Positive(t, m.DataDirFree)
	assert.Equal(t, []protocol.BrokerMetrics{{Cluster: "default", State: "running", Count: 3}}, m.Brokers)
	require.Len(t, m.Groups, 1)
	assert.Equal(t, "g", m.Groups[0].Group)
	assert.EqualValues(t, 3-len(reply.Records), m.Groups[0].Lag)

	_, perr := n.StopBroker(t.Context(), "default", 3)
	require.Nil(t, perr)
	require.Eventually(t, func() bool { // without those that are between two leaders
		return topicOf(t, n.Metrics(), "liked").UnderReplicated == tp.Partitions
	}, patience, 5*time.Millisecond)
	_, perr = n.StopBroker(t.Context(), "default", 2)
	require.Nil(t, perr)
	began := time.Now()
	m = n.Metrics()
	assert.Less(t, time.Since(began), 20*time.Second, "groups without a coordinator do not hold it up")
	require.Len(t, m.Groups, 1, "the last reading stays")
}
