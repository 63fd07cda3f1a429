package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// delivery is what a record of a queue has with it.
type delivery struct {
	Receipt  string `json:"receipt"`
	Count    int    `json:"count"`
	Deadline int64  `json:"deadline"`
}

// queueInfo is what tests look at of a queue.
type queueInfo struct {
	Mode       string           `json:"mode"`
	State      string           `json:"state"`
	Generation int64            `json:"generation"`
	Lag        int64            `json:"lag"`
	Topics     []string         `json:"topics"`
	AckWaitMs  int64            `json:"ack_wait_ms"`
	Dead       *string          `json:"dead_letter_topic"`
	Partitions []queuePartition `json:"partitions"`
}

type queuePartition struct {
	Topic         string `json:"topic"`
	Partition     int    `json:"partition"`
	End           int64  `json:"end"`
	Position      int64  `json:"position"`
	Ready         int64  `json:"ready"`
	InFlight      int64  `json:"in_flight"`
	Delayed       int64  `json:"delayed"`
	Dead          int64  `json:"dead"`
	Removed       int64  `json:"removed"`
	OldestReadyMs *int64 `json:"oldest_ready_ms"`
}

// queue makes a group a queue of one topic.
func (s *server) queue(group, topic string, settings object) {
	s.t.Helper()
	body := object{"mode": "queue", "topics": []string{topic}}
	for name, v := range settings {
		body[name] = v
	}
	s.call(http.MethodPut, "/groups/"+group, body).want(http.StatusCreated)
}

func (s *server) queueInfo(group string) (q queueInfo) {
	s.t.Helper()
	s.get("/groups/" + group).want(http.StatusOK).as(&q)
	return q
}

// work polls a queue once.
func (s *server) work(group, topic string, maxRecords int, wait time.Duration) []record {
	s.t.Helper()
	var p polled
	s.get(fmt.Sprintf("/events?group=%s&topic=%s&max_records=%d&timeout_ms=%d&consumer_id=1", group, topic, maxRecords, wait.Milliseconds())).
		want(http.StatusOK).as(&p)
	return p.Records
}

func receipts(records []record) (list []string) {
	for i := range records {
		list = append(list, records[i].Delivery.Receipt)
	}
	return list
}

func (s *server) ack(records ...record) *answer {
	s.t.Helper()
	return s.post("/events/ack", object{"receipts": receipts(records)})
}

func (s *server) nack(more object, records ...record) *answer {
	s.t.Helper()
	body := object{"receipts": receipts(records)}
	for name, v := range more {
		body[name] = v
	}
	return s.post("/events/nack", body)
}

func TestWorkQueue(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("jobs", 2)
	s.queue("w", "jobs", object{"ack_wait_ms": 60000})
	s.call(http.MethodPut, "/groups/w", object{"mode": "queue", "topics": []string{"jobs"}}).want(http.StatusOK)
	s.call(http.MethodPut, "/groups/w", object{"mode": "queue", "topics": "jobs", "ack_wait_ms": 1}).wantError(http.StatusConflict, "group_exists")
	for i := range 6 {
		s.produce("jobs", object{"value": i, "partition": i % 2})
	}
	first := s.work("w", "jobs", 4, 5*time.Second)
	require.Len(t, first, 4)
	second := s.work("w", "jobs", 4, 5*time.Second)
	require.Len(t, second, 2)
	require.Empty(t, s.work("w", "jobs", 4, 0), "all are with a worker")
	assert.Equal(t, 1, first[0].Delivery.Count)
	assert.InDelta(t, time.Now().Add(time.Minute).UnixMilli(), first[0].Delivery.Deadline, 10_000)

	a := s.ack(first[1:]...).want(http.StatusOK)
	assert.JSONEq(t, `{"count":3}`, string(a.body))
	s.ack(first[1:]...).want(http.StatusOK) // again
	q := s.queueInfo("w")
	assert.EqualValues(t, 3, q.Lag)
	assert.Equal(t, "queue", q.Mode)
	assert.Equal(t, "jobs.dead", *q.Dead)
	s.nack(object{"delay_ms": 0}, first[0]).want(http.StatusOK)
	again := s.work("w", "jobs", 4, 5*time.Second)
	require.Len(t, again, 1)
	require.Equal(t, 2, again[0].Delivery.Count)
	s.ack(first[0]).wantError(http.StatusConflict, "stale_receipt")
	s.post("/events/extend", object{"receipts": receipts(again), "ack_wait_ms": 30000}).want(http.StatusOK)

	mixed := s.post("/events/ack", object{"receipts": []string{first[0].Delivery.Receipt, again[0].Delivery.Receipt, "x"}}).want(http.StatusMultiStatus)
	var said struct {
		Count   int `json:"count"`
		Results []struct {
			Receipt string     `json:"receipt"`
			Error   *errorBody `json:"error"`
		} `json:"results"`
	}
	mixed.as(&said)
	require.Len(t, said.Results, 3)
	assert.Equal(t, 1, said.Count)
	assert.Equal(t, "stale_receipt", said.Results[0].Error.Code)
	assert.Nil(t, said.Results[1].Error)
	assert.Equal(t, "invalid_receipt", said.Results[2].Error.Code)
	s.ack(second...).want(http.StatusOK)
	q = s.queueInfo("w")
	for _, p := range q.Partitions {
		assert.Equal(t, queuePartition{Topic: "jobs", Partition: p.Partition, End: 3, Position: 3}, p)
	}

	s.run("what a queue refuses", func(t *testing.T) {
		s.post("/offset", object{"group": "w", "consumer_id": 1, "offsets": []object{{"topic": "jobs", "partition": 0, "offset": 0}}}).wantError(http.StatusUnprocessableEntity, "not_allowed")
		s.post("/groups/w/seek", object{"topic": "jobs", "to": "earliest"}).wantError(http.StatusUnprocessableEntity, "not_allowed")
		s.get("/events?group=w&topic=other").wantError(http.StatusNotFound, "topic_not_found")
		s.topic("other", 1)
		s.get("/events?group=w&topic=other&timeout_ms=0").wantError(http.StatusUnprocessableEntity, "not_allowed")
		s.get("/events?group=w&topic=jobs", "Accept", "text/event-stream").wantError(http.StatusUnprocessableEntity, "not_allowed")
		s.call(http.MethodPut, "/groups/z", object{"mode": "queue", "topics": []string{"nothing"}}).wantError(http.StatusNotFound, "topic_not_found")
		s.call(http.MethodPut, "/groups/z", object{"mode": "queue", "topics": []string{"jobs", "jobs.dead"}}).wantError(http.StatusUnprocessableEntity, "not_allowed")
		s.call(http.MethodPatch, "/groups/z", object{"ack_wait_ms": 1}).wantError(http.StatusNotFound, "group_not_found")
		s.get("/events?group=stream&topic=jobs&timeout_ms=0").want(http.StatusOK)
		s.call(http.MethodPut, "/groups/stream", object{"mode": "queue", "topics": []string{"jobs"}}).wantError(http.StatusConflict, "group_not_empty")
		forged := []byte(first[0].Delivery.Receipt)
		forged[len(forged)-3] ^= 1
		s.post("/events/ack", object{"receipts": []string{string(forged)}}).wantError(http.StatusBadRequest, "invalid_receipt")
	})
	s.call(http.MethodPatch, "/groups/w", object{"topics": []string{"jobs", "other"}, "ack_wait_ms": 50}).want(http.StatusOK)
	s.produce("other", object{"value": "o"})
	got := s.work("w", "other", 4, 5*time.Second)
	require.Len(t, got, 1)
	again = s.work("w", "other", 4, 5*time.Second)
	require.Len(t, again, 1, "its deadline has passed")
	assert.Equal(t, 2, again[0].Delivery.Count)
	s.delete("/groups/w").want(http.StatusNoContent)
	s.get("/groups/w").wantError(http.StatusNotFound, "group_not_found")
	s.ack(again...).wantError(http.StatusConflict, "stale_receipt")
}

// A poison record holds back nobody, and ends among the dead letters, once.
func TestPoisonRecord(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("jobs", 1)
	s.queue("w", "jobs", object{"max_deliveries": 3, "backoff_ms": []int{50}})
	s.produce("jobs", object{"value": "poison", "key": "k", "headers": object{"h": "1"}})
	for i := range 20 {
		s.produce("jobs", object{"value": i})
	}
	done := 0
	for done < 20 {
		for _, r := range s.work("w", "jobs", 3, 5*time.Second) {
			if string(r.Value) == `"poison"` {
				s.nack(object{"reason": "I cannot read it"}, r).want(http.StatusOK)
				continue
			}
			s.ack(r).want(http.StatusOK)
			done++
		}
	}
	for s.queueInfo("w").Partitions[0].Dead == 0 {
		for _, r := range s.work("w", "jobs", 3, 100*time.Millisecond) {
			s.nack(object{"reason": "I cannot read it"}, r).want(http.StatusOK)
		}
	}
	require.EqualValues(t, 21, s.queueInfo("w").Partitions[0].Position)
	dead := s.fetch("jobs.dead", 0, 0, "").Records
	require.Len(t, dead, 1)
	assert.Equal(t, `"poison"`, string(dead[0].Value))
	assert.Equal(t, `"k"`, string(dead[0].Key))
	assert.Equal(t, map[string]string{
		"h": "1", "ottla-dead-group": "w", "ottla-dead-topic": "jobs", "ottla-dead-partition": "0", "ottla-dead-offset": "0",
		"ottla-dead-deliveries": "3", "ottla-dead-reason": "I cannot read it",
	}, dead[0].Headers)

	s.produce("jobs", object{"value": "refused"})
	got := s.work("w", "jobs", 1, 5*time.Second)
	s.nack(object{"dead": true}, got...).want(http.StatusOK)
	s.nack(object{"dead": true}, got...).want(http.StatusOK)
	s.eventually(waitTimeout, "the second dead letter is there", func() error {
		if n := len(s.fetch("jobs.dead", 0, 0, "").Records); n != 2 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	s.ack(got...).wantError(http.StatusConflict, "stale_receipt")
}

// Queues give a record no earlier than its time, nor more than a second later; all
// others see it at once.
func TestDelayedRecords(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("jobs", 1)
	s.queue("w", "jobs", nil)
	at := time.Now().Add(8 * time.Second).UnixMilli()
	s.post("/events", object{"topic": "jobs", "records": []object{{"value": "later", "deliver_at": at}, {"value": "soon", "delay_ms": 4000}, {"value": "now"}}}).want(http.StatusOK)
	seen := s.fetch("jobs", 0, 0, "").Records
	require.Len(t, seen, 3)
	assert.Equal(t, at, seen[0].DeliverAt)
	assert.Zero(t, seen[2].DeliverAt)
	for _, want := range []string{`"now"`, `"soon"`, `"later"`} {
		got := s.work("w", "jobs", 10, 20*time.Second)
		require.Len(t, got, 1, want)
		now := got[0].Delivery.Deadline - protocol.DefaultAckWaitMs // when it was given
		require.Equal(t, want, string(got[0].Value))
		if due := got[0].DeliverAt; due != 0 {
			assert.GreaterOrEqual(t, now, due)
			assert.Less(t, now, due+1000, "a worker waited")
		}
		s.ack(got...).want(http.StatusOK)
	}
	s.post("/events", object{"topic": "jobs", "value": 1, "delay_ms": 31 * 24 * 3600 * 1000}).wantError(http.StatusUnprocessableEntity, "not_allowed")
	s.post("/events", object{"topic": "jobs", "value": 1, "deliver_at": at + 31*24*3600*1000}).wantError(http.StatusUnprocessableEntity, "not_allowed")
	s.post("/events", object{"topic": "jobs", "value": 1, "delay_ms": 1, "deliver_at": at}).wantError(http.StatusBadRequest, "invalid_parameter")
	s.post("/events?topic=jobs&delay_ms=100", "raw", "Content-Type", "text/plain").want(http.StatusOK)
	require.Len(t, s.work("w", "jobs", 10, 5*time.Second), 1)
}

// With order by key, one record of a key is with a worker at a time, and they come in
// their order.
func TestQueueInOrderOfKeys(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("jobs", 1)
	s.queue("w", "jobs", object{"order": "key", "backoff_ms": []int{}, "max_deliveries": 100})
	for i := range 12 {
		s.produce("jobs", object{"key": fmt.Sprint("k", i%3), "value": i})
	}
	last := map[string]int{}
	refused := 0
	for n := 0; n < 12; {
		got := s.work("w", "jobs", 10, 5*time.Second)
		require.NotEmpty(t, got)
		var keys []string
		for _, r := range got {
			keys = append(keys, string(r.Key))
			v, err := strconv.Atoi(string(r.Value))
			require.NoError(t, err)
			if before, known := last[string(r.Key)]; known {
				require.Equal(t, before+3, v)
			}
			if refused < 5 && n%2 == 1 {
				refused++
				s.nack(nil, r).want(http.StatusOK)
				continue
			}
			s.ack(r).want(http.StatusOK)
			last[string(r.Key)] = v
			n++
		}
		slices.Sort(keys)
		require.Len(t, slices.Compact(keys), len(got), "of each key one")
	}
}

// A queue goes on where its group was, and a worker that waits is woken.
func TestGroupBecomesAQueue(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("jobs", 1)
	for i := range 3 {
		s.produce("jobs", object{"value": i})
	}
	s.get("/events?group=w&topic=jobs&consumer_id=5&max_records=2").want(http.StatusOK)
	s.delete("/groups/w/members/5").want(http.StatusNoContent)
	s.queue("w", "jobs", nil)
	got := s.work("w", "jobs", 10, 5*time.Second)
	require.Len(t, got, 1)
	require.EqualValues(t, 2, got[0].Offset)
	waited := make(chan []record)
	go func() { waited <- s.work("w", "jobs", 10, 20*time.Second) }()
	s.produce("jobs", object{"value": "new"})
	require.Len(t, <-waited, 1)
	metrics := string(s.get("/metrics").body)
	for _, name := range []string{"end", "position", "ready", "in_flight", "delayed", "dead_total", "oldest_ready_seconds"} {
		assert.Contains(t, metrics, "ottla_queue_"+name+`{cluster="default",group="w",partition="0",topic="jobs"}`)
	}
	found := false
	for p := range s.offsetsPartitions() {
		text := string(s.get(fmt.Sprintf("/topic/__consumer_offsets/partitions/%d/records?offset=0", p)).want(http.StatusOK).body)
		found = found || strings.Contains(text, `"secret":null`)
		assert.NotContains(t, text, `"secret":"`, "whoever has it can make receipts")
	}
	assert.True(t, found)
}
