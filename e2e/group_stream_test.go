package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nextValue reads the next record of a stream of either kind.
func nextValue(t *testing.T, accept string, in *bufio.Scanner) (value, id string) {
	t.Helper()
	var r struct {
		record
		Cursor string `json:"cursor"`
	}
	if accept == "text/event-stream" {
		m := nextMessage(t, in)
		require.NoError(t, json.Unmarshal([]byte(m.data), &r), m.data)
		return string(r.Value), m.id
	}
	require.True(t, in.Scan(), "the stream ended: %v", in.Err())
	require.NoError(t, json.Unmarshal(in.Bytes(), &r), in.Text())
	return string(r.Value), r.Cursor
}

// A client that breaks off anywhere and comes back with the last id it has
// seen gets every record once, in both modes, also when it broke off in the
// middle of what the server had committed already.
func TestStreamsResumeWithoutLossOrDuplicates(t *testing.T) {
	t.Parallel()
	for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
		for _, auto := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s auto_commit=%v", accept, auto), func(t *testing.T) {
				t.Parallel()
				s := start(t)
				s.topic("r", 3)
				all := s.produceAll("r", "v", 120)
				path := fmt.Sprintf("/events?topic=r&group=g&max_records=20&auto_commit=%v", auto)
				seen := map[string]int{}
				last := ""
				for len(seen) < len(all) {
					var headers []string
					if last != "" {
						headers = []string{"Last-Event-ID", last}
					}
					in, _, end := s.stream(accept, path, headers...)
					for range min(13, len(all)-len(seen)) {
						var v string
						v, last = nextValue(t, accept, in)
						require.NotEmpty(t, last)
						seen[v]++
						require.Equal(t, 1, seen[v], "%s came twice", v)
					}
					end()
				}
				assert.Len(t, s.members("g"), 1, "always the same consumer")
			})
		}
	}
}

// A rebalance is told at once, and costs a stream nothing that it keeps.
func TestStreamsGoOnOverARebalance(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("rb", 2)
	first := s.produceAll("rb", "a", 20)
	in, _, _ := s.stream("text/event-stream", "/events?topic=rb&group=g&consumer_id=1&auto_commit=false")
	seen := map[string]int{}
	for range first {
		v, _ := nextValue(t, "text/event-stream", in)
		seen[v]++
	}
	began, elections := time.Now(), s.metric("ottla_elections_total")
	other := s.poll("topic=rb", "group=g", "consumer_id=2", "auto_commit=false", "timeout_ms=0")
	for in.Scan() && in.Text() != "event: rebalance" {
	}
	require.True(t, in.Scan())
	assert.Equal(t, fmt.Sprintf(`data: {"generation":%d}`, other.Generation), in.Text())
	assert.Less(t, time.Since(began), 15*time.Second, "told at once, not with the next record")
	var kept int
	for name, id := range s.owners("g") {
		if id == 1 {
			kept, _ = strconv.Atoi(strings.TrimPrefix(name, "rb-"))
		}
	}
	s.produce("rb", object{"value": "after", "partition": kept})
	v, _ := nextValue(t, "text/event-stream", in)
	if v != `"after"` && s.metric("ottla_elections_total") != elections {
		t.Skip("the group has another coordinator, which knows less of its members: what is not committed comes again")
	}
	assert.Equal(t, `"after"`, v, "what stayed is not delivered again, although nothing is committed")
}

// A consumer that opens another stream reads there; the older one ends.
func TestANewerStreamOfAConsumerEndsTheOlder(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("one", 1)
	older, _, _ := s.stream("application/x-ndjson", "/events?topic=one&group=g&consumer_id=5")
	newer, _, _ := s.stream("application/x-ndjson", "/events?topic=one&group=g&consumer_id=5")
	assert.False(t, older.Scan(), "%s", older.Text())
	require.NoError(t, older.Err())
	s.produce("one", object{"value": 1})
	v, _ := nextValue(t, "application/x-ndjson", newer)
	assert.Equal(t, "1", v)
}

// A stream whose client stopped reading holds at most one batch in memory,
// and does not keep others from theirs.
func TestASlowStreamCostsLittle(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("slow", 1)
	value := strings.Repeat("x", 100_000)
	for range 15 {
		var records []object
		for range 100 {
			records = append(records, object{"value": value})
		}
		s.post("/events", object{"topic": "slow", "records": records}).want(http.StatusOK)
	}
	before := s.rss()
	for i := range 10 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
		require.NoError(t, err)
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "GET /events?topic=slow&group=g%d&max_bytes=1000000 HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n", i)
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 100))
		require.NoError(t, err)
	}
	s.topic("quick", 1)
	for i := range 20 {
		s.produce("quick", object{"value": i})
		began := time.Now()
		require.Len(t, s.poll("topic=quick", "group=quick", "consumer_id=99").Records, 1)
		require.Less(t, time.Since(began), 15*time.Second, "other clients are served")
	}
	assert.Less(t, s.rss()-before, int64(150<<20), "10 streams of 150 MB each that nobody reads")
}

// rss is the memory of the server's process in bytes.
func (s *server) rss() int64 {
	s.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.cmd.Process.Pid))
	require.NoError(s.t, err)
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	require.NoError(s.t, err)
	return pages * int64(os.Getpagesize())
}

// The share of a client whose connection has ended is free after two seconds, although
// its session is a minute: whether it had a stream, or waited in a poll.
func TestTheShareOfAClientThatLeft(t *testing.T) {
	t.Parallel()
	for name, accept := range map[string]string{"stream": "text/event-stream", "poll": "application/json"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.topic("left", 1)
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
			require.NoError(t, err)
			defer conn.Close()
			_, err = fmt.Fprintf(conn, "GET /events?topic=left&group=g&consumer_id=1&session_timeout_ms=60000&timeout_ms=30000 HTTP/1.1\r\nHost: localhost\r\nAccept: %s\r\n\r\n", accept)
			require.NoError(t, err)
			require.Eventually(t, func() bool { return len(s.owners("g")) == 1 }, time.Minute, 10*time.Millisecond)
			s.produce("left", object{"value": "first"})
			_, err = bufio.NewReader(conn).ReadString('}')
			require.NoError(t, err)
			if name == "poll" { // another one, which waits
				_, err = fmt.Fprint(conn, "GET /events?topic=left&group=g&consumer_id=1&session_timeout_ms=60000&timeout_ms=30000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
				require.NoError(t, err)
				require.Eventually(t, func() bool {
					return strings.Contains(string(s.get("/metrics").body), "\nottla_http_parked_polls 1\n")
				}, time.Minute, 10*time.Millisecond)
			}
			require.NoError(t, conn.Close())
			require.Eventually(t, func() bool { // else it is given the second record, too, which is committed then
				return strings.Contains(string(s.get("/metrics").body), "\nottla_http_parked_polls 0\n")
			}, 15*time.Second, 10*time.Millisecond, "a stream looks every five seconds; the rest is for a slow machine")
			s.produce("left", object{"value": "second"})
			began := time.Now()
			var got []record
			for len(got) == 0 && time.Since(began) < time.Minute {
				got = s.poll("topic=left", "group=g", "consumer_id=2", "timeout_ms=1000").Records
			}
			require.NotEmpty(t, got)
			assert.Less(t, time.Since(began), 12*time.Second, "two seconds, and what a slow machine needs")
		})
	}
}
