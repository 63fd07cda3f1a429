package actors

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"ottla/actors/peers"
	"ottla/actors/routing"
	"ottla/protocol"
)

// patience is how long a test waits for what must come: far more than a busy
// machine needs.
const patience = time.Minute

// ptr returns a pointer to v.
func ptr[T any](v T) *T { return &v }

// snapshotTree reads all that is below dir: files with their content.
func snapshotTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			out[path] = "directory"
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = string(b)
		return err
	}))
	return out
}

// copyLive copies a directory that is in use, as often as it takes until no file was
// renamed between its being listed and its being read.
func copyLive(t *testing.T, dst, src string) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		require.NoError(t, os.RemoveAll(dst))
		if err = os.CopyFS(dst, os.DirFS(src)); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	require.NoError(t, err)
}

// leaderOf waits until a partition has a leader: it may be between two of them.
func leaderOf(t *testing.T, tp *protocol.Topic, partition int) *routing.Leadership {
	t.Helper()
	leader := routing.Of(tp).Partitions[partition].Await(nil, time.Now().Add(patience))
	require.NotNil(t, leader, "no leader")
	return leader
}

// defaultCluster is the default cluster's handle.
func defaultCluster(n *Node) *clusterHandle {
	return n.env.directory.Clusters()[protocol.DefaultCluster].Control.(*clusterHandle)
}

// pidOf is the mailbox of a leader in this process.
func pidOf(l *routing.Leadership) *actor.PID { return l.Leader.(*peers.LocalLeader).PID() }

// runningReplicas are the mailboxes of a partition's replicas that run.
func runningReplicas(t *testing.T, n *Node, id protocol.PartitionID) map[uint64]*actor.PID {
	t.Helper()
	f := protocol.NewFuture[map[uint64]*actor.PID]()
	n.env.system.Root.Send(defaultCluster(n).pid.Load(), &inspectCluster{Do: func(c *clusterActor) {
		f.Put(c.links.Group(id).Mailboxes())
	}})
	pids, ok := f.Wait(time.Now().Add(patience))
	require.True(t, ok)
	return pids
}
