package actors

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// A cluster may be deleted and made again while a node is away; the node then has the
// new one, and nothing of the old one.
func TestAClusterIsMadeAgainWhileANodeIsAway(t *testing.T) {
	f := newFleet(t, 3)
	spec := &protocol.ClusterSpec{Name: "c", NumBrokers: ptr(3)}
	first, _, err := f.nodes[1].CreateCluster(context.Background(), spec)
	require.Nil(t, err)
	f.stop(3)
	require.Nil(t, f.nodes[1].DeleteCluster(context.Background(), "c"))
	second, created, err := f.nodes[2].CreateCluster(context.Background(), spec)
	require.Nil(t, err)
	require.True(t, created)
	require.NotEqual(t, first.ID, second.ID)
	f.start(3)
	require.Eventually(t, func() bool {
		c, err := f.nodes[3].Cluster("c")
		return err == nil && c.ID == second.ID
	}, patience, 5*time.Millisecond)
}

// The actor of the fleet's metadata is started again after a panic, like any other.
func TestTheFleetsMetadataSurvivesAPanic(t *testing.T) {
	f := newFleet(t, 1)
	n := f.nodes[1]
	n.env.system.Root.Send(n.env.fleet.Metadata().(*clusterHandle).pid.Load(), &inspectCluster{Do: func(*clusterActor) { panic("for a test") }})
	require.Eventually(t, func() bool {
		_, _, err := n.CreateCluster(context.Background(), &protocol.ClusterSpec{Name: "c", NumBrokers: ptr(1)})
		return err == nil
	}, patience, 50*time.Millisecond)
}

// A lost node's brokers begin anew at another one, which has all records then; the
// lost one may not come back.
func TestALostNodeIsReplaced(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	produce(t, f.nodes[1], "q", 0, "0", "1")
	f.start(4)
	_, err := f.nodes[1].ReplaceNode(context.Background(), 2, 4)
	require.NotNil(t, err, "it is heard of")
	require.Equal(t, protocol.CodeNotAllowed, err.Code)
	f.stop(2)
	var task *protocol.TaskInfo
	require.Eventually(t, func() bool {
		task, err = f.nodes[3].ReplaceNode(context.Background(), 2, 4)
		return err == nil
	}, patience, 20*time.Millisecond, "node 2 is heard of for a moment")
	require.Equal(t, "replace", task.Kind)
	for i := range f.nodes {
		require.Eventually(t, func() bool {
			tasks := f.nodes[i].Tasks()
			return len(tasks) == 1 && tasks[0].State == protocol.TaskDone && tasks[0].Moved > 0 && len(f.nodes[i].Readiness().Degraded) == 0
		}, patience, 5*time.Millisecond, "at node %d", i)
	}
	f.stop(3) // two of three are left only if node 4 has them
	require.Nil(t, tryProduce(t, f.nodes[4], "q", 0, "2").Err)
	require.Equal(t, []string{"0", "1", "2"}, fetchAll(t, f.nodes[4], "q", 0))
	f.start(3)
	nodes, err := f.nodes[1].Nodes()
	require.Nil(t, err)
	require.Equal(t, protocol.NodeGone, nodes[1].State)
	require.Equal(t, []protocol.NodeBroker{{Cluster: protocol.DefaultCluster, ID: 2}}, nodes[3].Brokers)

	back := f.begin(2)
	require.Never(t, func() bool { return back.Readiness().Ready }, 500*time.Millisecond, 20*time.Millisecond)
	require.Nil(t, tryProduce(t, f.nodes[1], "q", 0, "3").Err)
	f.stop(2)

	f.stop(4) // what it has been given it has after a start, too
	f.start(4)
	require.Equal(t, []string{"0", "1", "2", "3"}, fetchAll(t, f.nodes[4], "q", 0))
	require.Eventually(t, func() bool { return len(f.nodes[4].Readiness().Degraded) == 0 }, patience, 5*time.Millisecond)
}

// Leadership leaves a node that is drained, and comes back.
func TestANodeIsDrained(t *testing.T) {
	f := newFleet(t, 3)
	_, _, err := f.nodes[1].CreateTopic(context.Background(), &protocol.TopicSpec{Name: "q", Partitions: ptr(6)})
	require.Nil(t, err)
	leaders := func() int {
		nodes, err := f.nodes[1].Nodes()
		require.Nil(t, err)
		return nodes[1].Leaders
	}
	require.Eventually(t, func() bool { return leaders() > 0 }, patience, 5*time.Millisecond)
	require.Nil(t, f.nodes[3].DrainNode(context.Background(), 2, true))
	require.Eventually(t, func() bool { return leaders() == 0 }, patience, 5*time.Millisecond)
	nodes, err := f.nodes[3].Nodes()
	require.Nil(t, err)
	require.Equal(t, protocol.NodeDraining, nodes[1].State)
	for i := range 6 {
		require.Nil(t, tryProduce(t, f.nodes[2], "q", i, "0").Err, "it serves all the same")
	}
	require.Nil(t, f.nodes[2].DrainNode(context.Background(), 2, false))
	require.Eventually(t, func() bool { return leaders() > 0 }, patience, 5*time.Millisecond)
	require.Equal(t, protocol.CodeNodeNotFound, f.nodes[1].DrainNode(context.Background(), 9, true).Code)
}
