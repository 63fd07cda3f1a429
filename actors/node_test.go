package actors

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/datadir"
	"ottla/protocol"
)

// testLog sends the node's log to the test's.
type testLog struct{ t *testing.T }

func (w testLog) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// startNode starts a node on dir and waits until every partition has a leader.
func startNode(t *testing.T, dir string, change ...func(*Options)) *Node {
	t.Helper()
	level := slog.LevelWarn
	if os.Getenv("OTTLA_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	if testing.Verbose() {
		level = slog.LevelInfo
	}
	o := Options{
		DataDir: dir, DefaultCluster: protocol.DefaultCluster, AutoCreateTopics: true, Port: 8080,
		Logger: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: level})),
	}
	for _, c := range change {
		c(&o)
	}
	n, err := Start(context.Background(), o)
	require.NoError(t, err)
	awaitReady(t, n)
	return n
}

func awaitReady(t *testing.T, n *Node) {
	t.Helper()
	require.Eventually(t, func() bool { return n.Readiness().Ready }, patience, 5*time.Millisecond, "not ready: %+v", n.Readiness())
}

func stopNode(t *testing.T, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, n.Shutdown(ctx))
}

// produce writes values to one partition and returns the base offset.
func produce(t *testing.T, n *Node, topic string, partition int, values ...string) protocol.Offset {
	t.Helper()
	res := tryProduce(t, n, topic, partition, values...)
	require.Nil(t, res.Err)
	return res.BaseOffset
}

func tryProduce(t *testing.T, n *Node, topic string, partition int, values ...string) protocol.ProduceResult {
	t.Helper()
	deadline := n.env.now().Add(patience) // by the clock that the partition's leader holds against it
	tp, err := n.LookupTopic("", topic, true, deadline)
	require.Nil(t, err)
	req := &protocol.ProduceRequest{Topic: tp, Partition: partition}
	for i, v := range values {
		req.Lines.Add(time.Now().UnixMilli(), topic, partition, []byte(fmt.Sprintf(`"k%d"`, i)), []byte(v), protocol.ActionProduce, nil)
	}
	n.Produce([]*protocol.ProduceRequest{req}, deadline)
	return req.Result
}

// fetchAll reads a whole partition's values.
func fetchAll(t *testing.T, n *Node, topic string, partition int) []string {
	t.Helper()
	tp, err := n.LookupTopic("", topic, false, time.Time{})
	require.Nil(t, err)
	var values []string
	at := protocol.Offset(0)
	for {
		reply, err := n.Fetch(&protocol.FetchRequest{Topic: tp, Partition: partition, Offset: at, MaxRecords: 1000, MaxBytes: 1 << 20})
		require.Nil(t, err)
		for _, r := range reply.Records {
			require.Equal(t, at, r.Offset)
			values = append(values, string(r.Value))
			at++
		}
		if at >= reply.HighWatermark {
			return values
		}
	}
}

func TestProduceFetchRestart(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	require.EqualValues(t, 0, produce(t, n, "liked", 0, `{"post":1}`, `{"post":2}`))
	require.EqualValues(t, 2, produce(t, n, "liked", 0, `{"post":3}`))
	want := []string{`{"post":1}`, `{"post":2}`, `{"post":3}`}
	require.Equal(t, want, fetchAll(t, n, "liked", 0))
	stopNode(t, n)

	n = startNode(t, dir)
	require.Equal(t, want, fetchAll(t, n, "liked", 0))
	require.EqualValues(t, 3, produce(t, n, "liked", 0, `4`))
	stopNode(t, n)
}

func TestStartSaysWhyTheDefaultClusterCannotBe(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "default"), []byte("a file in the way"), 0o644))
	_, err := Start(context.Background(), Options{DataDir: dir, DefaultCluster: "default"})
	require.ErrorContains(t, err, "default cluster")
	release, err := datadir.Lock(dir)
	require.NoError(t, err, "a failed start leaves nothing locked")
	release()
}

func TestADeletedDefaultClusterStaysDeleted(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	require.Nil(t, n.DeleteCluster(t.Context(), protocol.DefaultCluster))
	stopNode(t, n)
	n = startNode(t, dir)
	defer stopNode(t, n)
	clusters, err := n.Clusters()
	require.Nil(t, err)
	require.Empty(t, clusters)
	_, created, err := n.CreateCluster(t.Context(), &protocol.ClusterSpec{Name: protocol.DefaultCluster})
	require.Nil(t, err)
	require.True(t, created)
}

// Whatever kept the default cluster from being created at the first start, the
// next one tries again.
func TestTheDefaultClusterIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	inTheWay := filepath.Join(dir, "default")
	require.NoError(t, os.WriteFile(inTheWay, nil, 0o644))
	_, err := Start(context.Background(), Options{DataDir: dir, DefaultCluster: "default"})
	require.Error(t, err)
	require.NoError(t, os.Remove(inTheWay))
	n := startNode(t, dir)
	defer stopNode(t, n)
	require.EqualValues(t, 0, produce(t, n, "liked", 0, `1`))
}
