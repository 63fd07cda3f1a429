package actors

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/datadir"
	"ottla/protocol"
)

// An older copy of a broker's directory is recognized by what other nodes know, and
// its replicas are made anew.
func TestAnOlderCopyIsRecognizedByOtherNodes(t *testing.T) {
	f := newFleet(t, 3)
	produce(t, f.nodes[1], "q", 0, "0")
	broker := filepath.Join(f.dataDir(3), "default", datadir.BrokerDirName(3))
	require.Eventually(t, func() bool { return datadir.CheckBrokerDir(broker, clusterID(t, f.nodes[1]), 3) == nil }, patience, 5*time.Millisecond,
		"the last thing that is written of a new broker")
	f.stop(3)
	saved := filepath.Join(f.dir, "saved")
	require.NoError(t, os.CopyFS(saved, os.DirFS(broker)))
	f.start(3)
	produce(t, f.nodes[1], "q", 0, "1")
	f.stop(3)
	require.NoError(t, os.RemoveAll(broker))
	require.NoError(t, os.CopyFS(broker, os.DirFS(saved)))
	n := f.start(3)
	f.awaitReady()
	assert.EqualValues(t, 1, n.Metrics().DirectoriesReplaced[datadir.DirectoryOutdated])
	require.Equal(t, []string{"0", "1"}, fetchAll(t, n, "q", 0))
}

// An older copy is recognized although the broker's last count, that of its end, has
// not reached the others.
func TestAnOlderCopyOfABrokerThatWasKilled(t *testing.T) {
	f := newFleet(t, 3)
	produce(t, f.nodes[1], "q", 0, "0")
	broker := filepath.Join(f.dataDir(3), "default", datadir.BrokerDirName(3))
	require.Eventually(t, func() bool { return datadir.CheckBrokerDir(broker, clusterID(t, f.nodes[1]), 3) == nil }, patience, 5*time.Millisecond,
		"the last thing that is written of a new broker")
	f.stop(3)
	saved := filepath.Join(f.dir, "saved")
	require.NoError(t, os.CopyFS(saved, os.DirFS(broker)))
	killed := f.start(3)
	f.awaitReady()
	killed.env.peers.Close()
	f.stop(3)
	require.NoError(t, os.RemoveAll(broker))
	require.NoError(t, os.CopyFS(broker, os.DirFS(saved)))
	n := f.start(3)
	f.awaitReady()
	assert.EqualValues(t, 1, n.Metrics().DirectoriesReplaced[datadir.DirectoryOutdated])
	require.Equal(t, []string{"0"}, fetchAll(t, n, "q", 0))
}

// An older copy is recognized although the others have lost their directories since the
// broker was introduced to them: who gets a new one learns from the rest what they know.
func TestAnOlderCopyIsRecognizedByRebuiltBrokers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	produce(t, f.nodes[1], "q", 0, "0")
	broker := func(i int) string { return filepath.Join(f.dataDir(i), "default", datadir.BrokerDirName(i)) }
	require.Eventually(t, func() bool { return datadir.CheckBrokerDir(broker(3), clusterID(t, f.nodes[1]), 3) == nil }, patience, 5*time.Millisecond,
		"the last thing that is written of a new broker")
	f.stop(3)
	saved := filepath.Join(f.dir, "saved")
	require.NoError(t, os.CopyFS(saved, os.DirFS(broker(3))))
	killed := f.start(3)
	f.awaitReady()
	for i := 1; i <= 2; i++ {
		f.stop(i)
		require.NoError(t, os.RemoveAll(broker(i)))
		f.start(i)
		f.awaitReady()
		require.Eventually(t, func() bool { return len(f.nodes[i].Readiness().Degraded) == 0 }, patience, 5*time.Millisecond, "it is rebuilt")
	}
	produce(t, f.nodes[1], "q", 0, "1")
	killed.env.peers.Close()
	f.stop(3)
	require.NoError(t, os.RemoveAll(broker(3)))
	require.NoError(t, os.CopyFS(broker(3), os.DirFS(saved)))
	n := f.start(3)
	f.awaitReady()
	assert.EqualValues(t, 1, n.Metrics().DirectoriesReplaced[datadir.DirectoryOutdated])
	require.Equal(t, []string{"0", "1"}, fetchAll(t, n, "q", 0))
}

// Older copies of two of three nodes' directories are started by mistake: nothing is lost,
// and the directories that are put back then are the right ones.
func TestOlderCopiesOfMostDirectoriesArePutRight(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	produce(t, f.nodes[1], "q", 0, "0")
	f.stop(2)
	f.stop(3)
	saved := map[int]string{}
	for i := 2; i <= 3; i++ {
		saved[i] = filepath.Join(f.dir, "saved", filepath.Base(f.dataDir(i)))
		require.NoError(t, os.CopyFS(saved[i], os.DirFS(f.dataDir(i))))
	}
	f.begin(2)
	f.begin(3)
	f.awaitReady()
	produce(t, f.nodes[1], "q", 0, "1")
	f.stop(2)
	f.stop(3)
	held := func() bool {
		b, err := f.nodes[1].Cluster("default")
		return err == nil && b.Brokers[1].State != protocol.BrokerRunning && b.Brokers[2].State != protocol.BrokerRunning
	}
	require.Eventually(t, held, patience, time.Millisecond, "node 1 learns that the others have ended")
	for i := 2; i <= 3; i++ {
		require.NoError(t, os.Rename(f.dataDir(i), f.dataDir(i)+".now"))
		require.NoError(t, os.Rename(saved[i], f.dataDir(i)))
		f.begin(i)
	}
	require.Never(t, func() bool { return !held() }, 2500*time.Millisecond, 50*time.Millisecond, "older copies do not run")
	f.stop(2)
	f.stop(3)
	for i := 2; i <= 3; i++ {
		require.NoDirExists(t, filepath.Join(f.dataDir(i), "default", datadir.BrokerDirName(i)+".aside-1"))
		require.NoError(t, os.RemoveAll(f.dataDir(i)))
		require.NoError(t, os.Rename(f.dataDir(i)+".now", f.dataDir(i)))
		f.begin(i)
	}
	f.awaitReady()
	for _, n := range f.nodes {
		assert.Zero(t, n.Metrics().DirectoriesReplaced[datadir.DirectoryOutdated])
		require.Equal(t, []string{"0", "1"}, fetchAll(t, n, "q", 0))
	}
}

func clusterID(t *testing.T, n *Node) string {
	info, err := n.Cluster("default")
	require.Nil(t, err)
	return info.ID
}

// A broker that ends before it was let in is never said to run: others would count it
// among those that may rebuild a directory.
func TestABrokerThatWasNeverLetInIsNotSaidToRun(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	said := protocol.NewFuture[[]string]()
	n.env.system.Root.Send(defaultCluster(n).pid.Load(), &inspectCluster{Do: func(c *clusterActor) {
		var states []string
		b := &brokerInCluster{id: 7, number: 7, state: brokerStopped}
		for _, to := range []brokerState{
			brokerStarting, brokerStopping, brokerStopped,
			brokerStarting, brokerRunning, brokerStopping, brokerStopped,
			brokerStarting, brokerStopping,
		} {
			c.moveBroker(b, to, nil)
			states = append(states, b.clientState())
		}
		said.Put(states)
	}})
	states, ok := said.Wait(time.Now().Add(patience))
	require.True(t, ok)
	const stopped, running = protocol.BrokerStopped, protocol.BrokerRunning
	require.Equal(t, []string{stopped, stopped, stopped, stopped, running, running, stopped, stopped, stopped}, states)
}
