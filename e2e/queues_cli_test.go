package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	ottla "ottla/client"
	"ottla/protocol"
)

// The commands for queues, from creation to redrive.
func TestQueueCommands(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("mails", 2)
	out := s.must("", "queue", "create", "senders", "--topic", "mails", "--max-deliveries", "2", "--backoff", "10ms,1s", "--ack-wait", "20s")
	for _, want := range []string{"senders", "mails.dead", "20s", "10ms 1s", "mails-1"} {
		assert.Contains(t, out, want)
	}
	s.must("", "queue", "create", "senders", "--topic", "mails")
	code, _, errs := s.ottla("", "queue", "create", "senders", "--topic", "mails", "--order", "key")
	assert.Equal(t, 1, code)
	assert.Contains(t, errs, "group_exists")
	code, _, _ = s.ottla("", "queue", "create", "senders")
	assert.Equal(t, 2, code)
	s.must("", "queue", "alter", "senders", "--max-deliveries", "3")

	for i := range 6 {
		s.produce("mails", object{"value": i, "partition": i % 2, "headers": object{"h": "x"}})
	}
	first := s.work("senders", "mails", 2, 5*time.Second)
	s.ack(first...).want(http.StatusOK)
	s.nack(object{"dead": true}, s.work("senders", "mails", 10, 5*time.Second)...).want(http.StatusOK)
	dead := func(n int64) {
		s.eventually(waitTimeout, "dead letters are there", func() error {
			var sum int64
			for _, p := range s.queueInfo("senders").Partitions {
				sum += p.Dead
			}
			if sum != n {
				return assert.AnError
			}
			return nil
		})
	}
	dead(4)
	assert.Contains(t, s.must("", "queue", "list"), "senders")
	assert.Contains(t, s.must("", "queue", "describe", "senders"), "dead")

	assert.Contains(t, s.must("", "queue", "redrive", "senders", "--max-records", "1"), "1 dead letter of queue")
	assert.Contains(t, s.must("", "queue", "redrive", "senders"), "3 dead letters")
	assert.Contains(t, s.must("", "queue", "redrive", "senders"), "0 dead letters")
	again := map[string]int{}
	for len(again) < 4 {
		got := s.work("senders", "mails", 10, 5*time.Second)
		require.NotEmpty(t, got)
		for _, r := range got {
			again[string(r.Value)]++
			assert.Equal(t, map[string]string{"h": "x"}, r.Headers)
			assert.GreaterOrEqual(t, r.Offset, int64(3))
		}
		s.ack(got...).want(http.StatusOK)
	}
	require.Empty(t, s.work("senders", "mails", 10, 0))

	// What a consumer of the command line prints it acknowledges.
	s.produce("mails", object{"value": "printed"})
	assert.Contains(t, s.must("", "consume", "mails", "--group", "senders", "--max-records", "1", "--follow"), "printed")
	for _, p := range s.queueInfo("senders").Partitions {
		assert.Equal(t, p.End, p.Position)
	}
	s.must("", "queue", "delete", "senders")

	// A copy of a topic keeps what is for later.
	s.topic("later", 1)
	s.produce("later", object{"value": 1, "delay_ms": 3_600_000})
	s.must(s.must("", "consume", "later"), "produce", "copy", "--records", "--partition", "0")
	original, copied := s.fetch("later", 0, 0, "").Records, s.fetch("copy", 0, 0, "").Records
	require.Len(t, copied, 1)
	assert.Equal(t, original[0].DeliverAt, copied[0].DeliverAt)
}

// A consumer of the Go client is a worker of a queue: it acknowledges with its next
// poll, extends while it works, and gives back what it discards.
func TestGoConsumerOfAQueue(t *testing.T) {
	t.Parallel()
	s := start(t)
	ctx := context.Background()
	c, err := ottla.New(s.base)
	require.NoError(t, err)
	s.topic("jobs", 1)
	info, err := c.PutQueue(ctx, "w", ottla.QueueSpec{Topics: []string{"jobs"}, AckWait: 3 * time.Second, Backoff: []time.Duration{}, MaxDeliveries: 9})
	require.NoError(t, err)
	require.EqualValues(t, 3000, info.AckWaitMs)
	at := time.Now().Add(time.Second).Truncate(time.Millisecond)
	for i, r := range []ottla.Record{{Value: ottla.StringData("a")}, {Value: ottla.StringData("b")}, {Value: ottla.StringData("c"), DeliverAt: at}} {
		_, err := c.Produce(ctx, "jobs", r)
		require.NoError(t, err, i)
	}
	worker, err := c.NewConsumer(ottla.ConsumerConfig{Group: "w", Topics: []string{"jobs"}, MaxRecords: 1})
	require.NoError(t, err)
	batch, err := worker.Poll(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, batch[0].Delivery.Count)
	<-time.After(3500 * time.Millisecond) // longer than the queue waits
	batch, err = worker.Poll(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, batch[0].Offset, "the first was extended, and is ended")
	worker.Discard(ctx)
	batch, err = worker.Poll(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, batch[0].Offset)
	require.Equal(t, 2, batch[0].Delivery.Count)
	batch, err = worker.Poll(ctx)
	require.NoError(t, err)
	require.Equal(t, at, batch[0].DeliverAt)
	require.NoError(t, worker.Close(ctx))
	info, err = c.Group(ctx, "", "w")
	require.NoError(t, err)
	require.EqualValues(t, 3, info.Partitions[0].Position)
	_, err = c.Ack(ctx, batch[0].Delivery.Receipt)
	require.NoError(t, err)
	_, err = c.Nack(ctx, ottla.NackOptions{}, batch[0].Delivery.Receipt)
	require.True(t, ottla.HasCode(err, protocol.CodeStaleReceipt), err)
	info, err = c.AlterQueue(ctx, "w", ottla.QueueSpec{MaxDeliveries: 4})
	require.NoError(t, err)
	require.Equal(t, 4, info.MaxDeliveries)
}

// Many dead letters are put back several at a time, and still those of a key in their
// order, each once, also where the command is ended in between.
func TestRedriveOfManyDeadLetters(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("many", 3)
	s.must("", "queue", "create", "busy", "--topic", "many", "--max-deliveries", "1", "--ack-wait", "20s")
	const n, keys = 1200, 40
	var records []object
	for i := range n {
		records = append(records, object{"key": strconv.Itoa(i % keys), "value": i / keys})
	}
	s.post("/events", object{"topic": "many", "records": records}).want(http.StatusOK)
	for left := n; left > 0; {
		got := s.work("busy", "many", 500, 5*time.Second)
		require.NotEmpty(t, got)
		s.nack(object{"dead": true}, got...).want(http.StatusOK)
		left -= len(got)
	}
	s.eventually(waitTimeout, "all are dead letters", func() error {
		var sum int64
		for _, p := range s.queueInfo("busy").Partitions {
			sum += p.Dead
		}
		if sum != n {
			return fmt.Errorf("%d of %d", sum, n)
		}
		return nil
	})
	back := 0
	for _, limit := range []string{"1", "700", "0"} {
		out := s.must("", "queue", "redrive", "busy", "--max-records", limit)
		count, err := strconv.Atoi(strings.Fields(out)[0])
		require.NoError(t, err, out)
		back += count
	}
	assert.Equal(t, n, back)
	next := map[string]int{}
	for p := range 3 {
		for at, end := int64(0), int64(0); ; {
			var page struct {
				Records []struct {
					Offset     int64
					Key, Value json.RawMessage
				}
				Next int64 `json:"next_offset"`
				High int64 `json:"high_watermark"`
			}
			s.get(fmt.Sprintf("/topic/many/partitions/%d/records?offset=%d&max_records=1000", p, at)).want(http.StatusOK).as(&page)
			end = page.High
			for _, r := range page.Records {
				value, err := strconv.Atoi(string(r.Value))
				require.NoError(t, err)
				key := fmt.Sprintf("%d %s", p, r.Key)
				require.Equal(t, next[key]%(n/keys), value, "key %s, offset %d", r.Key, r.Offset)
				next[key]++
			}
			if at = page.Next; at >= end {
				break
			}
		}
	}
	assert.Len(t, next, keys)
	for key, times := range next {
		assert.Equal(t, 2*n/keys, times, "each value of %s once, and once again", key)
	}
}
