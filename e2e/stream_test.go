package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stream opens an endless GET /events. It ends with the test, or by close.
func (s *server) stream(accept, path string, headers ...string) (in *bufio.Scanner, header http.Header, end func()) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*waitTimeout)
	s.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	require.NoError(s.t, err)
	req.Header.Set("Accept", accept)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := (&http.Client{}).Do(req)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = resp.Body.Close() })
	require.Equal(s.t, http.StatusOK, resp.StatusCode)
	require.Contains(s.t, resp.Header.Get("Content-Type"), accept)
	in = bufio.NewScanner(resp.Body)
	in.Buffer(nil, 1<<20)
	return in, resp.Header, cancel
}

// message is one server-sent event.
type message struct{ event, data, id string }

// nextMessage reads up to the next message that is not a rebalance.
func nextMessage(t *testing.T, in *bufio.Scanner) message {
	t.Helper()
	for {
		if m := nextEvent(t, in); m.event == "" {
			return m
		}
	}
}

// nextEvent is the next event of any kind.
func nextEvent(t *testing.T, in *bufio.Scanner) message {
	t.Helper()
	var m message
	for in.Scan() {
		name, value, _ := strings.Cut(in.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			m.event = value
		case "data":
			m.data = value
		case "id":
			m.id = value
		case "":
			if in.Text() == "" && m.data != "" {
				return m
			}
		}
	}
	require.FailNow(t, "the stream ended", "%v", in.Err())
	return m
}

func TestServerSentEvents(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("sse", 1)
	for i := range 3 {
		s.produce("sse", object{"value": i})
	}
	path := "/events?topic=sse&group=g&consumer_id=1&auto_commit=false"
	in, header, _ := s.stream("text/event-stream", path)
	assert.Equal(t, "1", header.Get("Ottla-Consumer-Id"))
	for i := range 3 {
		m := nextMessage(t, in)
		var r record
		require.NoError(t, json.Unmarshal([]byte(m.data), &r), m.data)
		assert.Equal(t, fmt.Sprint(i), string(r.Value))
	}
	s.produce("sse", object{"value": "live"})
	var live record
	require.NoError(t, json.Unmarshal([]byte(nextMessage(t, in).data), &live))
	assert.Equal(t, `"live"`, string(live.Value))
}

func TestServerSentEventsGoOnAfterTheLastID(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("sse", 1)
	for i := range 3 {
		s.produce("sse", object{"value": i})
	}
	path := "/events?topic=sse&group=g&consumer_id=1&auto_commit=false"
	in, _, end := s.stream("text/event-stream", path)
	nextMessage(t, in)
	second := nextMessage(t, in)
	require.NotEmpty(t, second.id, "every record has an id")
	end()

	again, _, _ := s.stream("text/event-stream", path, "Last-Event-ID", second.id)
	var r record
	require.NoError(t, json.Unmarshal([]byte(nextMessage(t, again).data), &r))
	assert.Equal(t, "2", string(r.Value))
}

func TestEndlessNDJSON(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("nd", 2)
	in, header, _ := s.stream("application/x-ndjson", "/events?topic=nd&group=g")
	assert.NotEmpty(t, header.Get("Ottla-Consumer-Id"))
	seen := map[string]bool{}
	for i := range 10 {
		s.produce("nd", object{"value": i})
		for in.Scan() && strings.TrimSpace(in.Text()) == "" {
		}
		var r struct {
			record
			Cursor string `json:"cursor"`
		}
		require.NoError(t, json.Unmarshal(in.Bytes(), &r), in.Text())
		assert.NotEmpty(t, r.Cursor)
		seen[string(r.Value)] = true
	}
	assert.Len(t, seen, 10)
	began := time.Now()
	s.stop()
	assert.Less(t, time.Since(began), 25*time.Second, "an endless response does not hold up the stop")
}
