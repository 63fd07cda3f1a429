package actors

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/protocol"
)

// awaitTask waits until a task is over, as a node sees it.
func awaitTask(t *testing.T, n *Node, id string) *protocol.TaskInfo {
	t.Helper()
	var last protocol.TaskInfo
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		for _, info := range n.Tasks() {
			if last = info; info.ID == id && info.State != protocol.TaskRunning {
				return &info
			}
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-n.stopped:
		}
	}
	require.Fail(t, "the task has no end", "%+v", last)
	return nil
}

// Replicas move to new brokers, and away from those that leave, under load.
func TestClusterGrowsAndShrinksInOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fast := func(o *Options) { o.TickInterval = 20 * time.Millisecond }
	n := startNode(t, dir, fast)
	l := startLoad(t, n, "q", 6)
	task, err := n.ResizeCluster(context.Background(), "default", 5)
	require.Nil(t, err)
	require.Equal(t, "resize", task.Kind)
	require.Equal(t, protocol.TaskDone, awaitTask(t, n, task.ID).State)
	info, err := n.Cluster("default")
	require.Nil(t, err)
	require.Len(t, info.Brokers, 5)
	for _, b := range info.Brokers {
		assert.Equal(t, protocol.BrokerRunning, b.State)
		assert.NotEmpty(t, replicaDirs(t, dir, b.ID, "q-"), "broker %d", b.ID)
	}
	_, err = n.ResizeCluster(context.Background(), "default", 10)
	require.NotNil(t, err)
	_, err = n.ResizeCluster(context.Background(), "default", 2)
	require.NotNil(t, err, "topics have three copies")
	l.awaitAcks(5)
	l.end(t)
	stopNode(t, n)

	n = startNode(t, dir, fast)
	awaitReady(t, n)
	l = startLoad(t, n, "r", 6)
	task, err = n.ResizeCluster(context.Background(), "default", 3)
	require.Nil(t, err)
	require.Equal(t, protocol.TaskDone, awaitTask(t, n, task.ID).State)
	info, err = n.Cluster("default")
	require.Nil(t, err)
	require.Len(t, info.Brokers, 3)
	require.Equal(t, 3, info.NumBrokers)
	l.awaitAcks(5)
	l.end(t)
	require.Eventually(t, func() bool {
		_, err := os.Lstat(filepath.Join(dir, "default", "broker-5"))
		return os.IsNotExist(err)
	}, patience, 10*time.Millisecond)
	same, err := n.ResizeCluster(context.Background(), "default", 3)
	require.Nil(t, err)
	require.Nil(t, same, "it has as many")
	stopNode(t, n)

	n = startNode(t, dir, fast)
	defer stopNode(t, n)
	awaitReady(t, n)
	for p := range 6 {
		require.NotEmpty(t, fetchAll(t, n, "q", p))
	}
}

// A node leaves a fleet while records are written: its brokers move, a founder's part of
// the fleet's metadata too, and nobody notices.
func TestNodeIsDecommissioned(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.start(4)
	produce(t, f.nodes[1], "before", 0, "0", "1", "2")
	l := startLoad(t, f.nodes[1], "q", 3)
	task, err := f.nodes[3].DecommissionNode(context.Background(), 2)
	require.Nil(t, err)
	require.Equal(t, "decommission", task.Kind)
	again, err := f.nodes[1].DecommissionNode(context.Background(), 2)
	require.Nil(t, err)
	require.Equal(t, task.ID, again.ID)
	done := awaitTask(t, f.nodes[1], task.ID)
	require.Equal(t, protocol.TaskDone, done.State)
	require.Positive(t, done.Moved)
	l.awaitAcks(5)
	l.end(t)
	require.Eventually(t, func() bool { return nodeState(t, f.nodes[4], 2) == protocol.NodeGone }, patience, 5*time.Millisecond)
	f.stop(2)

	info, err := f.nodes[1].Cluster("default")
	require.Nil(t, err)
	require.EqualValues(t, 4, info.Brokers[1].Node)
	require.Equal(t, 9004, info.Brokers[1].Port)
	require.Equal(t, protocol.BrokerRunning, info.Brokers[1].State)

	// Any two of the three that are left go on, with all of it.
	f.stop(1)
	require.Len(t, fetchAll(t, f.nodes[4], "before", 0), 3)
	require.Eventually(t, func() bool {
		_, _, err := f.nodes[4].CreateCluster(context.Background(), &protocol.ClusterSpec{Name: "later", NumBrokers: ptr(1)})
		return err == nil
	}, patience, 50*time.Millisecond, "the fleet's metadata has lost its majority")
	f.start(1)
	f.stop(4)
	f.start(4)
	require.Eventually(t, func() bool { // it may still be told what there is
		_, err := f.nodes[4].LookupTopic("", "before", false, time.Time{})
		return err == nil
	}, patience, 5*time.Millisecond)
	require.Len(t, fetchAll(t, f.nodes[4], "before", 0), 3)
}

func nodeState(t *testing.T, n *Node, id uint64) string {
	nodes, err := n.Nodes()
	require.Nil(t, err)
	for i := range nodes {
		if nodes[i].ID == id {
			return nodes[i].State
		}
	}
	return ""
}

// A decommission is refused where copies would come together, and one that is called off
// in the middle brings back what had moved, also if a node dies meanwhile.
func TestDecommissionIsCalledOff(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	produce(t, f.nodes[1], "q", 0, "0", "1")
	_, err := f.nodes[1].DecommissionNode(context.Background(), 2)
	require.NotNil(t, err)
	require.Equal(t, protocol.CodeNotAllowed, err.Code)
	f.start(4)
	for i := range 10 {
		createTestTopic(t, f.nodes[1], &protocol.TopicSpec{Name: fmt.Sprint("t", i)})
	}
	task, err := f.nodes[1].DecommissionNode(context.Background(), 2)
	require.Nil(t, err)
	require.Eventually(t, func() bool {
		for _, info := range f.nodes[1].Tasks() {
			if info.ID == task.ID && info.Moved > 3 {
				return true
			}
		}
		return false
	}, patience, time.Millisecond)
	require.Eventually(t, func() bool { // on a busy machine a leader may change before it can tell
		err := f.nodes[1].KeepNode(context.Background(), 2)
		return err == nil || nodeState(t, f.nodes[1], 2) == protocol.NodeActive
	}, patience, 10*time.Millisecond)
	f.stop(4)
	f.start(4)
	require.Equal(t, protocol.TaskCancelled, awaitTask(t, f.nodes[3], task.ID).State)
	require.Equal(t, protocol.NodeActive, nodeState(t, f.nodes[3], 2))
	require.Eventually(t, func() bool {
		info, err := f.nodes[1].Cluster("default")
		return err == nil && info.Brokers[1].Node == 2 && info.Brokers[1].State == protocol.BrokerRunning
	}, patience, 5*time.Millisecond)
	require.Len(t, fetchAll(t, f.nodes[2], "q", 0), 2)
	require.Eventually(t, func() bool {
		return len(replicaDirs(t, f.dataDir(4), 2, "")) == 0
	}, patience, 10*time.Millisecond, "what had moved is removed again")
}

// One process becomes a fleet: its brokers spread over those that join, and so does the
// fleet's own metadata, until the first node can leave.
func TestOneProcessBecomesAFleet(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	produce(t, f.nodes[1], "q", 0, "0", "1")
	for i := 2; i <= 4; i++ {
		f.start(i)
	}
	held := func(node int) (nodes []uint64) {
		for _, p := range f.nodes[node].env.fleet.View().Placed {
			if p.Settings.Name == catalog.FleetName {
				nodes = p.Nodes
			}
		}
		return nodes
	}
	require.Eventually(t, func() bool { return len(held(4)) == 3 }, patience, 10*time.Millisecond, "an odd number of the four")
	require.Eventually(t, func() bool { // a node that is not heard of for a moment gets nothing
		task, err := f.nodes[3].Rebalance(context.Background())
		if err != nil {
			return false
		}
		awaitTask(t, f.nodes[2], task.ID)
		info, err := f.nodes[4].Cluster("default")
		require.Nil(t, err)
		at := map[uint64]bool{}
		for _, b := range info.Brokers {
			at[b.Node] = true
		}
		return len(at) == 3
	}, patience, 10*time.Millisecond)
	task, err := f.nodes[2].DecommissionNode(context.Background(), 1)
	require.Nil(t, err)
	awaitTask(t, f.nodes[2], task.ID)
	f.stop(1)
	require.ElementsMatch(t, []uint64{2, 3, 4}, held(2))
	f.stop(3)
	require.Len(t, fetchAll(t, f.nodes[4], "q", 0), 2)
	f.start(3)
	f.seeds = []string{f.links[2], f.links[4]} // what it was founded with is gone
	f.start(5)
	f.start(6)
	require.Eventually(t, func() bool { return len(held(2)) == 5 }, patience, 10*time.Millisecond, "five of the five that are left")
}

// A node that is gone and runs on says so.
func TestGoneNodeSaysSo(t *testing.T) {
	f := newFleet(t, 3)
	f.start(4)
	task, err := f.nodes[1].DecommissionNode(context.Background(), 2)
	require.Nil(t, err)
	require.Equal(t, protocol.TaskDone, awaitTask(t, f.nodes[1], task.ID).State)
	says := func() bool { return strings.Contains(f.nodes[2].Readiness().Joining, "it is gone") }
	require.Eventually(t, says, patience, 5*time.Millisecond)
	f.stop(2)
	f.begin(2)
	require.Eventually(t, says, patience, 5*time.Millisecond, "after a restart too")
}
