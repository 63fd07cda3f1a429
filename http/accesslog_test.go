package http

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lineChannel is where a test's log goes, a line a message.
type lineChannel chan map[string]any

func (c lineChannel) Write(line []byte) (int, error) {
	var v map[string]any
	if err := json.Unmarshal(line, &v); err != nil {
		return 0, err
	}
	v["text"] = string(line)
	c <- v
	return len(line), nil
}

func (c lineChannel) next(t *testing.T) map[string]any {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "no line was logged")
		return nil
	}
}

func startLogging(t *testing.T) (*harness, lineChannel) {
	lines := make(lineChannel, 100)
	return startTCP(t, Options{Requests: slog.New(slog.NewJSONHandler(lines, nil)), Heartbeat: 5 * time.Millisecond}), lines
}

func TestEveryRequestIsLoggedOnce(t *testing.T) {
	h, lines := startLogging(t)
	body := `{"topic":"t","value":"hunter2"}`
	tests := []struct {
		name, method, target, body string
		headers                    []string
		route                      string
		status                     int
		code                       any
	}{
		{"success", "POST", "/events?acks=all", body, []string{"X-Request-Id", "mine"}, "/events", 200, nil},
		{"refused", "POST", "/events?secret=hunter2", body, nil, "/events", 400, "unknown_parameter"},
		{"parameter in the path", "GET", "/topic/hunter2", "", []string{"Authorization", "hunter2"}, "/topic/{topic}", 200, nil},
		{"no such route", "GET", "/hunter2?token=hunter2", "", nil, "", 404, "route_not_found"},
		{"method not allowed", "PUT", "/events", "hunter2", nil, "", 405, "method_not_allowed"},
		{"no body", "OPTIONS", "/events", "", nil, "", 204, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := h.do(tt.method, tt.target, tt.body, tt.headers...)
			line := lines.next(t)
			assert.Empty(t, lines)
			assert.Equal(t, tt.status, a.status, a.body)
			assert.Equal(t, "request", line["msg"])
			assert.Equal(t, a.header.Get(requestIDHeader), line["request_id"])
			assert.Equal(t, tt.method, line["method"])
			assert.Equal(t, tt.route, line["route"])
			assert.EqualValues(t, tt.status, line["status"])
			assert.EqualValues(t, len(tt.body), line["bytes_in"])
			assert.EqualValues(t, len(a.body), line["bytes_out"])
			assert.Equal(t, tt.code, line["code"])
			assert.Regexp(t, `^127\.0\.0\.1:\d+$`, line["remote"])
			assert.GreaterOrEqual(t, line["duration_ms"], 0.0)
			assert.NotContains(t, line["text"], "hunter2", "what was asked or sent does not belong into a log")
		})
	}
}

func TestWhatNeverBecameARequestIsLogged(t *testing.T) {
	h, lines := startLogging(t)
	for _, c := range []struct {
		request string
		status  int
		code    string
	}{
		{"nonsense hunter2\r\n\r\n", 400, "malformed"},
		{"POST /events HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n", 413, "body_too_large"},
	} {
		a := h.raw(c.request)
		line := lines.next(t)
		assert.Equal(t, c.status, a.status)
		assert.EqualValues(t, c.status, line["status"])
		assert.Equal(t, c.code, line["code"])
		assert.Equal(t, a.header.Get(requestIDHeader), line["request_id"])
		assert.NotContains(t, line["text"], "hunter2")
	}
	conn, err := h.ln.Dial()
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	h.do("GET", "/healthz", "")
	assert.Equal(t, "/healthz", lines.next(t)["route"], "a connection without a request is none")
}

func TestAStreamIsLoggedWhenItEnds(t *testing.T) {
	h, lines := startLogging(t)
	h.b.add("t", 1)
	h.send(0)
	assert.Equal(t, "/events", lines.next(t)["route"])
	resp, next := h.follow("/events?topic=t", "text/event-stream")
	first := next()
	assert.True(t, strings.HasPrefix(first, "data: "), first)
	assert.Empty(t, lines, "it goes on")
	require.NoError(t, resp.Body.Close())
	line := lines.next(t)
	assert.EqualValues(t, 200, line["status"])
	assert.Greater(t, line["bytes_out"], 20.0)
	assert.Equal(t, resp.Header.Get(requestIDHeader), line["request_id"])
}

// BenchmarkRequestLog is what a logged request costs beyond one that is not.
func BenchmarkRequestLog(b *testing.B) {
	var sink bytes.Buffer
	var mu sync.Mutex
	s := &Server{o: Options{Requests: slog.New(slog.NewJSONHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		sink.Reset()
		return sink.Write(p)
	}), nil))}}
	a := answered{
		began: time.Now(), requestID: "abcdef012345-1", method: "POST", route: "/events", status: 200,
		in: 130, out: 92, remote: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4321},
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.logAnswered(&a)
		}
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
