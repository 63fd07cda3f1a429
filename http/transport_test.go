package http

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp/fasthttputil"

	"ottla/protocol"
)

func TestMalformedTransport(t *testing.T) {
	h := start(t, Options{})
	body := `{"topic":"t","value":1}`
	for name, c := range map[string]struct{ request, code string }{
		"length and chunks": {"POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "malformed"},
		"two lengths":       {"POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "malformed"},
		"length a word":     {"POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", "malformed"},
		"length negative":   {"POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", "malformed"},
		"other encoding":    {"POST /events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "malformed"},
		"space in a name":   {"POST /events HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", "malformed"},
		"bad chunk":         {"POST /events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed"},
		"not HTTP":          {"hello\r\n\r\n", "malformed"},
		"long header":       {"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 40<<10) + "\r\n\r\n", "limit_exceeded"},
		"long target":       {"GET /" + strings.Repeat("x", 40<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", "limit_exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := h.ln.Dial()
			require.NoError(t, err)
			defer conn.Close()
			_, err = conn.Write([]byte(c.request + "POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 23\r\n\r\n" + body))
			require.NoError(t, err)
			r := bufio.NewReader(conn)
			a := readAnswer(t, r)
			wantError(t, a, 400, c.code)
			_, err = r.ReadByte()
			assert.Equal(t, io.EOF, err, "the connection must be closed, and nothing after it looked at")
		})
	}
	assert.Empty(t, h.b.reqs)
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	h := start(t, Options{})
	conn, err := h.ln.Dial()
	require.NoError(t, err)
	defer conn.Close()
	one := "POST /events HTTP/1.1\r\nHost: a\r\nX-Request-Id: r%d\r\n%s"
	long := strings.Repeat("x", 20<<10)
	_, err = fmt.Fprintf(conn, one+one+one,
		0, "Content-Length: 13\r\n\r\n"+`{"topic":"t"}`,
		1, fmt.Sprintf("Content-Length: %d\r\n\r\n", len(long)+24)+`{"topic":"t","value":"`+long+`"}`,
		2, "Transfer-Encoding: chunked\r\n\r\n6\r\n{\"topi\r\n7\r\nc\":\"t\"}\r\n0\r\n\r\n")
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	for i := range 3 {
		a := readAnswer(t, r)
		assert.Equal(t, 200, a.status, a.body)
		assert.Equal(t, fmt.Sprintf("r%d", i), a.header.Get(requestIDHeader))
	}
}

func TestRequestIDs(t *testing.T) {
	h := start(t, Options{})
	assert.Equal(t, "My.id_1-x", h.do("GET", "/healthz", "", requestIDHeader, "My.id_1-x").header.Get(requestIDHeader))
	seen := map[string]bool{}
	for _, id := range []string{"", "a b", "a\"b", "é", strings.Repeat("x", 129)} {
		got := h.do("GET", "/healthz", "", requestIDHeader, id).header.Get(requestIDHeader)
		assert.True(t, saneRequestID([]byte(got)))
		assert.NotEqual(t, id, got)
		assert.False(t, seen[got])
		seen[got] = true
	}
}

func TestPanicsCostOneRequest(t *testing.T) {
	log, text := logged()
	h := start(t, Options{Logger: log})
	h.b.poll = func(*protocol.PollRequest, <-chan struct{}) (*protocol.PollReply, *protocol.Error) { panic("secret") }
	conn, err := h.ln.Dial()
	require.NoError(t, err)
	defer conn.Close()
	r := bufio.NewReader(conn)
	for range 2 {
		_, err = conn.Write([]byte("GET /events?topic=t HTTP/1.1\r\nHost: a\r\n\r\n"))
		require.NoError(t, err)
		a := readAnswer(t, r)
		e := wantError(t, a, 500, "internal")
		assert.Equal(t, "unknown", e["outcome"])
		assert.NotContains(t, a.body, "secret")
	}
	assert.Contains(t, text.String(), "secret")
}

func TestBodyLimits(t *testing.T) {
	h := start(t, Options{MaxBodyBytes: 1000})
	fits := `{"topic":"t","value":"` + strings.Repeat("x", 976) + `"}`
	chunked := func(body string) string {
		return fmt.Sprintf("POST /events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	}
	require.Len(t, fits, 1000)
	wantOK(t, h.do("POST", "/events", fits), 200)
	wantOK(t, h.raw(chunked(fits)), 200)
	for name, a := range map[string]answer{
		"length":  h.do("POST", "/events", fits+" "),
		"chunked": h.raw(chunked(fits + " ")),
		"expect":  h.raw("POST /events HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n"),
		"huge":    h.raw("POST /events HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n"),
		"gzip":    h.do("POST", "/events", zipped(t, fits+" "), "Content-Encoding", "gzip"),
		"zstd":    h.do("POST", "/events", zstandard(t, fits+" "), "Content-Encoding", "zstd"),
	} {
		t.Run(name, func(t *testing.T) {
			e := wantError(t, a, 413, "body_too_large")
			assert.Equal(t, map[string]any{"limit": 1000.0}, e["details"])
		})
	}
}

// A client that sends all of an oversized body before it reads gets its
// answer, and not a reset connection.
func TestOversizedBodiesAreAnswered(t *testing.T) {
	h := startTCP(t, Options{MaxBodyBytes: 1 << 20})
	for _, kind := range []string{"text/plain", "application/json"} {
		wantError(t, h.do("POST", "/events?topic=t", strings.Repeat("x", 3<<20), "Content-Type", kind), 413, "body_too_large")
	}
}

func TestBodyThatBreaksOff(t *testing.T) {
	h := start(t, Options{ReadTimeout: 50 * time.Millisecond})
	for name, request := range map[string]string{
		"short":      "POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{",
		"long":       "POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 20000),
		"chunked":    "POST /events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"the header": "POST /events HTTP/1.1\r\nHost: a\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, h.raw(request), 400, "malformed")
		})
	}
}

func zipped(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(s))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

func zstandard(t *testing.T, s string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	return string(w.EncodeAll([]byte(s), nil))
}

func TestCompressedBodies(t *testing.T) {
	h := start(t, Options{})
	body := `{"topic":"t","value":"` + strings.Repeat("x", 100_000) + `"}`
	for range 3 { // the decoders are reused
		wantOK(t, h.do("POST", "/events", zipped(t, body), "Content-Encoding", "gzip"), 200)
		wantOK(t, h.do("POST", "/events", zipped(t, body), "Content-Encoding", "X-GZIP"), 200)
		wantOK(t, h.do("POST", "/events", zstandard(t, body), "Content-Encoding", "zstd"), 200)
		wantOK(t, h.do("POST", "/events", body, "Content-Encoding", "identity"), 200)
		cut := zipped(t, body)
		wantError(t, h.do("POST", "/events", cut[:len(cut)-9], "Content-Encoding", "gzip"), 400, "malformed")
		wantError(t, h.do("POST", "/events", "not gzip", "Content-Encoding", "gzip"), 400, "malformed")
		cut = zstandard(t, body)
		wantError(t, h.do("POST", "/events", cut[:len(cut)-5], "Content-Encoding", "zstd"), 400, "malformed")
		wantError(t, h.do("POST", "/events", "not zstd", "Content-Encoding", "zstd"), 400, "malformed")
	}
	bomb := zipped(t, strings.Repeat("\x00", 64<<20))
	require.Less(t, len(bomb), 100<<10)
	wantError(t, h.do("POST", "/events", bomb, "Content-Encoding", "gzip"), 413, "body_too_large")
}

// A body that breaks off in the header of a second member is not whole.
func TestGzipMembers(t *testing.T) {
	h := start(t, Options{})
	gz := func(text string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Name = "name"
		_, err := io.WriteString(w, text)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return b.String()
	}
	const begin, end = `{"topic":"t",`, `"value":1}`
	send := func(body string) answer {
		return h.do("POST", "/events", body, "Content-Type", "application/json", "Content-Encoding", "gzip")
	}
	wantOK(t, send(gz(begin)+gz(end)), 200)
	wantOK(t, send(gz("")+gz(begin+end)+gz("")), 200)
	whole, second := gz(begin+end), gz("")
	for cut := 1; cut < len(second); cut++ {
		wantError(t, send(whole+second[:cut]), 400, "malformed")
	}
	wantError(t, send(whole+"\x00"), 400, "malformed")
}

func TestCompressedAnswers(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	value := strings.Repeat("0123456789", 500)
	wantOK(t, h.do("POST", "/events", `{"topic":"t","value":"`+value+`"}`), 200)
	const target = "/topic/t/partitions/0/records"
	plain := h.do("GET", target, "")
	assert.Contains(t, plain.body, value)
	for accept, want := range map[string]string{
		"gzip": "gzip", "zstd": "zstd", "gzip, deflate, br, zstd": "zstd", "gzip;q=1, zstd;q=0.5": "gzip",
		"zstd;q=0, gzip;q=0.1": "gzip", "br": "", "gzip;q=0": "", "": "", "*": "",
	} {
		t.Run(accept, func(t *testing.T) {
			a := h.do("GET", target, "", "Accept-Encoding", accept)
			assert.Equal(t, want, a.header.Get("Content-Encoding"))
			assert.Equal(t, "Accept-Encoding", a.header.Get("Vary"))
			var r io.Reader = strings.NewReader(a.body)
			switch want {
			case "gzip":
				z, err := gzip.NewReader(r)
				require.NoError(t, err)
				r = z
			case "zstd":
				z, err := zstd.NewReader(r)
				require.NoError(t, err)
				defer z.Close()
				r = z
			}
			got, err := io.ReadAll(r)
			require.NoError(t, err)
			assert.Equal(t, plain.body, string(got))
		})
	}
	assert.Empty(t, h.do("GET", "/healthz", "", "Accept-Encoding", "gzip").header.Get("Content-Encoding"), "too small")
}

func TestHeadAndHeaders(t *testing.T) {
	h := start(t, Options{})
	get, head := h.do("GET", "/cluster", ""), h.do("HEAD", "/cluster", "")
	assert.Equal(t, 200, head.status)
	assert.Empty(t, head.body)
	assert.Equal(t, fmt.Sprint(len(get.body)), head.header.Get("Content-Length"))
	assert.Equal(t, "ottla", get.header.Get("Server"))
	assert.Equal(t, 404, h.do("HEAD", "/nothing", "").status)
	gone := h.do("DELETE", "/cluster/x", "")
	assert.Equal(t, 204, gone.status)
	assert.Empty(t, gone.body)
	assert.Empty(t, gone.header.Get("Content-Type"))
}

func TestByteBudget(t *testing.T) {
	h := start(t, Options{MaxInflightBytes: 1000})
	entered, leave := make(chan struct{}), make(chan struct{})
	h.b.produce = func([]*protocol.ProduceRequest, time.Time) { entered <- struct{}{}; <-leave }
	body := `{"topic":"t","value":"` + strings.Repeat("x", 576) + `"}`
	first := make(chan answer, 1)
	go func() { first <- h.do("POST", "/events", body) }()
	<-entered
	wantError(t, h.do("POST", "/events", body), 429, "too_many_requests")
	wantError(t, h.do("POST", "/events", zipped(t, body), "Content-Encoding", "gzip"), 429, "too_many_requests")
	close(leave)
	assert.Equal(t, 200, (<-first).status)
	go func() { <-entered }()
	wantOK(t, h.do("POST", "/events", body), 200)
}

func TestTooManyConnections(t *testing.T) {
	h := start(t, Options{MaxConnections: 1})
	first, err := h.ln.Dial()
	require.NoError(t, err)
	r := bufio.NewReader(first)
	_, err = first.Write([]byte("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"))
	require.NoError(t, err)
	assert.Equal(t, 200, readAnswer(t, r).status)
	second, err := h.ln.Dial()
	require.NoError(t, err)
	a := readAnswer(t, bufio.NewReader(second))
	assert.Equal(t, 503, a.status)
	assert.Equal(t, "1", a.header.Get("Retry-After"))
	assert.Contains(t, a.body, `"code":"overloaded"`)
	require.NoError(t, second.Close())
	_, err = first.Write([]byte("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
	require.NoError(t, err)
	assert.Equal(t, 200, readAnswer(t, r).status, "the first is served on")
	_, err = r.ReadByte()
	require.Equal(t, io.EOF, err)
	wantOK(t, h.do("GET", "/healthz", ""), 200)
}

func TestShutdownFinishesWhatIsInFlight(t *testing.T) {
	b := newFake()
	s := New(b, Options{})
	ln := fasthttputil.NewInmemoryListener()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	b.parked = make(chan struct{}, 10)
	entered, leave := make(chan struct{}), make(chan struct{})
	b.produce = func([]*protocol.ProduceRequest, time.Time) { close(entered); <-leave }
	b.add("t", 1)

	var conns []net.Conn
	for _, request := range []string{
		"GET /events?topic=t&timeout_ms=30000 HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /topic/t/partitions/0/records?timeout_ms=30000 HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\n{\"topic\":\"t\"}",
		"", // connected, silent
	} {
		c, err := ln.Dial()
		require.NoError(t, err)
		_, err = c.Write([]byte(request))
		require.NoError(t, err)
		conns = append(conns, c)
	}
	<-b.parked
	<-b.parked
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	for _, c := range conns[:2] {
		a := readAnswer(t, bufio.NewReader(c))
		assert.Equal(t, 200, a.status, a.body)
		assert.Contains(t, a.body, `"records":[]`)
	}
	select {
	case err := <-stopped:
		t.Fatalf("shutdown ended before the produce did: %v", err)
	default:
	}
	close(leave)
	assert.Equal(t, 200, readAnswer(t, bufio.NewReader(conns[2])).status)
	assert.NoError(t, <-stopped)
	assert.NoError(t, <-served)
}
