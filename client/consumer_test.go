package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
	"ottla/protocol"
)

// script answers requests one after the other and records them. The last answer is
// repeated.
type script struct {
	mu      sync.Mutex
	asked   []string
	answers []string // "status body"
}

// all are the requests so far.
func (s *script) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	q := r.URL.Query()
	q.Del("auto_commit")
	q.Del("topic")
	sent, _ := io.ReadAll(r.Body)
	s.asked = append(s.asked, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+q.Encode()+" "+string(sent)))
	answer := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	s.mu.Unlock()
	status, body, _ := strings.Cut(answer, " ")
	switch status {
	case "200":
		fmt.Fprint(w, body)
	case "204":
		w.WriteHeader(http.StatusNoContent)
	case "lost":
		panic(http.ErrAbortHandler)
	default:
		if body == "stale_generation" {
			w.WriteHeader(http.StatusConflict)
			fmt.Fprintf(w, `{"error_code":%d,"code":"stale_generation","outcome":"none"}`, protocol.CodeStaleGeneration.Number)
			return
		}
		writeError(w, int(status[0]-'0')*100+int(status[1]-'0')*10+int(status[2]-'0'), body, "")
	}
}

func records(cursor string, values ...string) string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = fmt.Sprintf(`{"topic":"t","partition":0,"offset":%d,"timestamp":0,"key":null,"value":%q,"headers":{}}`, i, v)
	}
	return fmt.Sprintf(`200 {"consumer_id":9,"group":"g","generation":1,"records":[%s],"cursor":%q,"timed_out":%t}`,
		strings.Join(list, ","), cursor, len(values) == 0)
}

func consume(t *testing.T, answers ...string) (*script, *client.Consumer) {
	s := &script{answers: answers}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL)
	require.NoError(t, err)
	consumer, err := c.NewConsumer(client.ConsumerConfig{
		Group: "g", Topics: []string{"t"}, From: "earliest", RetryBackoff: time.Millisecond,
	})
	require.NoError(t, err)
	return s, consumer
}

func TestConsumerAcknowledgesABatchWithTheNextPoll(t *testing.T) {
	s, c := consume(t, records("c1", "a", "b"), records("c2"), records("c3", "c"), records("c4"), "204 ")
	batch, err := c.Poll(t.Context())
	require.NoError(t, err)
	assert.Len(t, batch, 2)
	assert.Equal(t, int64(9), c.ID())
	batch, err = c.Poll(t.Context())
	require.NoError(t, err)
	require.Len(t, batch, 1)
	assert.Equal(t, "c", batch[0].Value.String())
	require.NoError(t, c.Close(t.Context()))
	assert.Equal(t, []string{
		"GET /events from=earliest&group=g",
		"GET /events ack=c1&consumer_id=9&from=earliest&group=g",
		"GET /events ack=c2&consumer_id=9&from=earliest&group=g",
		"GET /events ack=c3&consumer_id=9&from=earliest&group=g&max_bytes=1&max_records=1&timeout_ms=0",
		"DELETE /groups/g/members/9",
	}, s.asked)
	_, err = c.Poll(t.Context())
	require.ErrorIs(t, err, client.ErrClosed)
	require.NoError(t, c.Close(t.Context()))
}

func TestConsumerWaitsFailuresOutAndKeepsItsCursor(t *testing.T) {
	s, c := consume(t, records("c1", "a"), "503 no_leader", "lost ", "429 overloaded", records("c2", "b"))
	for range 2 {
		_, err := c.Poll(t.Context())
		require.NoError(t, err)
	}
	require.Len(t, s.asked, 5)
	for _, asked := range s.asked[1:] {
		assert.Contains(t, asked, "ack=c1")
	}
}

// A partition below its log start is told of, while others are delivered.
func TestConsumerTellsOfGaps(t *testing.T) {
	answer := strings.Replace(records("c1", "a"), `"cursor"`, `"out_of_range":[{"topic":"t","partition":1,"asked":3,"earliest":10,"latest":12}],"cursor"`, 1)
	s := &script{answers: []string{answer}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL)
	require.NoError(t, err)
	var gaps []protocol.Gap
	consumer, err := c.NewConsumer(client.ConsumerConfig{Group: "g", Topics: []string{"t"}, OutOfRange: func(g protocol.Gap) { gaps = append(gaps, g) }})
	require.NoError(t, err)
	batch, err := consumer.Poll(t.Context())
	require.NoError(t, err)
	assert.Len(t, batch, 1)
	assert.Equal(t, []protocol.Gap{{Topic: "t", Partition: 1, Asked: 3, Earliest: 10, Latest: 12}}, gaps)
}

// Heartbeats renew the lease, and none of them runs too late.
func TestConsumerGivesSignsOfLifeWhileABatchIsProcessed(t *testing.T) {
	s := &script{answers: []string{records("c1", "a"), records("c9", "a"), "503 no_leader", records("c9", "a")}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL)
	require.NoError(t, err)
	consumer, err := c.NewConsumer(client.ConsumerConfig{Group: "g", Topics: []string{"t"}, SessionTimeout: 30 * time.Millisecond})
	require.NoError(t, err)
	_, err = consumer.Poll(t.Context())
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(s.all()) > 4 }, time.Minute, time.Millisecond)
	_, err = consumer.Poll(t.Context())
	require.NoError(t, err)
	require.NoError(t, consumer.Close(t.Context()))
	asked := s.all()
	n := len(asked)
	for _, sign := range asked[1:5] {
		assert.Equal(t, "POST /groups/g/members/9/heartbeat  {}", sign)
	}
	assert.Equal(t, "DELETE /groups/g/members/9", asked[n-1])
	assert.Contains(t, asked[n-2], "ack=c9")
	assert.Contains(t, strings.Join(asked, "\n"), "ack=c1")
}

// After a rebalance the cursor is not accepted. The batch is committed by offsets on
// partitions that the consumer still owns.
func TestConsumerCommitsByOffsetsAfterARebalance(t *testing.T) {
	const two = `200 {"consumer_id":9,"group":"g","generation":1,"records":[` +
		`{"topic":"t","partition":0,"offset":7,"timestamp":0,"key":null,"value":1,"headers":{}},` +
		`{"topic":"t","partition":1,"offset":3,"timestamp":0,"key":null,"value":1,"headers":{}},` +
		`{"topic":"t","partition":0,"offset":8,"timestamp":0,"key":null,"value":1,"headers":{}}],"cursor":"c1","timed_out":false}`
	stale := "409 stale_generation"
	for name, c := range map[string]struct {
		answers []string
		closing string // an error of Close
	}{
		"both stayed": {answers: []string{two, stale, "200 {}", "200 {}", records("c2", "b"), stale, "200 {}", "204 "}},
		"one moved":   {answers: []string{two, stale, "200 {}", stale, records("c2", "b"), stale, stale, "204 "}, closing: "others will get the rest"},
		"a passing failure": {answers: []string{
			two, stale, "200 {}", "503 no_leader", stale, "200 {}", "200 {}", records("c2", "b"), stale, "503 no_leader", stale, "200 {}", "204 ",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, consumer := consume(t, c.answers...)
			for range 2 {
				_, err := consumer.Poll(t.Context())
				require.NoError(t, err)
			}
			err := consumer.Close(t.Context())
			if c.closing == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.closing)
			}
			asked := s.all()
			assert.Equal(t, `POST /offset  {"group":"g","consumer_id":9,"offsets":[{"topic":"t","partition":0,"offset":9}]}`, asked[2])
			assert.Equal(t, `POST /offset  {"group":"g","consumer_id":9,"offsets":[{"topic":"t","partition":1,"offset":4}]}`, asked[3])
			assert.Len(t, asked, len(c.answers))
		})
	}
}

func TestConsumerThatLostItsPlaceStartsFromWhatIsCommitted(t *testing.T) {
	s := &script{answers: []string{records("c1", "a"), "", records("c2", "a")}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.RawQuery, "ack=c1") {
			w.WriteHeader(409)
			fmt.Fprint(w, `{"error_code":40905,"code":"stale_generation","retriable":false,"outcome":"none"}`)
			s.mu.Lock()
			s.answers = s.answers[1:]
			s.mu.Unlock()
			return
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c, err := client.New(server.URL)
	require.NoError(t, err)
	consumer, err := c.NewConsumer(client.ConsumerConfig{Group: "g", Topics: []string{"t"}, RetryBackoff: time.Millisecond})
	require.NoError(t, err)
	for range 2 {
		batch, err := consumer.Poll(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "a", batch[0].Value.String())
	}
}

func TestRunLeavesABatchThatFailedUncommitted(t *testing.T) {
	s, c := consume(t, records("c1", "a"), records("c2", "b"), "204 ")
	bad := errors.New("bad")
	err := c.Run(t.Context(), func(_ context.Context, batch []client.Message) error {
		if batch[0].Value.String() == "b" {
			return bad
		}
		return nil
	})
	require.ErrorIs(t, err, bad)
	require.NoError(t, c.Close(t.Context()))
	assert.Equal(t, []string{
		"GET /events from=earliest&group=g",
		"GET /events ack=c1&consumer_id=9&from=earliest&group=g",
		"DELETE /groups/g/members/9",
	}, s.asked)
}

func TestConsumerEndsWithItsContextAndOnWhatNobodyCures(t *testing.T) {
	_, c := consume(t, "503 starting")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Poll(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, c.Close(t.Context()), "it never joined")

	_, c = consume(t, "416 offset_out_of_range")
	_, err = c.Poll(t.Context())
	var e *client.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, 416, e.Status)
}
