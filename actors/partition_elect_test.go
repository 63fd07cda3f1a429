package actors

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/routing"
	"ottla/protocol"
)

// slowRaft makes raft's own timeouts (30 to 60 s) useless: what is elected in a
// test was elected without them.
func slowRaft(o *Options) { o.ElectionTicks = 300 }

// TestStartElectsWhoHasTheLongestLog: the replicas that placement prefers lack
// entries, and nobody waits for raft's timeout to find another.
func TestStartElectsWhoHasTheLongestLog(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir, slowRaft)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "long", Partitions: ptr(3)})
	_, err := n.StopBroker(context.Background(), "default", 1)
	require.Nil(t, err)
	for p := range 3 {
		produce(t, n, "long", p, `"beyond broker 1"`)
	}
	createTestTopic(t, n, &protocol.TopicSpec{Name: "later", Partitions: ptr(3)}) // in the metadata too
	stopNode(t, n)

	n = startNode(t, dir, slowRaft)
	defer stopNode(t, n)
	for p := range 3 {
		require.Len(t, fetchAll(t, n, "long", p), 1)
	}
}

// TestReplicaEndsAndAnotherLeadsAtOnce ends the leader's actor without a
// hand-over, again and again.
func TestReplicaEndsAndAnotherLeadsAtOnce(t *testing.T) {
	n := startNode(t, t.TempDir(), slowRaft)
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "q", Partitions: ptr(1)})
	tp, err := n.LookupTopic("", "q", false, time.Time{})
	require.Nil(t, err)
	route := routing.Of(tp).Partitions[0]
	produce(t, n, "q", 0, `1`)
	ref := leaderOf(t, tp, 0)
	n.env.system.Root.Stop(pidOf(ref))
	next := route.Await(ref, time.Now().Add(25*time.Second))
	require.NotNil(t, next)
	require.NotEqual(t, ref.Broker, next.Broker)
	produce(t, n, "q", 0, `2`)
	require.Len(t, fetchAll(t, n, "q", 0), 2)
}

// TestStopOfABrokerCostsNoTimeout: leaders hand over, and nobody waits for
// raft's timeouts, which would take half a minute here.
func TestStopOfABrokerCostsNoTimeout(t *testing.T) {
	n := startNode(t, t.TempDir(), slowRaft)
	defer stopNode(t, n)
	l := startLoad(t, n, "q", 6)
	var worst time.Duration
	for round := range 6 {
		id := 1 + round%3
		awaitSettled(t, n)
		l.forget()
		_, err := n.StopBroker(context.Background(), "default", id)
		require.Nil(t, err)
		l.awaitAcks(5)
		worst = max(worst, l.longest())
		_, err = n.StartBroker(context.Background(), "default", id)
		require.Nil(t, err)
	}
	t.Logf("longest time without an acknowledgement: %s", worst)
	require.Less(t, worst, 15*time.Second)
	l.end(t)
}
