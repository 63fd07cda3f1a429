package front

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/routing"
	"ottla/protocol"
)

// Who asks to start a broker and leaves is not waited for until its replicas run.
func TestAStartIsAwaitedOnlyAsLongAsSomebodyWaits(t *testing.T) {
	w := newWorld(t)
	topic, _ := w.withTopic("t", 1)
	w.cluster.Publish(w.cluster.Table(), &routing.View{
		NextConsumerID: 1, Partitions: map[protocol.PartitionID]*routing.Partition{{TopicID: topic.ID}: routing.Of(topic).Partitions[0]},
		Topics: []protocol.TopicInfo{{ID: topic.ID, Name: "t", Partitions: []protocol.PartitionInfo{{Replicas: []int{1}}}}},
		Info:   protocol.ClusterInfo{Brokers: []protocol.BrokerInfo{{ID: 1, State: protocol.BrokerRunning}}},
	})
	w.replicas.running.Store(0) // it never comes
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.awaitReplicas(ctx, w.cluster, 1, time.Now().Add(time.Hour))
	}()
	select {
	case <-ended:
		t.Fatal("the broker has a replica that does not run")
	case <-time.After(20 * time.Millisecond):
	}
	leave()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("nobody waits any more")
	}
	require.NotNil(t, ctx.Err())
}
