package actors

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/protocol"
)

// simulated makes a node quick to look at its logs, and its wall clock as far ahead as
// passed says.
func simulated(passed *atomic.Int64) func(*Options) {
	return func(o *Options) {
		compacting(o)
		o.Clock = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	}
}

// A partition that gets a record now and then never fills a segment. Its records go by
// age all the same, none before its time, and none later than twice that.
func TestRareRecordsGoByAge(t *testing.T) {
	const perLife = 4 // records within the retention
	for _, c := range []struct {
		keep time.Duration
		seal int // records of a segment
	}{
		{time.Hour, perLife},
		{30 * 24 * time.Hour, 1}, // between two of them is more than the longest life of an active segment
	} {
		t.Run(c.keep.String(), func(t *testing.T) {
			var passed atomic.Int64
			dir := t.TempDir()
			n := startNode(t, dir, simulated(&passed))
			defer stopNode(t, n)
			createTestTopic(t, n, &protocol.TopicSpec{Name: "rare", Partitions: ptr(1), RetentionMs: ptr(c.keep.Milliseconds())})
			tp, err := n.LookupTopic("", "rare", false, time.Time{})
			require.Nil(t, err)
			earliest := func() int {
				at, _, err := n.PartitionOffsets(tp, 0)
				require.Nil(t, err)
				return int(at)
			}
			for i := range 5 * perLife {
				produce(t, n, "rare", 0, fmt.Sprint(i))
				require.LessOrEqual(t, earliest(), max(0, i-perLife+1), "of records that are younger than the retention")
				passed.Add(int64(c.keep / perLife))
				if (i+1)%c.seal == 0 {
					require.Eventually(t, func() bool { return sealedBefore(t, dir, i+1) }, patience, 5*time.Millisecond, "not sealed before %d", i+1)
				}
				old := i + 2 - 2*perLife // those before it were written twice the retention ago
				require.Eventually(t, func() bool { return earliest() >= old }, patience, 5*time.Millisecond, "records below %d are there", old)
			}
			passed.Add(int64(2 * c.keep))
			require.Eventually(t, func() bool { return earliest() == 5*perLife }, patience, 5*time.Millisecond, "nothing comes after them")
		})
	}
}

// sealedBefore reports whether every broker has begun a segment of the topic rare at an
// offset.
func sealedBefore(t *testing.T, dir string, offset int) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "default", "broker-*", "rare-0", fmt.Sprintf("%020d.log", offset)))
	require.NoError(t, err)
	return len(files) == 3
}

// The same of a compacted partition: its active segment is closed after a week, and
// compacted then.
func TestRareRecordsAreCompactedByAge(t *testing.T) {
	var passed atomic.Int64
	dir := t.TempDir()
	n := startNode(t, dir, simulated(&passed))
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{
		Name: "table", Partitions: ptr(1), CleanupPolicy: ptr(catalog.CleanupCompact), RetentionMs: ptr(int64(1)), // of no concern
	})
	for i := range 3 {
		produce(t, n, "table", 0, fmt.Sprintf(`"k%d"`, i), `"k"`)
	}
	before := fetchGaps(t, n, "table")
	require.Len(t, before, 6)
	passed.Add(int64(catalog.LongestSegment - time.Hour))
	require.Never(t, func() bool { return len(parts(t, dir, 1, "table")) > 0 }, 300*time.Millisecond, 10*time.Millisecond, "too early")
	passed.Add(int64(time.Hour))
	require.Eventually(t, func() bool {
		for broker := 1; broker <= 3; broker++ {
			files, err := filepath.Glob(filepath.Join(dir, "default", datadir.BrokerDirName(broker), "table-0", "*-*.log"))
			if err != nil || len(files) != 1 {
				return false
			}
		}
		return len(fetchGaps(t, n, "table")) < len(before)
	}, patience, 10*time.Millisecond, "the active segment is not compacted")
	require.Equal(t, newest(before), newest(fetchGaps(t, n, "table")))
}
