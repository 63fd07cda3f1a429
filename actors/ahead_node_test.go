package actors

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// TestAClockThatWasYearsAhead: when it is right again, records get old and ids are
// forgotten, on logs that were written four years ahead, with and without records since.
func TestAClockThatWasYearsAhead(t *testing.T) {
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
