package http

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp/fasthttputil"
)

// patience is how long tests wait for what must happen: far longer than a busy
// machine needs.
const patience = time.Minute

// harness is a server with a fake backend, on a listener that is usually in
// memory.
type harness struct {
	t    *testing.T
	b    *fakeBackend
	s    *Server
	ln   listener
	http *nethttp.Client
}

type listener interface {
	net.Listener
	Dial() (net.Conn, error)
}

type tcpListener struct{ net.Listener }

func (l tcpListener) Dial() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }

func start(t *testing.T, o Options) *harness {
	t.Helper()
	return startOn(t, o, fasthttputil.NewInmemoryListener())
}

// startTCP starts a server for tests that need real connections.
func startTCP(t *testing.T, o Options) *harness {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return startOn(t, o, tcpListener{ln})
}

func startOn(t *testing.T, o Options, ln listener) *harness {
	t.Helper()
	return startWith(t, newFake(), o, ln)
}

func startWith(t *testing.T, b *fakeBackend, o Options, ln listener) *harness {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = time.Hour // or tests that compare each line would meet one on a slow machine
	}
	h := &harness{t: t, b: b, ln: ln}
	h.s = New(h.b, o)
	served := make(chan error, 1)
	go func() { served <- h.s.Serve(h.ln) }()
	transport := &nethttp.Transport{
		DialContext:        func(context.Context, string, string) (net.Conn, error) { return h.ln.Dial() },
		DisableCompression: true,
	}
	h.http = &nethttp.Client{Transport: transport, Timeout: patience}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		assert.NoError(t, h.s.Shutdown(ctx))
		assert.NoError(t, <-served)
		assert.Zero(t, h.s.intake.bytes.Used(), "bytes that were never given back")
		assert.Zero(t, h.s.answers.Used(), "bytes of answers that were never given back")
		assert.Zero(t, h.s.parked.Used(), "parked reads that were never given back")
	})
	return h
}

// answer is a response that was read.
type answer struct {
	status int
	header nethttp.Header
	body   string
	close  bool // it says that the connection closes
}

// do sends a request; headers come in pairs.
func (h *harness) do(method, target, body string, headers ...string) answer {
	h.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := nethttp.NewRequest(method, "http://ottla"+target, r)
	require.NoError(h.t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := h.http.Do(req)
	require.NoError(h.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(h.t, err)
	assert.NotEmpty(h.t, resp.Header.Get(requestIDHeader))
	a := answer{resp.StatusCode, resp.Header, string(text), resp.Close}
	checkContract(h.t, method, target, body, headers, a)
	return a
}

// raw sends bytes as they are and reads one response.
func (h *harness) raw(request string) answer {
	h.t.Helper()
	conn, err := h.ln.Dial()
	require.NoError(h.t, err)
	defer conn.Close()
	_, err = conn.Write([]byte(request))
	require.NoError(h.t, err)
	return readAnswer(h.t, bufio.NewReader(conn))
}

func readAnswer(t *testing.T, r *bufio.Reader) answer {
	t.Helper()
	resp, err := nethttp.ReadResponse(r, nil)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, string(text), resp.Close}
}

// wantError checks that an answer is an error in the one shape, with that
// code.
func wantError(t *testing.T, a answer, status int, code string) map[string]any {
	t.Helper()
	assert.Equal(t, status, a.status, a.body)
	assert.Equal(t, "application/json", a.header.Get("Content-Type"))
	var e map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.body), &e), a.body)
	for _, field := range []string{"error_code", "code", "message", "retriable", "outcome", "request_id"} {
		assert.Contains(t, e, field)
	}
	assert.Equal(t, code, e["code"], a.body)
	assert.EqualValues(t, status, int(e["error_code"].(float64))/100)
	assert.Equal(t, a.header.Get(requestIDHeader), e["request_id"])
	if status == 429 || status == 503 || status == 504 {
		assert.NotEmpty(t, a.header.Get("Retry-After"))
	}
	return e
}

// wantOK checks the status and that the body is JSON.
func wantOK(t *testing.T, a answer, status int) map[string]any {
	t.Helper()
	require.Equal(t, status, a.status, a.body)
	assert.Equal(t, "application/json", a.header.Get("Content-Type"))
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.body), &v), a.body)
	return v
}

// logged returns a logger and what it logs.
func logged() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, nil)), &b
}
