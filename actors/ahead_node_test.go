package actors

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// TestAClockThatWasYearsAhead: when it is right again, records get old and ids are
// forgotten, on logs that were written four years ahead, with and without records since.
func TestAClockThatWasYearsAhead(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"all the time", "for one record", "and nothing is written since"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var ahead, passed atomic.Int64
			options := func(o *Options) {
				o.RetentionCheckInterval = 10 * time.Millisecond
				o.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load() + passed.Load())) }
			}
			n := startNode(t, dir, options)
			createTestTopic(t, n, &protocol.TopicSpec{Name: "old", Partitions: ptr(1), RetentionMs: ptr(int64(time.Hour / time.Millisecond))})
			years := int64(4 * 365 * 24 * time.Hour)
			if name == "for one record" {
				produce(t, n, "old", 0, `"before"`)
			}
			ahead.Store(years)
			for i := range 3 {
				require.Nil(t, idempotent(t, n, "old", fmt.Sprintf("key:%d", i), 0, 0, 1, `"ahead"`).Err)
			}
			if name == "for one record" {
				ahead.Store(0)
				produce(t, n, "old", 0, `"after"`)
			} else {
				stopNode(t, n)
				ahead.Store(0)
				n = startNode(t, dir, options)
			}
			defer func() { stopNode(t, n) }()
			require.True(t, idempotent(t, n, "old", "key:0", 0, 0, 1, `"ahead"`).Duplicate, "it is remembered")
			if name != "and nothing is written since" {
				produce(t, n, "old", 0, `"after"`)
			}
			allGone := func() bool {
				passed.Add(int64(time.Minute))
				tp, err := n.LookupTopic("", "old", false, time.Now().Add(patience))
				require.Nil(t, err)
				earliest, end, err := n.PartitionOffsets(tp, 0)
				require.Nil(t, err)
				return earliest == end
			}
			require.Eventually(t, allGone, patience, 10*time.Millisecond, "nothing gets old")
			require.Nil(t, idempotent(t, n, "old", "key:new", 0, 0, 1, `"new"`).Err)
			require.False(t, idempotent(t, n, "old", "key:0", 0, 0, 1, `"ahead"`).Duplicate, "it is forgotten")
		})
	}
}

// TestAClockThatWasBehind: what was written before it is neither deleted nor forgotten when
// the clock is right again.
func TestAClockThatWasBehind(t *testing.T) {
	dir := t.TempDir()
	var behind atomic.Int64
	n := startNode(t, dir, func(o *Options) {
		o.RetentionCheckInterval = 10 * time.Millisecond
		o.now = func() time.Time { return time.Now().Add(-time.Duration(behind.Load())) }
	})
	defer func() { stopNode(t, n) }()
	createTestTopic(t, n, &protocol.TopicSpec{Name: "young", Partitions: ptr(1), RetentionMs: ptr(int64(time.Hour / time.Millisecond))})
	require.Nil(t, idempotent(t, n, "young", "key:0", 0, 0, 1, `"before"`).Err)
	behind.Store(int64(2 * time.Hour))
	idempotent(t, n, "young", "key:early", 0, 0, 1, `"early"`) // the answer has a deadline by the same clock, and is late
	tp, err := n.LookupTopic("", "young", false, time.Now().Add(patience))
	require.Nil(t, err)
	require.Eventually(t, func() bool {
		_, end, err := n.PartitionOffsets(tp, 0)
		return err == nil && end == 2
	}, patience, time.Millisecond)
	behind.Store(0)
	sealed := func() bool {
		logs, err := filepath.Glob(filepath.Join(dir, "default", "*", "young-0", "*2.log"))
		require.NoError(t, err)
		return len(logs) > 0
	}
	require.Eventually(t, sealed, patience, 10*time.Millisecond, "the active segment has a record that looks old")
	require.False(t, idempotent(t, n, "young", "key:1", 0, 0, 1, `"after"`).Duplicate)
	require.True(t, idempotent(t, n, "young", "key:0", 0, 0, 1, `"before"`).Duplicate)
	require.Never(t, func() bool {
		earliest, _, err := n.PartitionOffsets(tp, 0)
		return err != nil || earliest > 0
	}, time.Second, 10*time.Millisecond, "young records are deleted")
}
