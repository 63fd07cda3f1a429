package actors

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/datadir"
	"ottla/actors/routing"
	"ottla/protocol"
)

// committedLines returns the record lines of a partition in one broker's
// files, as grep -v '^#' shows them.
func committedLines(t *testing.T, dir string, broker int, topic string, partition int) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "default", datadir.BrokerDirName(broker), fmt.Sprintf("%s-%d", topic, partition), "*.log"))
	require.NoError(t, err)
	var out strings.Builder
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		for line := range bytes.Lines(data) {
			if line[0] != '#' {
				out.Write(line)
			}
		}
	}
	return out.String()
}

// awaitSameLines waits until all three brokers' files hold the same lines.
func awaitSameLines(t *testing.T, dir, topic string, partition int) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		want := committedLines(t, dir, 1, topic, partition)
		for b := 2; b <= 3; b++ {
			assert.Equal(c, want, committedLines(t, dir, b, topic, partition), "broker %d", b)
		}
	}, patience, 20*time.Millisecond)
}

func createTestTopic(t *testing.T, n *Node, spec *protocol.TopicSpec) {
	t.Helper()
	_, _, err := n.CreateTopic(context.Background(), spec)
	require.Nil(t, err)
}

func TestBrokerStopsAndStartsWhileProducing(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "busy", Partitions: ptr(1)})
	awaitSettled(t, n) // it has a leader once two of three replicas are there

	stop, done := make(chan struct{}), make(chan map[protocol.Offset]string)
	go func() {
		acked := map[protocol.Offset]string{}
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- acked
				return
			default:
			}
			v := fmt.Sprint(i)
			res := tryProduce(t, n, "busy", 0, v)
			if res.Err == nil {
				acked[res.BaseOffset] = v
			} else {
				t.Errorf("record %d while one broker of three was down: %v", i, res.Err)
			}
		}
	}()
	for _, id := range []int{1, 2, 3, 1} {
		_, err := n.StopBroker(context.Background(), "default", id)
		require.Nil(t, err)
		_, err = n.StartBroker(context.Background(), "default", id)
		require.Nil(t, err)
		// A broker that has just started may lack entries; the next one stops
		// when it has them, as an operator would wait for.
		require.Eventually(t, func() bool {
			info, err := n.Topic("", "busy")
			return err == nil && len(info.Partitions[0].InSync) == 3
		}, patience, 5*time.Millisecond)
	}
	close(stop)
	acked := <-done
	require.NotEmpty(t, acked)
	got := fetchAll(t, n, "busy", 0)
	for off, v := range acked {
		require.Equal(t, v, got[off], "offset %d", off)
	}
	awaitSameLines(t, dir, "busy", 0)
}

func TestTwoOfThreeBrokersDown(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	produce(t, n, "q", 0, `1`)
	for _, id := range []int{1, 2} {
		_, err := n.StopBroker(context.Background(), "default", id)
		require.Nil(t, err)
	}
	res := tryProduce(t, n, "q", 0, `2`)
	require.NotNil(t, res.Err)
	require.True(t, res.Err.Code.Retriable, "%v", res.Err)
	require.False(t, n.Readiness().Ready)
	_, err := n.StartBroker(context.Background(), "default", 2)
	require.Nil(t, err)
	produce(t, n, "q", 0, `3`)
	require.Contains(t, fetchAll(t, n, "q", 0), `3`)
}

func TestDeletedBrokerDirectoryIsRebuiltUnderNewIDs(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "kept", Partitions: ptr(1)})
	for i := range 50 {
		produce(t, n, "kept", 0, fmt.Sprint(i))
	}
	_, err := n.StopBroker(context.Background(), "default", 2)
	require.Nil(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "default", "broker-2")))
	_, err = n.StartBroker(context.Background(), "default", 2)
	require.Nil(t, err)
	awaitSettled(t, n)
	produce(t, n, "kept", 0, `"after"`)
	awaitSameLines(t, dir, "kept", 0)
	stopNode(t, n)

	// The whole process this time, another broker, and no stop before.
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "default", "broker-1")))
	n = startNode(t, dir)
	defer stopNode(t, n)
	awaitSettled(t, n)
	require.Len(t, fetchAll(t, n, "kept", 0), 51)
	awaitSameLines(t, dir, "kept", 0)
	require.NoFileExists(t, filepath.Join(dir, "default", "broker-1", "REPLACES-LOST"), "the loss is resolved")
}

// awaitSettled waits until every replica of every topic, internal ones too, is
// in sync and votes.
func awaitSettled(t *testing.T, n *Node) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, route := range defaultCluster(n).View().Partitions {
			ref := route.Leader()
			if ref == nil {
				return false
			}
			f := protocol.NewFuture[routing.PartitionState]()
			n.env.system.Root.Send(pidOf(ref), &routing.DescribePartition{Reply: f})
			st, ok := f.Wait(time.Now().Add(time.Second))
			if !ok || st.Err != nil || !st.Settled || len(st.InSync) != 3 {
				return false
			}
		}
		return true
	}, patience, 10*time.Millisecond)
}

func TestDamagedReplicaIsPutAsideAndRebuilt(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "hurt", Partitions: ptr(1)})
	for i := range 50 {
		produce(t, n, "hurt", 0, fmt.Sprintf(`{"n":%d}`, i))
	}
	stopNode(t, n)
	path := filepath.Join(dir, "default", "broker-3", "hurt-0", "00000000000000000000.log")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o644))

	n = startNode(t, dir)
	defer stopNode(t, n)
	awaitSettled(t, n)
	require.Len(t, fetchAll(t, n, "hurt", 0), 50)
	awaitSameLines(t, dir, "hurt", 0)
	aside, err := filepath.Glob(filepath.Join(dir, "default", "broker-3", "hurt-0.replaced-*"))
	require.NoError(t, err)
	require.Len(t, aside, 1, "the damaged files are kept")
}

func TestRetentionDropsSegmentsAndNewReplicasCatchUpBySnapshot(t *testing.T) {
	dir := t.TempDir()
	quick := func(o *Options) { o.RetentionCheckInterval = 50 * time.Millisecond }
	n := startNode(t, dir, quick)
	createTestTopic(t, n, &protocol.TopicSpec{
		Name: "short", Partitions: ptr(1), SegmentBytes: ptr(int64(64 << 10)), RetentionBytes: ptr(int64(128 << 10)),
	})
	value := `"` + strings.Repeat("x", 1000) + `"`
	for range 60 {
		produce(t, n, "short", 0, value, value, value, value, value, value, value, value, value, value)
	}
	tp, perr := n.LookupTopic("", "short", false, time.Time{})
	require.Nil(t, perr)
	require.Eventually(t, func() bool {
		earliest, latest, err := n.PartitionOffsets(tp, 0)
		return err == nil && earliest > 300 && latest == 600
	}, patience, 10*time.Millisecond)
	_, perr = n.Fetch(&protocol.FetchRequest{Topic: tp, Offset: 0, MaxRecords: 1, MaxBytes: 1000})
	require.NotNil(t, perr)
	require.Equal(t, protocol.CodeOffsetOutOfRange, perr.Code)
	require.Contains(t, perr.Details, "earliest")

	_, perr = n.StopBroker(context.Background(), "default", 1)
	require.Nil(t, perr)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "default", "broker-1")))
	_, perr = n.StartBroker(context.Background(), "default", 1)
	require.Nil(t, perr)
	awaitSettled(t, n)
	produce(t, n, "short", 0, `"last"`)
	stopNode(t, n)

	n = startNode(t, dir, quick)
	defer stopNode(t, n)
	require.EqualValues(t, 601, produce(t, n, "short", 0, `"again"`))
}

func TestTopicDeletedAndCreatedAgainIsAnotherTopic(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	defer stopNode(t, n)
	produce(t, n, "twice", 0, `"old"`)
	poll := &protocol.PollRequest{ConsumerID: 7, Topics: []string{"twice"}, MaxRecords: 10, MaxBytes: 1 << 20, AutoCommit: true}
	reply, err := n.Poll(poll, nil)
	require.Nil(t, err)
	require.Len(t, reply.Records, 1)

	require.Nil(t, n.DeleteTopic(context.Background(), "", "twice"))
	_, err = n.Topic("", "twice")
	require.NotNil(t, err)
	require.Equal(t, protocol.CodeTopicNotFound, err.Code)

	require.EqualValues(t, 0, produce(t, n, "twice", 0, `"new"`))
	require.Equal(t, []string{`"new"`}, fetchAll(t, n, "twice", 0))
	again := *poll
	again.Timeout = patience
	reply, err = n.Poll(&again, nil)
	require.Nil(t, err)
	require.Len(t, reply.Records, 1, "the old topic's offset does not apply")
	require.Eventually(t, func() bool {
		dirs, _ := filepath.Glob(filepath.Join(dir, "default", "broker-*", "*.deleted-*"))
		return len(dirs) == 0
	}, patience, 10*time.Millisecond)
}
