package actors

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/protocol"
)

// compacting makes compaction and everything that drives it quick.
func compacting(o *Options) {
	o.RetentionCheckInterval = 20 * time.Millisecond
	o.TickInterval = 20 * time.Millisecond
}

// fetchGaps reads a whole partition whose offsets may have gaps.
func fetchGaps(t *testing.T, n *Node, topic string) []protocol.Record {
	t.Helper()
	tp, err := n.LookupTopic("", topic, false, time.Time{})
	require.Nil(t, err)
	var out []protocol.Record
	for at := protocol.Offset(0); ; {
		reply, err := n.Fetch(&protocol.FetchRequest{Topic: tp, Partition: 0, Offset: at, MaxRecords: 7, MaxBytes: 1 << 20})
		require.Nil(t, err)
		out = append(out, reply.Records...)
		if len(reply.Records) == 0 {
			require.GreaterOrEqual(t, at, reply.HighWatermark)
			return out
		}
		require.Equal(t, out[len(out)-1].Offset+1, reply.NextOffset)
		at = reply.NextOffset
	}
}

// newest is what the last record of each key says.
func newest(records []protocol.Record) map[string]string {
	m := map[string]string{}
	for _, r := range records {
		m[string(r.Key)] = string(r.Value)
	}
	return m
}

// parts lists a broker's files of compacted records.
func parts(t *testing.T, dir string, broker int, topic string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "default", datadir.BrokerDirName(broker), topic+"-0", "*-*.log"))
	require.NoError(t, err)
	return files
}

// TestCompactedTopic writes to few keys for long, loses a broker's directory,
// and restarts: what is left is small, the same everywhere, and complete.
func TestCompactedTopic(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := startNode(t, dir, compacting)
	createTestTopic(t, n, &protocol.TopicSpec{
		Name: "table", Partitions: ptr(1), SegmentBytes: ptr(int64(64 << 10)), CleanupPolicy: ptr(catalog.CleanupCompact),
		RetentionMs: ptr(int64(1)), RetentionBytes: ptr(int64(1)), // of no concern to a compacted topic
	})
	pad := strings.Repeat("x", 900)
	want := map[string]string{}
	round := 0
	write := func(rounds int) {
		for range rounds {
			round++
			values := make([]string, 10)
			for i := range values {
				values[i] = fmt.Sprintf(`"%d-%d-%s"`, round, i, pad)
				want[fmt.Sprintf(`"k%d"`, i)] = values[i]
			}
			produce(t, n, "table", 0, values...)
		}
	}
	settled := func() {
		t.Helper()
		require.Eventually(t, func() bool {
			for b := 1; b <= 3; b++ {
				if len(parts(t, dir, b, "table")) != 1 {
					return false
				}
			}
			return len(fetchGaps(t, n, "table")) < 200
		}, patience, 20*time.Millisecond)
		require.Equal(t, want, newest(fetchGaps(t, n, "table")))
	}
	write(60)
	settled()

	_, err := n.StopBroker(context.Background(), "default", 1)
	require.Nil(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "default", "broker-1")))
	_, err = n.StartBroker(context.Background(), "default", 1)
	require.Nil(t, err)
	awaitSettled(t, n)
	require.NotEmpty(t, parts(t, dir, 1, "table"), "the new replica was given the compacted records")
	require.Equal(t, want, newest(fetchGaps(t, n, "table")))
	write(60)
	settled()
	before := fetchGaps(t, n, "table")
	stopNode(t, n)

	n = startNode(t, dir, compacting)
	defer stopNode(t, n)
	require.Equal(t, want, newest(fetchGaps(t, n, "table")))
	require.EqualValues(t, 1200, produce(t, n, "table", 0, `"more"`))

	// A group reads over the gaps too, and ends at the end.
	poll := &protocol.PollRequest{ConsumerID: 7, Topics: []string{"table"}, MaxRecords: 10, MaxBytes: 1 << 20, AutoCommit: true}
	got := 0
	for {
		reply, err := n.Poll(poll, nil)
		require.Nil(t, err)
		if got += len(reply.Records); len(reply.Records) == 0 {
			break
		}
	}
	require.LessOrEqual(t, got, len(before)+1)
	require.GreaterOrEqual(t, got, 10)

	// Each broker alone leads with the same records.
	all := fetchGaps(t, n, "table")
	for _, id := range []int{1, 2} {
		_, err := n.StopBroker(context.Background(), "default", id)
		require.Nil(t, err)
		require.Equal(t, newest(all), newest(fetchGaps(t, n, "table")))
		_, err = n.StartBroker(context.Background(), "default", id)
		require.Nil(t, err)
		awaitSettled(t, n)
	}
}

// TestReadersWhileCompacting: readers from the beginning never see an error,
// and never an older value of a key after a newer one.
func TestReadersWhileCompacting(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir(), compacting)
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{
		Name: "table", Partitions: ptr(1), SegmentBytes: ptr(int64(64 << 10)), CleanupPolicy: ptr(catalog.CleanupCompact),
	})
	produce(t, n, "table", 0, `0`)
	stop, done := make(chan struct{}), make(chan struct{})
	reads := 0
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			last := protocol.Offset(-1)
			for _, r := range fetchGaps(t, n, "table") {
				if r.Offset <= last {
					t.Errorf("offset %d after %d", r.Offset, last)
				}
				last = r.Offset
			}
			reads++
		}
	}()
	value := `"` + strings.Repeat("y", 2000) + `"`
	for range 300 {
		produce(t, n, "table", 0, value, value, value, value)
	}
	close(stop)
	<-done
	require.NotZero(t, reads)
	require.Eventually(t, func() bool { return len(fetchGaps(t, n, "table")) < 200 }, patience, 20*time.Millisecond)
}
