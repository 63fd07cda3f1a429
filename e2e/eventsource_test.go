package e2e

import (
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
