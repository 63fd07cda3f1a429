package actors

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// Records that compaction kept are damaged in two of three copies, of a topic and of an
// internal one, which is replayed from them at a start: they come from the third copy.
func TestDamagedCompactedRecordsInTwoCopiesAreMended(t *testing.T) {
	dir := t.TempDir()
	small := func(o *Options) { compacting(o); o.internalSegmentBytes = 3000 }
	n := startNode(t, dir, small)
	produce(t, n, "kept", 0, "1", "2", "3", "4", "5", "6", "7", "8", "9", "10")
	parts := func(broker, partition int) []string {
		return replicaDirs(t, dir, broker, filepath.Join(fmt.Sprintf("%s-%d", protocol.OffsetsTopic, partition), "*-*.log"))
	}
	compacted := -1
	for i := 0; compacted < 0; i++ {
		require.Less(t, i, 2000)
		_, err := n.Poll(&protocol.PollRequest{
			ConsumerID: protocol.ConsumerID(1 + i%4), Group: fmt.Sprintf("g%d", i%4), Topics: []string{"kept"},
			MaxRecords: 1, MaxBytes: 1 << 20, AutoCommit: true, Timeout: time.Millisecond,
		}, nil)
		require.Nil(t, err)
		err = n.LeaveGroup("default", fmt.Sprintf("g%d", i%4), protocol.ConsumerID(1+i%4))
		require.Nil(t, err)
		for p := range 3 {
			if len(parts(1, p)) > 0 && len(parts(2, p)) > 0 && len(parts(3, p)) > 0 {
				compacted = p
			}
		}
	}
	awaitSettled(t, n)
	groups := keptNow(t, n)
	require.NotEmpty(t, groups)
	stopNode(t, n)
	for b := 1; b <= 2; b++ {
		for _, path := range parts(b, compacted) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			copy(text[len(text)/3:], "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX")
			require.NoError(t, os.WriteFile(path, text, 0o644))
		}
	}

	n = startNode(t, dir, small)
	defer stopNode(t, n)
	awaitSettled(t, n)
	require.Equal(t, groups, keptNow(t, n))
}
