package actors

import (
	"context"
	"log/slog"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/protocol"
)

// A node that is told to end while it makes or deletes a cluster ends at once, and touches
// nothing afterwards: its directory may be another process' by then. The next start makes
// the default cluster, if it is not there yet.
func TestANodeEndsWhileItMakesACluster(t *testing.T) {
	t.Parallel()
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

// Changes that come while the node ends are refused, and hold up nothing.
func TestANodeThatEndsRefusesChanges(t *testing.T) {
	n := startNode(t, t.TempDir())
	produce(t, n, "t", 0, `1`)
	ended, deleted, resized := protocol.NewFuture[error](), protocol.NewFuture[*protocol.Error](), protocol.NewFuture[*protocol.Error]()
	n.env.system.Root.Send(n.pid, &endNode{Reply: ended})
	n.env.system.Root.Send(n.pid, &deleteCluster{Name: protocol.DefaultCluster, Reply: deleted})
	n.env.system.Root.Send(n.pid, &resizeCluster{Name: protocol.DefaultCluster, Brokers: 4, Reply: resized})
	for _, change := range []protocol.Future[*protocol.Error]{deleted, resized} {
		err, answered := change.Wait(time.Now().Add(patience))
		require.True(t, answered)
		require.Equal(t, errNodeEnds, err)
	}
	err, answered := ended.Wait(time.Now().Add(patience))
	require.True(t, answered, "it does not end")
	require.NoError(t, err)
	stopNode(t, n)
}

// What the fleet has decided for a node that ends waits for its next start.
func TestANodeThatEndsFollowsItsFleetNoMore(t *testing.T) {
	f := newFleet(t, 1)
	n := f.nodes[1]
	v := *n.env.fleet.View()
	v.Placed = maps.Clone(v.Placed)
	id := n.env.directory.Clusters()[protocol.DefaultCluster].View().Info.ID
	gone, more := *v.Placed[id], *v.Placed[id]
	gone.Phase, more.Phase = catalog.PlacedDeleting, catalog.PlacedCreating
	more.Settings.ID, more.Settings.Name = protocol.NewID(), "more"
	v.Placed[id], v.Placed[more.Settings.ID] = &gone, &more
	ended := protocol.NewFuture[error]()
	n.env.system.Root.Send(n.pid, &endNode{Reply: ended})
	n.env.system.Root.Send(n.pid, &fleetChanged{&v})
	err, answered := ended.Wait(time.Now().Add(patience))
	require.True(t, answered, "it does not end")
	require.NoError(t, err)
	for id, there := range map[string]bool{id: true, more.Settings.ID: false} {
		_, known := n.env.manifests.Find(id)
		require.Equal(t, there, known)
	}
	f.stop(1)
}

// Whoever has a cluster end is told when it has, also if another one has asked before.
func TestAClusterEndsForAllWhoAsk(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	pid := n.env.directory.Clusters()[protocol.DefaultCluster].Control.(*clusterHandle).pid.Load()
	first, second := protocol.NewFuture[error](), protocol.NewFuture[error]()
	for _, reply := range []protocol.Future[error]{first, second} {
		n.env.system.Root.Send(pid, &endCluster{Reply: reply})
	}
	for _, reply := range []protocol.Future[error]{first, second} {
		err, answered := reply.Wait(time.Now().Add(patience))
		require.True(t, answered)
		require.NoError(t, err)
	}
}
