package actors

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/protocol"
)

// putQueue makes a group a queue of one topic.
func putQueue(t *testing.T, n *Node, group, topic string, change func(*protocol.QueueSpec)) {
	t.Helper()
	spec := &protocol.QueueSpec{Group: group, Topics: []string{topic}}
	if change != nil {
		change(spec)
	}
	_, created, err := n.PutQueue(context.Background(), spec, false)
	require.Nil(t, err)
	require.True(t, created)
}

// takeRecords polls a queue once.
func takeRecords(t *testing.T, n *Node, group, topic string, most int, wait time.Duration) []protocol.Record {
	t.Helper()
	reply, err := n.Poll(&protocol.PollRequest{Group: group, ConsumerID: 1, Topics: []string{topic}, MaxRecords: most, MaxBytes: 1 << 20, Timeout: wait}, nil)
	require.Nil(t, err)
	return reply.Records
}

func sayAll(t *testing.T, n *Node, verb string, records ...protocol.Record) {
	t.Helper()
	req := &protocol.DeliveryRequest{Verb: verb}
	for i := range records {
		req.Receipts = append(req.Receipts, records[i].Delivery.Receipt)
	}
	for _, err := range n.SayDeliveries(context.Background(), req) {
		require.Nil(t, err)
	}
}

// TestQueueOverCompaction: the records of a queue are compacted again and again while
// it works, and after a restart it is where it was.
func TestQueueOverCompaction(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	small := func(o *Options) { compacting(o); o.internalSegmentBytes = 3000 }
	n := startNode(t, dir, small)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "jobs", Partitions: ptr(1)})
	putQueue(t, n, "w", "jobs", func(s *protocol.QueueSpec) { s.AckWaitMs = ptr(time.Hour.Milliseconds()) })
	var held []protocol.Record
	next := 0
	for round := range 30 {
		values := make([]string, 20)
		for i := range values {
			values[i] = fmt.Sprint(next)
			next++
		}
		produce(t, n, "jobs", 0, values...)
		got := takeRecords(t, n, "w", "jobs", 20, patience)
		require.NotEmpty(t, got)
		for i := range got {
			if i == round%len(got) && len(held) < 15 {
				held = append(held, got[i])
				continue
			}
			sayAll(t, n, protocol.VerbAck, got[i])
		}
	}
	info, err := n.Group("", "w")
	require.Nil(t, err)
	require.Eventually(t, func() bool {
		offsets, err := n.LookupTopic("", protocol.OffsetsTopic, false, time.Time{})
		require.Nil(t, err)
		total := 0
		for p := range offsets.Partitions {
			earliest, _, err := n.PartitionOffsets(offsets, p)
			require.Nil(t, err)
			reply, err := n.Fetch(&protocol.FetchRequest{Topic: offsets, Partition: p, Offset: earliest, MaxRecords: 10_000, MaxBytes: 1 << 24})
			require.Nil(t, err)
			total += len(reply.Records)
		}
		return total < 300
	}, patience, 20*time.Millisecond, "the topic is compacted")
	stopNode(t, n)

	n = startNode(t, dir, small)
	defer stopNode(t, n)
	after, err := n.Group("", "w")
	require.Nil(t, err)
	require.Equal(t, info.Partitions[0].Position, after.Partitions[0].Position)
	require.Equal(t, info.Partitions[0].InFlight, after.Partitions[0].InFlight)
	for after.Partitions[0].InFlight > len(held) || after.Partitions[0].Ready > 0 {
		got := takeRecords(t, n, "w", "jobs", 100, 200*time.Millisecond)
		for i := range got {
			for j := range held {
				require.NotEqual(t, held[j].Offset, got[i].Offset, "it is with a worker")
			}
		}
		sayAll(t, n, protocol.VerbAck, got...)
		after, err = n.Group("", "w")
		require.Nil(t, err)
	}
	sayAll(t, n, protocol.VerbAck, held...) // their receipts are good
	after, err = n.Group("", "w")
	require.Nil(t, err)
	require.EqualValues(t, next, after.Partitions[0].Position)
	require.Zero(t, after.Lag)
}

// TestQueueOfCompactedTopic: what compaction removes is ended, whether it was given or
// not.
func TestQueueOfCompactedTopic(t *testing.T) {
	n := startNode(t, t.TempDir(), compacting)
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{
		Name: "table", Partitions: ptr(1), SegmentBytes: ptr(int64(64 << 10)), CleanupPolicy: ptr(catalog.CleanupCompact),
	})
	putQueue(t, n, "w", "table", nil)
	pad := make([]byte, 900)
	for i := range pad {
		pad[i] = 'x'
	}
	for i := range 60 {
		values := make([]string, 10)
		for j := range values {
			values[j] = fmt.Sprintf(`"%d-%d-%s"`, i, j, pad)
		}
		produce(t, n, "table", 0, values...)
	}
	require.Eventually(t, func() bool { return len(fetchGaps(t, n, "table")) < 200 }, patience, 20*time.Millisecond)
	given := 0
	require.Eventually(t, func() bool {
		got := takeRecords(t, n, "w", "table", 50, 0)
		given += len(got)
		if len(got) > 0 {
			sayAll(t, n, protocol.VerbAck, got...)
		}
		info, err := n.Group("", "w")
		require.Nil(t, err)
		return info.Partitions[0].Position == 600
	}, patience, 5*time.Millisecond)
	require.Less(t, given, 600)
}

// TestRetentionTakesRecordsOfAQueue: what retention removes before it is ended is
// counted, and holds up nothing.
func TestRetentionTakesRecordsOfAQueue(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "jobs", Partitions: ptr(1)})
	putQueue(t, n, "w", "jobs", nil)
	produce(t, n, "jobs", 0, "0", "1", "2", "3", "4", "5")
	got := takeRecords(t, n, "w", "jobs", 2, patience)
	require.Len(t, got, 2)
	sayAll(t, n, protocol.VerbAck, got[0])
	_, err := n.DeleteRecords(context.Background(), "", "jobs", []protocol.TrimRequest{{Partition: 0, Before: 4}})
	require.Nil(t, err)
	require.Eventually(t, func() bool {
		info, err := n.Group("", "w")
		require.Nil(t, err)
		p := info.Partitions[0]
		return p.Position == 4 && p.Removed == 3 && p.InFlight == 0 && p.Ready == 2
	}, patience, 20*time.Millisecond)
	require.EqualValues(t, 3, n.Metrics().QueueRecordsRemoved)
	for _, err := range n.SayDeliveries(context.Background(), &protocol.DeliveryRequest{Verb: protocol.VerbNack, Receipts: []string{got[1].Delivery.Receipt}}) {
		require.Equal(t, protocol.CodeStaleReceipt, err.Code)
	}
	got = takeRecords(t, n, "w", "jobs", 9, patience)
	require.Len(t, got, 2)
	sayAll(t, n, protocol.VerbAck, got...)
}

// TestManyDelayedRecords: more records wait for their time than are kept in memory, and
// hold back nobody; each comes when it is due.
func TestManyDelayedRecords(t *testing.T) {
	t.Parallel()
	var passed atomic.Int64
	n := startNode(t, t.TempDir(), func(o *Options) {
		o.Clock = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	})
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "jobs", Partitions: ptr(1)})
	putQueue(t, n, "w", "jobs", func(s *protocol.QueueSpec) { s.MaxInFlight = ptr(100) })
	topic, err := n.LookupTopic("", "jobs", false, time.Time{})
	require.Nil(t, err)
	const delayed = 12_000
	due := time.Now().Add(time.Hour).UnixMilli()
	req := &protocol.ProduceRequest{Topic: topic}
	for range delayed {
		req.Lines.Add(1, "jobs", 0, []byte(protocol.NullToken), []byte("1"), string(protocol.AppendDelayed(nil, protocol.ActionProduce, due)), nil)
	}
	req.Lines.Add(1, "jobs", 0, []byte(protocol.NullToken), []byte("2"), protocol.ActionProduce, nil)
	n.Produce([]*protocol.ProduceRequest{req}, time.Now().Add(patience))
	require.Nil(t, req.Result.Err)
	got := takeRecords(t, n, "w", "jobs", 9, patience)
	require.Len(t, got, 1)
	require.Equal(t, "2", string(got[0].Value))
	sayAll(t, n, protocol.VerbAck, got...)
	require.Empty(t, takeRecords(t, n, "w", "jobs", 9, 100*time.Millisecond), "the others come before they are due")
	passed.Add(int64(time.Hour))
	total := 0
	for total < delayed {
		got := takeRecords(t, n, "w", "jobs", 1000, patience)
		require.NotEmpty(t, got)
		total += len(got)
		sayAll(t, n, protocol.VerbAck, got...)
	}
	info, err := n.Group("", "w")
	require.Nil(t, err)
	require.EqualValues(t, delayed+1, info.Partitions[0].Position)
}
