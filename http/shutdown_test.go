package http

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stages are requests as far as their clients have sent them.
var stages = map[string]string{
	"request line":   "POST /ev",
	"header":         "POST /events HTTP/1.1\r\nHost: a\r\nX-Y:",
	"large header":   "POST /events HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 8<<10),
	"body":           postHead + "Content-Length: 100\r\n\r\n{",
	"large body":     postHead + "Content-Length: 1000000\r\n\r\n{" + strings.Repeat(" ", 200<<10),
	"chunk size":     postHead + "Transfer-Encoding: chunked\r\n\r\n5",
	"chunk":          postHead + "Transfer-Encoding: chunked\r\n\r\n5\r\n{",
	"after a chunk":  postHead + "Transfer-Encoding: chunked\r\n\r\n1\r\n{",
	"trailer":        postHead + "Transfer-Encoding: chunked\r\n\r\n0\r\nX:",
	"refused body":   postHead + "Content-Length: 3000000\r\n\r\n{",
	"expected body":  postHead + "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
	"second request": healthz + "GET /hea",
}

// A shutdown does not wait for requests that do not arrive, nor for answers that
// clients do not read. Reads that wait are answered.
func TestShutdownWithHalfReadRequests(t *testing.T) {
	h := startTCP(t, Options{MaxBodyBytes: 1 << 20})
	h.fill("large", 10_000, 1000)
	h.b.add("t", 1)
	h.b.parked = make(chan struct{}, 2)
	conns := map[string]net.Conn{}
	conn, err := h.ln.Dial()
	require.NoError(t, err)
	defer conn.Close()
	conns["nothing"] = conn
	require.Eventually(t, func() bool { open, active := h.open(); return open == 1 && active == 0 }, patience, time.Millisecond)
	for name, text := range stages {
		conn, err := h.ln.Dial()
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte(text))
		require.NoError(t, err)
		conns[name] = conn
	}
	h.slowReader("/topic/large/partitions/0/records?offset=0&max_records=10000&max_bytes=10000000")
	for i, target := range []string{"/events?topic=t&timeout_ms=30000", "/topic/t/partitions/0/records?timeout_ms=30000"} {
		conn, err := h.ln.Dial()
		require.NoError(t, err)
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target)
		require.NoError(t, err)
		conns[fmt.Sprintf("parked %d", i)] = conn
		<-h.b.parked
	}
	require.Eventually(t, func() bool { _, active := h.open(); return active == len(conns) }, patience, time.Millisecond,
		"all but one, and the slow reader")
	ctx, cancel := context.WithTimeout(context.Background(), 12*time.Second)
	defer cancel()
	assert.NoError(t, h.s.Shutdown(ctx), "everything has ended in time")
	for name, conn := range conns {
		require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		r := bufio.NewReader(conn)
		switch name {
		case "nothing":
			_, err := r.ReadByte()
			assert.Error(t, err)
		case "expected body":
			assert.Equal(t, 100, readAnswer(t, r).status)
			wantError(t, readAnswer(t, r), 503, "shutting_down")
		case "second request":
			assert.Equal(t, 200, readAnswer(t, r).status)
			wantError(t, readAnswer(t, r), 503, "shutting_down")
		case "refused body":
			wantError(t, readAnswer(t, r), 413, "body_too_large")
		default:
			a := readAnswer(t, r)
			assert.True(t, a.close, name)
			if strings.HasPrefix(name, "parked") {
				assert.Equal(t, 200, a.status, name)
				continue
			}
			wantError(t, a, 503, "shutting_down")
		}
	}
}

// open returns how many connections are open, and how many of them have a request
// or a part of one.
func (h *harness) open() (open, active int) { return h.s.conns.Connections() }

// A server that is shut down before it has begun to serve never does.
func TestShutdownBeforeServe(t *testing.T) {
	for _, when := range []string{"before", "during"} {
		t.Run(when, func(t *testing.T) {
			s := New(newFake(), Options{Logger: slog.New(slog.DiscardHandler)})
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer ln.Close()
			if when == "before" {
				require.NoError(t, s.Shutdown(t.Context()))
			}
			served := make(chan error, 1)
			go func() { served <- s.Serve(ln) }()
			if when == "during" {
				require.NoError(t, s.Shutdown(t.Context()))
			}
			select {
			case err := <-served:
				assert.NoError(t, err)
			case <-time.After(patience):
				assert.Fail(t, "it serves although it was shut down")
			}
		})
	}
}
