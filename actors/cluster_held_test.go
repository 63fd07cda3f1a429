package actors

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/routing"
	"ottla/protocol"
)

// startWithLoss makes clusters default, with the topic "here", and "other",
// with the topic "there" of one record; it stops, takes two of three
// directories of other away, and starts anew. putBack undoes that.
func startWithLoss(t *testing.T) (dir string, n *Node, putBack func()) {
	t.Helper()
	dir = t.TempDir()
	n = startNode(t, dir)
	produce(t, n, "here", 0, `1`)
	_, created, err := n.CreateCluster(t.Context(), &protocol.ClusterSpec{Name: "other"})
	require.Nil(t, err)
	require.True(t, created)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "there", Cluster: "other", Partitions: ptr(1)})
	produce(t, n, "there", 0, `2`)
	stopNode(t, n)

	away := t.TempDir()
	move := func(from, to string) {
		for _, b := range []string{"broker-2", "broker-3"} {
			require.NoError(t, os.Rename(filepath.Join(from, b), filepath.Join(to, b)))
		}
	}
	move(filepath.Join(dir, "other"), away)
	n, startErr := Start(context.Background(), Options{DataDir: dir, DefaultCluster: protocol.DefaultCluster, AutoCreateTopics: true})
	require.NoError(t, startErr)
	return dir, n, func() { move(away, filepath.Join(dir, "other")) }
}

// awaitTopic waits until a topic of the default cluster has a leader.
func awaitTopic(t *testing.T, n *Node, topic string) {
	t.Helper()
	require.Eventually(t, func() bool {
		tp, err := n.LookupTopic("", topic, false, time.Time{})
		return err == nil && routing.Of(tp).Partitions[0].Leader() != nil
	}, patience, 5*time.Millisecond)
}

func TestAClusterThatLostItsMajorityDoesNotKeepOthersFromStarting(t *testing.T) {
	dir, n, putBack := startWithLoss(t)
	awaitTopic(t, n, "here")
	require.EqualValues(t, 1, produce(t, n, "here", 0, `3`), "the other cluster serves")

	refused := func(err *protocol.Error) {
		t.Helper()
		require.NotNil(t, err)
		assert.Equal(t, protocol.CodeNotEnoughReplicas, err.Code)
		assert.Equal(t, protocol.OutcomeNone, err.Outcome)
		assert.Contains(t, err.Message, `"other"`)
		assert.Contains(t, err.Message, "majority")
		assert.NotContains(t, err.Message, "\n")
	}
	_, err := n.LookupTopic("other", "there", false, time.Now())
	refused(err)
	_, err = n.LookupTopic("", "there", true, time.Now().Add(patience))
	refused(err) // neither missing nor made in the wrong cluster
	_, err = n.Cluster("other")
	refused(err)
	_, err = n.StartBroker(t.Context(), "other", 2)
	refused(err)
	_, _, err = n.CreateCluster(t.Context(), &protocol.ClusterSpec{Name: "other"})
	refused(err)
	_, err = n.Group("", "who")
	refused(err)
	_, err = n.Commit(&protocol.CommitRequest{ConsumerID: 1 << 40, Topic: "here", Offsets: []protocol.OffsetCommit{{Topic: "here"}}})
	refused(err)

	var r protocol.Readiness
	require.Eventually(t, func() bool { // the other partitions of "here" elect their leaders meanwhile
		r = n.Readiness()
		return len(r.Leaderless) == 1
	}, patience, 5*time.Millisecond)
	assert.False(t, r.Ready)
	assert.False(t, r.Starting)
	assert.Equal(t, "other", r.Leaderless[0].Cluster)
	assert.Contains(t, r.Leaderless[0].Reason, "majority")
	topics, err := n.Topics("", false)
	require.Nil(t, err)
	require.Len(t, topics, 1)
	clusters, err := n.Clusters()
	require.Nil(t, err)
	require.Len(t, clusters, 2)
	assert.Empty(t, clusters[0].Error)
	assert.Contains(t, clusters[1].Error, "majority")
	require.Len(t, clusters[1].Brokers, 3)
	assert.Equal(t, protocol.BrokerStopped, clusters[1].Brokers[0].State)
	assert.Equal(t, protocol.BrokerFailed, clusters[1].Brokers[2].State)
	assert.NotEmpty(t, clusters[1].Brokers[2].Error)
	assert.Contains(t, n.Metrics().Brokers, protocol.BrokerMetrics{Cluster: "other", State: protocol.BrokerFailed, Count: 2})
	stopNode(t, n)

	putBack()
	n = startNode(t, dir)
	defer stopNode(t, n)
	require.Equal(t, []string{`2`}, fetchAll(t, n, "there", 0))
	_, err = n.LookupTopic("", "elsewhere", true, time.Now().Add(patience))
	require.Nil(t, err)
}

func TestAClusterThatIsHeldBackCanBeDeleted(t *testing.T) {
	t.Parallel()
	dir, n, _ := startWithLoss(t)
	defer stopNode(t, n)
	require.Nil(t, n.DeleteCluster(t.Context(), "other"))
	assert.NoDirExists(t, filepath.Join(dir, "other"))
	awaitReady(t, n)
	_, created, err := n.CreateCluster(t.Context(), &protocol.ClusterSpec{Name: "other"})
	require.Nil(t, err)
	assert.True(t, created)
}

func TestRequestsDoNotNoticeAClusterBeingCreated(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	produce(t, n, "here", 0, `1`)
	created := make(chan *protocol.Error, 1)
	go func() {
		_, _, err := n.CreateCluster(t.Context(), &protocol.ClusterSpec{Name: "other"})
		created <- err
	}()
	for {
		_, err := n.LookupTopic("", "here", false, time.Now())
		require.Nil(t, err)
		_, err = n.Topics("", false)
		require.Nil(t, err)
		require.False(t, n.Readiness().Starting)
		select {
		case err := <-created:
			require.Nil(t, err)
			return
		default:
		}
	}
}

// A topic that is to be made in the default cluster waits until that is there.
func TestTopicForADefaultClusterBeingCreated(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	require.Nil(t, n.DeleteCluster(t.Context(), protocol.DefaultCluster))
	n.env.directory.Put(protocol.DefaultCluster, &routing.Cluster{Name: protocol.DefaultCluster, Fresh: true, Known: time.Now()})
	defer n.env.directory.Put(protocol.DefaultCluster, nil)
	for _, create := range []bool{false, true} {
		_, err := n.LookupTopic("", "new", create, time.Now().Add(patience))
		require.NotNil(t, err)
		assert.Equal(t, protocol.CodeStarting, err.Code)
	}
}
