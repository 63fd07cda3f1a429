package actors

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// A node that is told to end while it makes or deletes a cluster ends at once, and touches
// nothing afterwards: its directory may be another process' by then. The next start makes
// the default cluster, if it is not there yet.
func TestANodeEndsWhileItMakesACluster(t *testing.T) {
	for try := range 20 {
		dir := t.TempDir()
		begin := func() *Node {
			n, err := Start(context.Background(), Options{
				DataDir: dir, DefaultCluster: protocol.DefaultCluster, AutoCreateTopics: true,
				Logger: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
			})
			require.NoError(t, err)
			return n
		}
		n := begin()
		<-time.After(time.Duration(try) * time.Millisecond) // it is made a bit further each time
		stopNode(t, n)
		before := snapshotTree(t, dir)
		if try%2 == 0 {
			require.NoError(t, os.RemoveAll(dir))
			require.NoDirExists(t, dir, "somebody still writes")
			continue
		}
		require.Equal(t, before, snapshotTree(t, dir))
		n = begin()
		awaitReady(t, n)
		produce(t, n, "t", 0, `1`)
		stopNode(t, n)
	}
}

// A cluster whose deletion was not complete when the process ended is there again, or it
// is gone.
func TestANodeEndsWhileItDeletesACluster(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	produce(t, n, "t", 0, `1`)
	answer := make(chan *protocol.Error, 1)
	go func() { answer <- n.DeleteCluster(context.Background(), protocol.DefaultCluster) }()
	require.Eventually(t, func() bool { return n.env.directory.Clusters()[protocol.DefaultCluster] == nil }, patience, time.Microsecond)
	stopNode(t, n)
	before := snapshotTree(t, dir)
	err := <-answer
	require.Equal(t, before, snapshotTree(t, dir))
	n = startNode(t, dir)
	defer stopNode(t, n)
	if err == nil {
		require.Empty(t, n.env.directory.Clusters())
		return
	}
	require.Equal(t, protocol.CodeShuttingDown, err.Code)
	require.Equal(t, []string{`1`}, fetchAll(t, n, "t", 0))
}
