package actors

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// When a broker is said to be started its replicas run, so that the next one may be stopped:
// with a replica that is still to be opened, a partition would be without a majority.
func TestABrokerThatIsStartedHasItsReplicas(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	_, _, err := n.CreateTopic(t.Context(), &protocol.TopicSpec{Name: "wide", Partitions: ptr(100)})
	require.Nil(t, err)
	awaitSettled(t, n)
	for broker := 1; broker <= 3; broker++ {
		_, err := n.StopBroker(t.Context(), protocol.DefaultCluster, broker)
		require.Nil(t, err)
		_, err = n.StartBroker(t.Context(), protocol.DefaultCluster, broker)
		require.Nil(t, err)
		require.Empty(t, n.Readiness().Degraded, "broker %d", broker)
	}
}
