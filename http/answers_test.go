package http

import (
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// smallBuffers is a listener whose connections buffer little of an answer in the
// kernel.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

func startSmallBuffers(t *testing.T, o Options) *harness {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return startOn(t, o, tcpListener{smallBuffers{ln}})
}

// answerBegin is all that a slowReader reads of an answer.
const answerBegin = "HTTP/1.1 "

// slowReader sends a request, and reads only the first bytes of the answer.
func (h *harness) slowReader(target string) net.Conn {
	h.t.Helper()
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if e := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
		}); e != nil {
			return e
		}
		return err
	}}
	conn, err := d.Dial("tcp", h.ln.Addr().String())
	require.NoError(h.t, err)
	h.t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\nAccept-Encoding: identity\r\n\r\n", target)
	require.NoError(h.t, err)
	begin := make([]byte, len(answerBegin))
	_, err = io.ReadFull(conn, begin)
	require.NoError(h.t, err)
	assert.Equal(h.t, answerBegin, string(begin))
	return conn
}

func (h *harness) fill(topic string, records, size int) {
	h.b.add(topic, 1)
	value := []byte(`"` + strings.Repeat("x", size) + `"`)
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	log := make([]protocol.Record, records)
	for i := range log {
		log[i] = protocol.Record{Topic: topic, Offset: protocol.Offset(i), Key: []byte("-"), Value: value}
	}
	h.b.topics[topic].partitions[0] = log
}

func TestSlowReadersShareTheMemory(t *testing.T) {
	const limit = 64 << 20
	h := startSmallBuffers(t, Options{MaxResponseBytes: limit, MaxClientBytes: limit, StallTimeout: time.Hour})
	h.fill("large", 10_000, 1000)
	h.fill("quick", 1, 10)
	const one = "/topic/large/partitions/0/records?offset=0&max_records=10000&max_bytes=10000000"
	alone := len(wantOK(t, h.do("GET", one, ""), 200)["records"].([]any))
	used := h.s.answers.Used
	var slow []net.Conn
	for i := range 300 {
		target := one
		if i%2 == 1 {
			target = fmt.Sprintf("/events?topic=large&consumer_id=%d&auto_commit=false&max_records=10000&max_bytes=10000000", i+1)
		}
		conn := h.slowReader(target)
		slow = append(slow, conn)
		// What was read fits the limit; what is rendered of it is a little larger.
		require.Less(t, used(), int64(limit*5/4))
		if i%50 == 0 {
			wantOK(t, h.do("GET", "/topic/quick/partitions/0/records?offset=0", ""), 200)
			wantOK(t, h.do("POST", "/events", `{"topic":"p","value":1}`), 200)
			wantOK(t, h.do("GET", "/topics", ""), 200)
		}
	}
	require.Greater(t, used(), int64(limit/2), "they hold what there is")
	squeezed := len(wantOK(t, h.do("GET", one, ""), 200)["records"].([]any))
	assert.Less(t, squeezed, alone/4, "an answer is smaller")
	assert.Positive(t, squeezed)
	assert.Contains(t, h.do("GET", "/metrics", "").body, "\nottla_http_response_bytes_limit 6.7108864e+07\n")

	for _, conn := range slow {
		require.NoError(t, conn.Close())
	}
	require.Eventually(t, func() bool { return used() == 0 }, patience, time.Millisecond)
	assert.Len(t, wantOK(t, h.do("GET", one, ""), 200)["records"].([]any), alone)
}

func TestReadsWithoutRoomAreRefused(t *testing.T) {
	const limit = 1 << 20
	h := startTCP(t, Options{MaxResponseBytes: limit, MaxClientBytes: limit})
	h.fill("t", 100, 1000)
	h.fill("large", 1, 100_000)
	read := func(topic string) string { return "/topic/" + topic + "/partitions/0/records?offset=0" }

	held := h.s.answers.Share()
	require.Nil(t, held.SetIfFree(h.s.answers.Open()))
	wantOK(t, h.do("GET", read("t"), ""), 200)
	wantError(t, h.do("GET", read("large"), ""), 503, "overloaded")
	held.Release()

	require.Nil(t, held.SetIfFree(limit))
	wantError(t, h.do("GET", read("t"), ""), 503, "overloaded")
	wantError(t, h.do("GET", "/events?topic=t&consumer_id=5", ""), 503, "overloaded")
	wantError(t, h.do("GET", "/events?topic=t&consumer_id=5", "", "Accept", "text/event-stream"), 503, "overloaded")
	wantError(t, h.do("GET", "/openapi.json", ""), 503, "overloaded")
	wantOK(t, h.do("GET", "/cluster", ""), 200)
	wantOK(t, h.do("GET", "/healthz", ""), 200)
	wantOK(t, h.do("POST", "/events", `{"topic":"p","value":1}`), 200)
	held.Release()

	// A read that waits holds nothing. It is refused when it has records.
	h.b.parked = make(chan struct{}, 1)
	waited := make(chan answer, 1)
	go func() { waited <- h.do("GET", "/topic/p/partitions/0/records?offset=1&timeout_ms=20000", "") }()
	<-h.b.parked
	assert.Zero(t, h.s.answers.Used())
	require.Nil(t, held.SetIfFree(limit))
	wantOK(t, h.do("POST", "/events", `{"topic":"p","value":2,"partition":0}`), 200)
	wantError(t, <-waited, 503, "overloaded")
	held.Release()
	assert.Len(t, wantOK(t, h.do("GET", "/events?topic=t&consumer_id=5", ""), 200)["records"].([]any), 100,
		"what was refused was not committed")
}

// A stream whose client does not read holds one batch, and gives it back when it
// ends.
func TestSlowStreamsShareTheMemory(t *testing.T) {
	const limit = 32 << 20
	h := startSmallBuffers(t, Options{MaxResponseBytes: limit})
	h.fill("large", 10_000, 1000)
	var slow []net.Conn
	for i := range 100 {
		conn, err := h.ln.Dial()
		require.NoError(t, err)
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "GET /events?topic=large&consumer_id=%d&max_bytes=10000000&max_records=10000 HTTP/1.1\r\nHost: a\r\nAccept: application/x-ndjson\r\n\r\n", i+1)
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 9))
		require.NoError(t, err)
		require.Less(t, h.s.answers.Used(), int64(limit*5/4))
		slow = append(slow, conn)
	}
	for _, conn := range slow {
		require.NoError(t, conn.Close())
	}
	require.Eventually(t, func() bool { return h.s.answers.Used() == 0 }, patience, time.Millisecond)
}
