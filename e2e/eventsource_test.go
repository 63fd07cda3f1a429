package e2e

import (
	"bufio"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A browser's EventSource knows nothing but the URL and the last id: it reads
// on from there, as the same consumer, without losing or repeating a record.
func TestEventSourceConnectsAgain(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"true", "false"} {
		t.Run("auto_commit="+mode, func(t *testing.T) {
			s := start(t)
			s.topic("sse", 2)
			for i := range 4 {
				s.produce("sse", object{"value": i, "partition": i % 2})
			}
			path := "/events?topic=sse&auto_commit=" + mode
			seen := map[string]int{}
			var last, consumer string
			for round := range 4 {
				var headers []string
				if last != "" {
					headers = []string{"Last-Event-ID", last}
				}
				in, header, end := s.stream("text/event-stream", path, headers...)
				if round == 0 {
					consumer = header.Get("Ottla-Consumer-Id")
				}
				assert.Equal(t, consumer, header.Get("Ottla-Consumer-Id"))
				for range 2 {
					m := nextMessage(t, in)
					var r record
					require.NoError(t, json.Unmarshal([]byte(m.data), &r), m.data)
					seen[string(r.Value)]++
					last = m.id
				}
				end()
				for i := range 2 {
					s.produce("sse", object{"value": 100 + 10*round + i, "partition": i})
				}
			}
			assert.Len(t, seen, 8)
			for value, times := range seen {
				assert.Equal(t, 1, times, value)
			}
		})
	}
}

func nextRecord(t *testing.T, in *bufio.Scanner) (r record) {
	t.Helper()
	m := nextMessage(t, in)
	require.NoError(t, json.Unmarshal([]byte(m.data), &r), m.data)
	return r
}

// After a rebalance an EventSource comes back with an id of the generation before,
// or with that of the rebalance. Both are answered, and nothing is lost: partitions
// that it still has go on behind the id.
func TestEventSourceConnectsAgainAfterARebalance(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"true", "false"} {
		t.Run("auto_commit="+mode, func(t *testing.T) {
			s := start(t)
			s.topic("sse", 2)
			for partition := range 2 {
				s.produce("sse", object{"value": "before", "partition": partition})
			}
			path := "/events?topic=sse&group=g&consumer_id=1&auto_commit=" + mode
			in, _, end := s.stream("text/event-stream", path)
			old := ""
			for range 2 {
				old = nextMessage(t, in).id
			}
			s.poll("topic=sse", "group=g", "consumer_id=2", "auto_commit=false", "timeout_ms=0", "session_timeout_ms=60000")
			rebalance := nextEvent(t, in)
			assert.Equal(t, "rebalance", rebalance.event)
			assert.JSONEq(t, `{"generation":2}`, rebalance.data)
			require.NotEmpty(t, rebalance.id)
			require.NotEqual(t, old, rebalance.id)
			end()

			mine := -1
			for _, m := range s.members("g") {
				if m.ConsumerID == 1 {
					mine = m.Assignment[0].Partition
				}
			}
			s.produce("sse", object{"value": "after", "partition": mine})
			in, _, end = s.stream("text/event-stream", path, "Last-Event-ID", old)
			again := nextEvent(t, in)
			assert.Equal(t, "rebalance", again.event, "it may have missed the first")
			r := nextRecord(t, in)
			assert.Equal(t, []any{mine, `"after"`}, []any{r.Partition, string(r.Value)}, "on from the id")
			end()

			in, _, end = s.stream("text/event-stream", path, "Last-Event-ID", rebalance.id)
			m := nextEvent(t, in)
			assert.Empty(t, m.event, "the id is of this generation")
			assert.Contains(t, m.data, "after")
			end()
		})
	}
}

// What proxies need so as not to keep a stream to themselves.
func TestStreamsPassThroughProxies(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("sse", 1)
	in, header, end := s.stream("text/event-stream", "/events?topic=sse")
	assert.Equal(t, "no", header.Get("X-Accel-Buffering"))
	require.True(t, in.Scan())
	assert.Equal(t, ": stream", in.Text(), "at once")
	end()
}
