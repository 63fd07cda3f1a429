package client_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
)

// broker starts the real binary on fresh data and returns its URL.
func broker(t *testing.T) string {
	if testing.Short() {
		t.Skip("needs a build of the broker")
	}
	dir := t.TempDir()
	binary := os.Getenv("OTTLA_E2E_BINARY")
	if binary == "" {
		binary = filepath.Join(dir, "ottla")
		if out, err := exec.Command("go", "build", "-o", binary, "ottla").CombinedOutput(); err != nil {
			t.Skipf("cannot build the broker: %v\n%s", err, out)
		}
	}
	cmd := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(dir, "data"))
	cmd.Dir = dir
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	m := regexp.MustCompile(`listening on (http://\S+),`).FindStringSubmatch(line)
	require.NotNil(t, m, line)
	return m[1]
}

// Everything at once, against the broker itself: what the producer reports is
// what a fetch finds there, and a group gets all of it.
func TestAgainstTheBroker(t *testing.T) {
	c, err := client.New(broker(t))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.Ready(t.Context()) == nil }, 30*time.Second, 20*time.Millisecond)
	_, err = c.CreateTopic(t.Context(), client.TopicSpec{Name: "liked", Partitions: 3})
	require.NoError(t, err)

	const n = 3000
	p, err := c.NewProducer("liked", client.ProducerConfig{BatchRecords: 200, Compression: client.Zstd})
	require.NoError(t, err)
	var mu sync.Mutex
	written := map[client.Ack]int{}
	for i := range n {
		require.NoError(t, p.Send(t.Context(), number(i), func(ack client.Ack, err error) {
			mu.Lock()
			defer mu.Unlock()
			assert.NoError(t, err)
			written[ack] = i
		}))
	}
	require.NoError(t, p.Close(t.Context()))
	require.Len(t, written, n)

	for ack, i := range written {
		if i%100 != 0 {
			continue
		}
		reply, err := c.Fetch(t.Context(), "liked", ack.Partition, client.FetchOptions{Offset: ack.Offset, MaxRecords: 1})
		require.NoError(t, err)
		require.Len(t, reply.Messages, 1)
		assert.Equal(t, strconv.Itoa(i), reply.Messages[0].Value.String())
	}

	consumer, err := c.NewConsumer(client.ConsumerConfig{Group: "readers", Topics: []string{"liked"}, Wait: time.Second})
	require.NoError(t, err)
	seen := map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = consumer.Run(ctx, func(_ context.Context, batch []client.Message) error {
		for _, m := range batch {
			seen[m.Value.String()]++
		}
		if len(seen) == n {
			cancel()
		}
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, consumer.Close(t.Context()))
	assert.Len(t, seen, n)
	offsets, err := c.Offsets(t.Context(), "", "readers", "liked")
	require.NoError(t, err)
	for _, o := range offsets {
		require.NotNil(t, o.Committed)
		assert.Zero(t, o.Lag, "all is committed on partition %d", o.Partition)
	}
}
