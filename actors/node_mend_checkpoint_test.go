package actors

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// startLines are the checkpoints within a log's newest file, by which retention says
// where the log begins.
func startLines(t *testing.T, dir string, broker int) (path string, lines [][]byte, at []int) {
	t.Helper()
	files := replicaDirs(t, dir, broker, filepath.Join("short-0", "*.log"))
	path = files[len(files)-1]
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	lines = bytes.SplitAfter(text, []byte("\n"))
	for i, line := range lines {
		if i > 1 && bytes.HasPrefix(line, []byte("#c ")) {
			at = append(at, i)
		}
	}
	return path, lines, at
}

// killedNode is a copy of the files of a node that runs, as a kill leaves them, and of
// which the node is stopped.
func killedNode(t *testing.T, n *Node, dir string) string {
	t.Helper()
	next := t.TempDir()
	require.NoError(t, os.CopyFS(next, os.DirFS(dir)))
	stopNode(t, n)
	return next
}

// Retention has removed the beginning of the log, and what says so, a line that every
// broker has for itself, is damaged in two copies: they are made whole with the third.
func TestDamagedLogStartInTwoCopiesIsMended(t *testing.T) {
	dir := t.TempDir()
	quick := func(o *Options) { o.RetentionCheckInterval, o.TickInterval = 20*time.Millisecond, 20*time.Millisecond }
	n := startNode(t, dir, quick)
	createTestTopic(t, n, &protocol.TopicSpec{
		Name: "short", Partitions: ptr(1), SegmentBytes: ptr(int64(64 << 10)), RetentionMs: ptr(int64(-1)),
	})
	value := `"` + strings.Repeat("x", 1000) + `"`
	for range 30 {
		produce(t, n, "short", 0, value, value, value, value, value, value, value, value, value, value)
	}
	awaitSettled(t, n)
	awaitSameLines(t, dir, "short", 0)
	_, perr := n.AlterTopic(t.Context(), &protocol.TopicSpec{Name: "short", RetentionBytes: ptr(int64(128 << 10))})
	require.Nil(t, perr)
	for b := 1; b <= 3; b++ {
		require.Eventually(t, func() bool {
			_, _, at := startLines(t, dir, b)
			return len(at) > 0 && len(replicaDirs(t, dir, b, filepath.Join("short-0", "00000000000000000000.log"))) == 0
		}, patience, 10*time.Millisecond)
	}
	dir = killedNode(t, n, dir)
	n = startNode(t, dir, quick) // an election: a vote follows the checkpoint
	produce(t, n, "short", 0, `"last"`)
	awaitSameLines(t, dir, "short", 0)
	dir = killedNode(t, n, dir)
	for b := 1; b <= 2; b++ {
		path, lines, at := startLines(t, dir, b)
		require.NotEmpty(t, at)
		for _, i := range at {
			copy(lines[i][3:], "XXXXXXXXXXXXXXXX")
		}
		require.NoError(t, os.WriteFile(path, bytes.Join(lines, nil), 0o644))
	}

	n = startNode(t, dir, quick)
	defer stopNode(t, n)
	awaitSettled(t, n)
	tp, perr := n.LookupTopic("", "short", false, time.Time{})
	require.Nil(t, perr)
	earliest, latest, perr := n.PartitionOffsets(tp, 0)
	require.Nil(t, perr)
	require.Greater(t, earliest, protocol.Offset(100))
	require.EqualValues(t, 301, latest)
	require.Zero(t, n.env.stats.DamageNotFound.Load())
	awaitSameLines(t, dir, "short", 0)
}
