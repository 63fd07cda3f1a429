package actors

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/protocol"
)

func stopBroker2(t *testing.T, n *Node) {
	t.Helper()
	_, err := n.StopBroker(context.Background(), "default", 2)
	require.Nil(t, err)
}

func startBroker2(t *testing.T, n *Node) {
	t.Helper()
	_, err := n.StartBroker(context.Background(), "default", 2)
	require.Nil(t, err)
}

// awaitForgotten waits until every deleted topic is gone from all brokers and
// from the metadata.
func awaitForgotten(t *testing.T, n *Node) {
	t.Helper()
	require.Eventually(t, func() bool {
		left := protocol.NewFuture[int]()
		n.env.system.Root.Send((*n.clusters.Load())["default"].pid.Load(), &inspectCluster{Do: func(c *clusterActor) {
			left.Put(len(c.state.deleted) + len(c.dropping))
		}})
		got, ok := left.Wait(time.Now().Add(time.Second))
		return ok && got == 0
	}, 15*time.Second, 10*time.Millisecond, "a deleted topic is not forgotten")
}

func TestTopicIsMadeAnewWhileABrokerIsStopped(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	partitions := 8
	for i := range 5 {
		createTestTopic(t, n, &protocol.TopicSpec{Name: "again", Partitions: ptr(partitions)})
		stopBroker2(t, n)
		require.Nil(t, n.DeleteTopic(context.Background(), "", "again"))
		createTestTopic(t, n, &protocol.TopicSpec{Name: "again", Partitions: ptr(partitions)})
		startBroker2(t, n)
		awaitSettled(t, n)
		awaitForgotten(t, n)
		produce(t, n, "again", 0, fmt.Sprint(i))
		require.Equal(t, []string{fmt.Sprint(i)}, fetchAll(t, n, "again", 0))
		require.Nil(t, n.DeleteTopic(context.Background(), "", "again"))
	}
}

func TestTopicIsDeletedWhileABrokerStops(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	for range 8 {
		createTestTopic(t, n, &protocol.TopicSpec{Name: "brief", Partitions: ptr(8)})
		stopped := make(chan *protocol.Error)
		go func() {
			_, err := n.StopBroker(context.Background(), "default", 2)
			stopped <- err
		}()
		require.Nil(t, n.DeleteTopic(context.Background(), "", "brief"))
		require.Nil(t, <-stopped)
		startBroker2(t, n)
		awaitForgotten(t, n)
	}
	awaitSettled(t, n)
}

func TestBrokerStopsWhileItsReplicasAreMade(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	for i := range 4 {
		name := fmt.Sprintf("many%d", i)
		made := make(chan *protocol.Error)
		go func() {
			_, _, err := n.CreateTopic(context.Background(), &protocol.TopicSpec{Name: name, Partitions: ptr(60)})
			made <- err
		}()
		stopBroker2(t, n)
		startBroker2(t, n)
		require.Nil(t, <-made)
		awaitSettled(t, n)
	}
}

// TestLeftOverDirectoryIsPutAside: a crash may come between the ledger's
// forgetting a replica and the renaming of its directory.
func TestLeftOverDirectoryIsPutAside(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	defer stopNode(t, n)
	place := filepath.Join(dir, "default", "broker-2", "taken-0")
	old := partitionSpec{
		id:  logfile.Identity{ClusterID: "c", TopicID: "old", Topic: "taken", Broker: 2, ReplicaID: 7},
		dir: place, founders: []uint64{7},
	}
	require.NoError(t, old.create(n.env))
	createTestTopic(t, n, &protocol.TopicSpec{Name: "taken", Partitions: ptr(1)})
	awaitSettled(t, n)
	require.DirExists(t, place+".replaced-7")
}

// A change of placement between the last broker's answer and the record that
// forgets the topic asks all brokers once more; with a stopped one among them,
// that round never ends.
func TestForgottenTopicIsNotDroppedAnyMore(t *testing.T) {
	c := &clusterActor{
		state:    newClusterState(),
		dropping: map[string]map[int]bool{"being deleted": {2: true}, "forgotten": {2: false}},
	}
	c.state.deleted["being deleted"] = deletedTopic{}
	c.removeDeleted(nil) // nobody is asked, so nothing is sent
	require.Equal(t, map[string]map[int]bool{"being deleted": {2: true}}, c.dropping)
}
