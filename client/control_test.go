package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
)

// With StopOnError and one lane, the records that are written are the first ones
// that were sent, whichever way a batch fails.
func TestProducerStopsAtTheFirstFailure(t *testing.T) {
	for name, failure := range map[string]fault{
		"one record is refused": refuse(413, "record_too_large", `,"details":{"record":1}`),
		"all are refused":       refuse(422, "internal_topic", ""),
	} {
		t.Run(name, func(t *testing.T) {
			f, c := newFake(t, nil, failure)
			p := newProducer(t, c, client.ProducerConfig{StopOnError: true, Lanes: 1, BatchRecords: 3, Linger: time.Hour, RetryBackoff: time.Millisecond})
			var mu sync.Mutex
			var got []bool
			var failed []error
			for i := range 9 {
				require.NoError(t, p.Send(t.Context(), number(i), func(_ client.Ack, err error) {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, err == nil)
					if err != nil {
						failed = append(failed, err)
					}
				}))
			}
			require.NoError(t, p.Close(t.Context()))
			assert.Equal(t, []bool{true, true, true, false, false, false, false, false, false}, got)
			assert.ElementsMatch(t, []string{"0", "1", "2"}, f.values())
			for _, err := range failed {
				assert.Equal(t, failed[0], err)
			}
		})
	}
}

func TestProducerAsksBeforeItRepeats(t *testing.T) {
	f, c := newFake(t, refuse(503, "no_leader", ""), refuse(503, "starting", ""), nil)
	var asked []string
	cfg := fast
	cfg.Retry = func(err error) bool {
		var e *client.Error
		require.ErrorAs(t, err, &e)
		asked = append(asked, e.Code)
		return len(asked) < 2
	}
	p := newProducer(t, c, cfg)
	_, err := p.SendSync(t.Context(), number(1))
	var given *client.DeliveryError
	require.ErrorAs(t, err, &given)
	assert.Equal(t, []any{2, false}, []any{given.Tries, given.Unknown})
	assert.Equal(t, []string{"no_leader", "starting"}, asked)
	assert.Equal(t, 2, f.count())
	assert.Empty(t, f.values())
}

func TestErrorNamesTheRefusedRecord(t *testing.T) {
	for _, tt := range []struct {
		details map[string]any
		want    int
		ok      bool
	}{
		{map[string]any{"line": 3.0}, 2, true},
		{map[string]any{"record": 3.0}, 3, true},
		{map[string]any{"record": 0.0}, 0, true},
		{map[string]any{"line": 0.0}, 0, false},
		{map[string]any{"record": 0.5}, 0, false},
		{map[string]any{"record": -1.0}, 0, false},
		{map[string]any{"record": 1e300}, 0, false},
		{map[string]any{"record": "3"}, 0, false},
		{nil, 0, false},
	} {
		i, ok := (&client.Error{Details: tt.details}).Record()
		assert.Equal(t, []any{tt.want, tt.ok}, []any{i, ok}, "%v", tt.details)
	}
}

func TestConsumerTriesOnceAndTakesNoMoreThanItIsAskedFor(t *testing.T) {
	s, c := consume(t, records("c1", "a", "b"), records("c2"), records("c3", "c"))
	batch, err := c.TryPoll(t.Context(), 2)
	require.NoError(t, err)
	require.Len(t, batch, 2)
	assert.JSONEq(t, `{"topic":"t","partition":0,"offset":1,"timestamp":0,"key":null,"value":"b","headers":{}}`, string(batch[1].Raw()))
	batch, err = c.TryPoll(t.Context(), 0)
	require.NoError(t, err)
	assert.Empty(t, batch, "there were none for the time of one poll")
	assert.Equal(t, []string{
		"GET /events from=earliest&group=g&max_records=2",
		"GET /events ack=c1&consumer_id=9&from=earliest&group=g",
	}, s.all())
}

func TestConsumerCommitsWithoutAskingForMore(t *testing.T) {
	s, c := consume(t, records("c1", "a"), records("c2"), "204 ")
	require.NoError(t, c.Commit(t.Context()), "there is nothing yet")
	_, err := c.Poll(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.Commit(t.Context()))
	require.NoError(t, c.Commit(t.Context()))
	require.NoError(t, c.Close(t.Context()))
	assert.Equal(t, []string{
		"GET /events from=earliest&group=g",
		"GET /events ack=c1&consumer_id=9&from=earliest&group=g&max_bytes=1&max_records=1&timeout_ms=0",
		"DELETE /groups/g/members/9",
	}, s.all())
}

func TestConsumerLeavesADiscardedBatchUncommitted(t *testing.T) {
	s, c := consume(t, records("c1", "a"), "204 ")
	_, err := c.Poll(t.Context())
	require.NoError(t, err)
	c.Discard(t.Context())
	require.NoError(t, c.Close(t.Context()))
	assert.Equal(t, []string{"GET /events from=earliest&group=g", "DELETE /groups/g/members/9"}, s.all())
}

// A group of a consumer's own would stay behind when the program is killed.
func TestAConsumerNeedsAGroup(t *testing.T) {
	c, asked := answering(t, 200, "")
	_, err := c.NewConsumer(client.ConsumerConfig{Topics: []string{"t"}})
	require.ErrorContains(t, err, "OpenStream follows a topic without one")
	assert.Empty(t, *asked)
}

func TestConsumerAsksBeforeItRepeats(t *testing.T) {
	s := &script{answers: []string{"503 no_leader"}}
	server := httptest.NewServer(s)
	defer server.Close()
	conn, err := client.New(server.URL)
	require.NoError(t, err)
	tries := 0
	c, err := conn.NewConsumer(client.ConsumerConfig{
		Group: "g", Topics: []string{"t"}, RetryBackoff: time.Millisecond,
		Retry: func(error) bool { tries++; return tries < 3 },
	})
	require.NoError(t, err)
	_, err = c.Poll(t.Context())
	var e *client.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "no_leader", e.Code)
	assert.Len(t, s.all(), 3)
}

func TestDoSendsWhatItIsGiven(t *testing.T) {
	c, asked := answering(t, 200, `{"n": 1.50}`)
	answer, err := c.Do(t.Context(), http.MethodPatch, "/topic/a%2Fb", map[string][]string{"cluster": {"c"}}, []byte(`{"retention_ms":-1}`))
	require.NoError(t, err)
	assert.Equal(t, `{"n": 1.50}`, string(answer), "byte for byte")
	assert.Equal(t, `PATCH /topic/a%2Fb?cluster=c {"retention_ms":-1}`, strings.TrimSpace(*asked))

	c, _ = answering(t, 204, "")
	answer, err = c.Do(t.Context(), http.MethodDelete, "/topic/t", nil, nil)
	require.NoError(t, err)
	assert.Empty(t, answer)
}

func TestTokensAreShown(t *testing.T) {
	var shown []string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		shown = append(shown, r.Header.Get("Authorization"))
	}))
	defer s.Close()
	for _, token := range []string{"ottla_x", ""} {
		c, err := client.New(s.URL, client.WithToken(token))
		require.NoError(t, err)
		_, err = c.Do(t.Context(), http.MethodGet, "/topic", nil, nil)
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"Bearer ottla_x", ""}, shown)
}

func TestFailuresAreTold(t *testing.T) {
	c, _ := answering(t, 502, "<html>")
	_, err := c.Do(t.Context(), http.MethodGet, "/topic", nil, nil)
	var e *client.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, []any{client.CodeHTTPStatus, 502, true}, []any{e.Code, e.Status, e.Retriable})

	c, _ = answering(t, 200, `<html>`)
	_, err = c.Topics(t.Context(), "")
	require.ErrorIs(t, err, client.ErrGarbled)
	_, err = c.Poll(t.Context(), client.PollRequest{Topics: []string{"t"}})
	require.ErrorIs(t, err, client.ErrGarbled)

	gone := httptest.NewServer(nil)
	gone.Close()
	c, err = client.New(gone.URL)
	require.NoError(t, err)
	_, err = c.Topics(t.Context(), "")
	var lost *client.TransportError
	require.ErrorAs(t, err, &lost)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Topics(ctx, "")
	require.ErrorIs(t, err, context.Canceled)
	assert.NotErrorIs(t, errors.Unwrap(err), client.ErrGarbled)
}
