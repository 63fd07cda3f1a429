package client_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
)

// broker is the real binary on fresh data.
type broker struct {
	t      *testing.T
	binary string
	dir    string
	listen string
	cmd    *exec.Cmd
}

// startBroker builds the binary, unless the variable names one, and runs it.
func startBroker(t *testing.T) *broker {
	if testing.Short() {
		t.Skip("needs a build of the broker")
	}
	b := &broker{t: t, dir: t.TempDir(), binary: os.Getenv("OTTLA_E2E_BINARY"), listen: "127.0.0.1:0"}
	if b.binary == "" {
		b.binary = filepath.Join(b.dir, "ottla")
		if out, err := exec.Command("go", "build", "-o", b.binary, "ottla").CombinedOutput(); err != nil {
			t.Skipf("cannot build the broker: %v\n%s", err, out)
		}
	}
	b.start()
	t.Cleanup(func() {
		_ = b.cmd.Process.Signal(syscall.SIGTERM)
		_ = b.cmd.Wait()
	})
	return b
}

// start starts the process, and uses the same address when it is started again.
func (b *broker) start() {
	b.cmd = exec.Command(b.binary, "serve", "--listen", b.listen, "--data-dir", filepath.Join(b.dir, "data"))
	b.cmd.Dir = b.dir
	stdout, err := b.cmd.StdoutPipe()
	require.NoError(b.t, err)
	require.NoError(b.t, b.cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(b.t, err)
	m := regexp.MustCompile(`listening on http://(\S+),`).FindStringSubmatch(line)
	require.NotNil(b.t, m, line)
	b.listen = m[1]
}

func (b *broker) kill() {
	require.NoError(b.t, b.cmd.Process.Kill())
	_ = b.cmd.Wait()
}

func (b *broker) client() *client.Client {
	c, err := client.New("http://" + b.listen)
	require.NoError(b.t, err)
	require.Eventually(b.t, func() bool { return c.Ready(b.t.Context()) == nil }, 2*time.Minute, 20*time.Millisecond)
	return c
}

// Producer, fetches and a group run against the real broker: each record is where
// the producer says, and the group gets all of them.
func TestAgainstTheBroker(t *testing.T) {
	c := startBroker(t).client()
	_, err := c.CreateTopic(t.Context(), client.TopicSpec{Name: "liked", Partitions: 3})
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
		require.NotNil(t, o.Lag)
		assert.Zero(t, *o.Lag, "all is committed on partition %d", o.Partition)
	}
}

// If the broker refuses one record of a batch, all others are written.
func TestRefusedRecordsDoNotHarmTheirNeighbours(t *testing.T) {
	c := startBroker(t).client()
	_, err := c.CreateTopic(t.Context(), client.TopicSpec{Name: "liked", Partitions: 2, MaxRecordBytes: 1024})
	require.NoError(t, err)
	nowhere, never := 2, -1
	bad := map[int]client.Record{
		3: {Partition: &nowhere},
		5: {Partition: &never},
		7: {Value: client.TextData(strings.Repeat("x", 2000))},
		9: {Timestamp: time.UnixMilli(-1)},
	}
	p, err := c.NewProducer("liked", client.ProducerConfig{Linger: time.Hour, Lanes: 1})
	require.NoError(t, err)
	errs := make([]error, 12)
	for i := range errs {
		r, ok := bad[i]
		if !ok {
			r = number(i)
		}
		require.NoError(t, p.Send(t.Context(), r, func(_ client.Ack, err error) { errs[i] = err }))
	}
	require.NoError(t, p.Close(t.Context()))
	for i, err := range errs {
		if _, ok := bad[i]; ok {
			var e *client.Error
			assert.ErrorAs(t, err, &e, "record %d", i)
		} else {
			assert.NoError(t, err, "record %d", i)
		}
	}
}

// The broker is killed repeatedly while a producer uses all its lanes. In the end
// every record is there once, where its ack says.
func TestProducerAcrossKills(t *testing.T) {
	b := startBroker(t)
	c := b.client()
	_, err := c.CreateTopic(t.Context(), client.TopicSpec{Name: "liked", Partitions: 3})
	require.NoError(t, err)
	p, err := c.NewProducer("liked", client.ProducerConfig{BatchRecords: 20})
	require.NoError(t, err)
	const n, kills = 6000, 3
	acked := make(chan struct{}, n)
	var mu sync.Mutex
	written := map[client.Ack]int{}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range n {
			err := p.Send(t.Context(), number(i), func(ack client.Ack, err error) {
				mu.Lock()
				defer mu.Unlock()
				if assert.NoError(t, err) {
					ack.Duplicate = false
					written[ack] = i
				}
				acked <- struct{}{}
			})
			assert.NoError(t, err)
		}
	}()
	for range kills {
		for range n / (kills + 2) {
			<-acked
		}
		b.kill()
		b.start()
	}
	<-sent
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, p.Close(ctx))
	require.Len(t, written, n)

	total := 0
	for partition := range 3 {
		for offset := int64(0); ; {
			reply, err := c.Fetch(t.Context(), "liked", partition, client.FetchOptions{Offset: offset, MaxRecords: 1000})
			require.NoError(t, err)
			for _, m := range reply.Messages {
				i, ok := written[client.Ack{Partition: partition, Offset: m.Offset}]
				require.True(t, ok, "nobody was told of partition %d offset %d: %s", partition, m.Offset, m.Value)
				require.Equal(t, strconv.Itoa(i), m.Value.String())
				total++
			}
			if offset = reply.NextOffset; len(reply.Messages) == 0 {
				break
			}
		}
	}
	assert.Equal(t, n, total)
}

// A consumer that processes a batch for longer than its session keeps its partition
// while another member wants it, and the batch is not delivered twice. A consumer
// that hangs loses its partition.
func TestSlowConsumerAgainstTheBroker(t *testing.T) {
	c := startBroker(t).client()
	const session = 3 * time.Second // heartbeats of a busy machine come late
	for name, patience := range map[string]time.Duration{"slow": time.Minute, "hangs": session / 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.CreateTopic(t.Context(), client.TopicSpec{Name: name, Partitions: 1})
			require.NoError(t, err)
			for i := range 3 {
				_, err := c.Produce(t.Context(), name, number(i))
				require.NoError(t, err)
			}
			slow, err := c.NewConsumer(client.ConsumerConfig{
				Group: name, Topics: []string{name}, SessionTimeout: session, MaxProcessing: patience, Wait: time.Second,
			})
			require.NoError(t, err)
			batch, err := slow.Poll(t.Context())
			require.NoError(t, err)
			require.Len(t, batch, 3)

			other := client.PollRequest{Group: name, Topics: []string{name}, Wait: session, SessionTimeout: 10 * time.Second}
			got := 0
			for range 3 {
				reply, err := c.Poll(t.Context(), other)
				require.NoError(t, err)
				other.ConsumerID = reply.ConsumerID
				got += len(reply.Messages)
			}
			if name == "hangs" {
				assert.Positive(t, got, "nobody took over")
				return
			}
			assert.Zero(t, got, "the partition was taken away")
			_, err = c.Produce(t.Context(), name, number(3))
			require.NoError(t, err)
			batch, err = slow.Poll(t.Context())
			require.NoError(t, err)
			require.Len(t, batch, 1, "what was processed came again")
			assert.Equal(t, "3", batch[0].Value.String())
			require.NoError(t, slow.Close(t.Context()))
		})
	}
}
