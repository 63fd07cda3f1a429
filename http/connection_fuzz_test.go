package http

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// sentBytes is a connection whose client sends pieces and then closes its side.
type sentBytes struct {
	pieces [][]byte
	once   sync.Once
	closed chan struct{}

	mu      sync.Mutex
	written bytes.Buffer
}

func (s *sentBytes) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func (s *sentBytes) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written.Write(p)
}

func (s *sentBytes) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *sentBytes) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *sentBytes) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *sentBytes) SetDeadline(time.Time) error      { return nil }
func (s *sentBytes) SetReadDeadline(time.Time) error  { return nil }
func (s *sentBytes) SetWriteDeadline(time.Time) error { return nil }

type ran struct{ method, target string }

// Whatever bytes come, in whatever pieces: the connection ends, nothing
// panics, every answer is HTTP, there is one for each request that was
// executed and at most one refusal after them, and what was executed is what
// another reader of HTTP sees in the same bytes.
func FuzzConnection(f *testing.F) {
	get := "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
	post := "POST /events HTTP/1.1\r\nHost: a\r\n"
	for _, s := range []string{
		get + get, post + "Content-Length: 13\r\n\r\n{\"topic\":\"t\"}" + get,
		post + "Transfer-Encoding: chunked\r\n\r\nd;x=y\r\n{\"topic\":\"t\"}\r\n0\r\nA: b\r\n\r\n" + get,
		post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + get,
		post + "Transfer-Encoding: identity\r\n\r\n" + get, post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}" + get,
		post + "Transfer-Encoding: chunked\r\n\r\nd\n{\"topic\":\"t\"}\n0\n\n" + get, "GET /healthz HTTP/1.1\nHost: a\n\n" + get,
		post + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}" + get, post + "Content-Length: 99999\r\n\r\n" + get,
		"HEAD /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + get, "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + get,
		"GET /events?topic=t&timeout_ms=1 HTTP/1.1\r\nHost: a\r\n\r\n" + get,
		"GET /events?topic=t HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n" + get,
	} {
		f.Add([]byte(s), uint16(0))
		f.Add([]byte(s), uint16(7))
	}
	var log bytes.Buffer
	b := newFake()
	b.poll = func(req *protocol.PollRequest, _ <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
		if req.Continue { // the second one of a stream
			return nil, protocol.Errorf(protocol.CodeOverloaded, "over")
		}
		return &protocol.PollReply{ConsumerID: 1, TimedOut: true}, nil
	}
	s := New(b, Options{
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError})), MaxBodyBytes: 1000,
		MaxTimeout: time.Millisecond, DefaultPollTimeout: time.Millisecond,
	})
	var executed []ran
	inner := s.handler
	s.handler = func(ctx *fasthttp.RequestCtx) {
		executed = append(executed, ran{string(ctx.Method()), string(ctx.RequestURI())})
		inner(ctx)
	}
	ln := newBoundedListener(nil, 1, s.log)
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		executed, b.topics, b.reqs, b.polls, b.left = nil, map[string]*fakeTopic{}, nil, nil, make(chan protocol.ConsumerID, 1000)
		raw := &sentBytes{closed: make(chan struct{})}
		for rest := in; len(rest) > 0; {
			n := len(rest)
			if cut > 0 {
				n = min(n, int(cut))
			}
			raw.pieces, rest = append(raw.pieces, rest[:n]), rest[n:]
		}
		s.serveConnection(ln.admit(raw))
		select {
		case <-raw.closed:
		case <-time.After(10 * time.Second):
			t.Fatal("hangs")
		}
		if log.Len() > 0 || s.bytes.used.Load() != 0 || s.parked.used.Load() != 0 {
			t.Fatalf("%s; %d bytes and %d places are held", log.String(), s.bytes.used.Load(), s.parked.used.Load())
		}
		checkAnswers(t, raw.written.Bytes(), executed)
		checkExecuted(t, in, executed)
	})
}

// checkAnswers reads the answers back.
func checkAnswers(t *testing.T, out []byte, executed []ran) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(out))
	for n := 0; ; n++ {
		if _, err := r.Peek(1); err != nil {
			if n < len(executed) {
				t.Fatalf("%d requests, %d answers: %q", len(executed), n, out)
			}
			return
		}
		method := "GET"
		switch {
		case n < len(executed):
			method = executed[n].method
		case n > len(executed):
			t.Fatalf("%d requests, more answers: %q", len(executed), out)
		case bytes.HasSuffix(out, []byte("\r\n\r\n")):
			method = "HEAD" // it is refused without a body
		}
		resp, err := nethttp.ReadResponse(r, &nethttp.Request{Method: method})
		if err != nil {
			t.Fatalf("answer %d: %v: %q", n, err, out)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatalf("answer %d: %v: %q", n, err, out)
		}
		if resp.StatusCode == nethttp.StatusContinue {
			n--
		}
	}
}

// checkExecuted reads the same bytes with net/http.
func checkExecuted(t *testing.T, in []byte, executed []ran) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(in))
	for i, got := range executed {
		for b, err := r.Peek(1); err == nil && (b[0] == '\r' || b[0] == '\n'); b, err = r.Peek(1) {
			_, _ = r.Discard(1) // empty lines before a request
		}
		req, err := nethttp.ReadRequest(r)
		var badURL *url.Error
		if errors.As(err, &badURL) {
			return // we answer 404 to a target that it does not parse
		}
		if err != nil {
			t.Fatalf("executed %v, request %d; net/http says %v", got, i, err)
		}
		if req.Method != got.method || req.RequestURI != got.target {
			t.Fatalf("executed %v, request %d; net/http sees %s %s", got, i, req.Method, req.RequestURI)
		}
		_, err = io.Copy(io.Discard, req.Body)
		if err != nil && i+1 < len(executed) {
			t.Fatalf("executed %v after a body of which net/http says %v", executed[i+1], err)
		}
	}
}
