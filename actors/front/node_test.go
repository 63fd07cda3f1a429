package front_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors"
	"ottla/protocol"
)

// patience is how long a test waits for what must come: far more than a busy
// machine needs.
const patience = time.Minute

// ptr returns a pointer to v.
func ptr[T any](v T) *T { return &v }

func startNode(t *testing.T, dir string) *actors.Node {
	t.Helper()
	n, err := actors.Start(context.Background(), actors.Options{
		DataDir: dir, DefaultCluster: protocol.DefaultCluster, AutoCreateTopics: true, Port: 8080, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return n.Readiness().Ready }, patience, 5*time.Millisecond)
	return n
}

func stopNode(t *testing.T, n *actors.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, n.Shutdown(ctx))
}

func createTestTopic(t *testing.T, n *actors.Node, spec *protocol.TopicSpec) {
	t.Helper()
	_, _, err := n.CreateTopic(context.Background(), spec)
	require.Nil(t, err)
}

// produce writes values to one partition.
func produce(t *testing.T, n *actors.Node, topic string, partition int, values ...string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tp, err := n.LookupTopic("", topic, true, deadline)
	require.Nil(t, err)
	req := &protocol.ProduceRequest{Topic: tp, Partition: partition}
	for i, v := range values {
		req.Lines.Add(time.Now().UnixMilli(), topic, partition, []byte(fmt.Sprintf(`"k%d"`, i)), []byte(v), protocol.ActionProduce, nil)
	}
	n.Produce([]*protocol.ProduceRequest{req}, deadline)
	require.Nil(t, req.Result.Err)
}

func requireCode(t *testing.T, code protocol.Code, err *protocol.Error) {
	t.Helper()
	require.NotNil(t, err, "want %s", code.Name)
	require.Equal(t, code.Name, err.Code.Name, err.Message)
}
