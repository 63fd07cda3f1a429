package actors

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/datadir"
	"ottla/protocol"
)

// A copy of a directory that was made while the process ran, put back after
// the process was killed: no stop was counted, but time was.
func TestCopyOfARunningBrokerIsOlderAfterAWhile(t *testing.T) {
	dir, image, old := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "old")
	quick := func(o *Options) { o.raiseInterval = 50 * time.Millisecond }
	n := startNode(t, dir, quick)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "kept", Partitions: ptr(1)})
	produce(t, n, "kept", 0, `"early"`)
	copyLive(t, old, filepath.Join(dir, "default", "broker-2"))
	produce(t, n, "kept", 0, `"late"`)
	awaitSameLines(t, dir, "kept", 0)
	clusterID := n.env.manifests.List()[0].ID
	before, err := datadir.ReadLedger(old, clusterID, 2)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		l, err := datadir.ReadLedger(filepath.Join(dir, "default", "broker-1"), clusterID, 1)
		return err == nil && l.Peers()[2] > before.OpenCount()
	}, patience, 10*time.Millisecond, "the peers note that the counter was raised")
	killed := map[int][]byte{} // the peers' ledgers as a kill would leave them
	for _, b := range []int{1, 3} {
		killed[b], err = os.ReadFile(filepath.Join(dir, "default", datadir.BrokerDirName(b), "ledger.json"))
		require.NoError(t, err)
	}
	stopNode(t, n)

	require.NoError(t, os.CopyFS(image, os.DirFS(dir)))
	for b, data := range killed {
		require.NoError(t, os.WriteFile(filepath.Join(image, "default", datadir.BrokerDirName(b), "ledger.json"), data, 0o600))
	}
	require.NoError(t, os.RemoveAll(filepath.Join(image, "default", "broker-2")))
	require.NoError(t, os.CopyFS(filepath.Join(image, "default", "broker-2"), os.DirFS(old)))
	n = startNode(t, image)
	defer stopNode(t, n)
	awaitSettled(t, n)
	require.Equal(t, []string{`"early"`, `"late"`}, fetchAll(t, n, "kept", 0))
	awaitSameLines(t, image, "kept", 0)
	require.EqualValues(t, 1, n.Metrics().DirectoriesReplaced[datadir.DirectoryOutdated])
	require.DirExists(t, filepath.Join(image, "default", "broker-2.aside-1"))
}

// While a broker that forgot everything is being rebuilt, it is said why; a
// second start finds nothing to complain about.
func TestOutdatedBrokerIsRebuiltOnce(t *testing.T) {
	dir, old := t.TempDir(), filepath.Join(t.TempDir(), "old")
	n := startNode(t, dir)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "kept", Partitions: ptr(2)})
	stopNode(t, n)
	require.NoError(t, os.CopyFS(old, os.DirFS(filepath.Join(dir, "default", "broker-3"))))
	n = startNode(t, dir)
	produce(t, n, "kept", 1, `1`)
	_, err := n.StopBroker(context.Background(), "default", 3)
	require.Nil(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "default", "broker-3")))
	require.NoError(t, os.CopyFS(filepath.Join(dir, "default", "broker-3"), os.DirFS(old)))
	_, err = n.StartBroker(context.Background(), "default", 3)
	require.Nil(t, err)
	awaitSettled(t, n)
	require.EqualValues(t, 1, n.Metrics().DirectoriesReplaced[datadir.DirectoryOutdated])
	stopNode(t, n)

	n = startNode(t, dir)
	defer stopNode(t, n)
	awaitSettled(t, n)
	require.Zero(t, n.Metrics().DirectoriesReplaced[datadir.DirectoryOutdated])
	require.Eventually(t, func() bool { return len(n.Readiness().Degraded) == 0 }, patience, time.Millisecond, "but for a disk that was slow a moment ago")
	require.NoDirExists(t, filepath.Join(dir, "default", "broker-3.aside-2"))
}
