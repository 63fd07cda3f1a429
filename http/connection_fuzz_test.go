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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"ottla/http/conn"
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

// ran is a request as its handler saw it.
type ran struct {
	method, target, path string
	headers              [][]string // the values of those in read
	body                 bytes.Buffer
	whole                bool // the body was read to its end
	status               int  // 0: the answer is waited for
}

// read are the headers that the server reads.
var read = []string{
	"Host", "Content-Type", "Content-Encoding", "Accept", "Accept-Encoding", "Last-Event-Id", "Producer-Id", "Producer-Epoch",
	"Producer-Seq", "Idempotency-Key", requestIDHeader, "Expect",
}

// noted records a request, and its body while the handler reads it.
func noted(ctx *fasthttp.RequestCtx) *ran {
	r := &ran{method: string(ctx.Method()), target: string(ctx.RequestURI()), path: string(ctx.URI().PathOriginal())}
	for _, name := range read {
		var values []string
		for _, v := range ctx.Request.Header.PeekAll(name) {
			values = append(values, string(v))
		}
		r.headers = append(r.headers, values)
	}
	if stream := ctx.RequestBodyStream(); stream != nil {
		size := ctx.Request.Header.ContentLength()
		ctx.Request.SetBodyStream(&recorder{stream.(conn.Body), r, size >= 0}, size)
	} else {
		r.whole = true
	}
	return r
}

type recorder struct {
	conn.Body
	r     *ran
	known bool // how long the body is
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Body.Read(p)
	r.r.body.Write(p[:n])
	r.r.whole = errors.Is(err, io.EOF) || err == nil && r.known && r.AtLeast() == 0
	return n, err
}

// FuzzConnection sends any bytes, in any pieces. The connection must end without
// a panic; every answer must be HTTP; there must be one for each request that was
// executed, and at most one refusal after them; and net/http must see the same
// requests in the same bytes.
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
	for _, c := range hostileTable() {
		if len(c.send) < 4<<10 {
			f.Add([]byte(c.send+get), uint16(0))
		}
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
	var executed []*ran
	inner := s.handler
	s.handler = func(ctx *fasthttp.RequestCtx) {
		r := noted(ctx)
		executed = append(executed, r)
		inner(ctx)
		if !conn.Of(ctx).Suspended() {
			r.status = ctx.Response.StatusCode()
		}
	}
	ln := conn.NewListener(nil, 1, nil, s.log)
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
		s.conns.ServeConn(ln.Admit(raw))
		select {
		case <-raw.closed:
		case <-time.After(patience):
			t.Fatal("hangs")
		}
		if log.Len() > 0 || s.intake.bytes.Used() != 0 || s.parked.Used() != 0 {
			t.Fatalf("%s; %d bytes and %d places are held", log.String(), s.intake.bytes.Used(), s.parked.Used())
		}
		checkAnswers(t, raw.written.Bytes(), executed)
		checkExecuted(t, in, executed)
	})
}

// checkAnswers reads the answers back.
func checkAnswers(t *testing.T, out []byte, executed []*ran) {
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

// checkExecuted reads the same bytes with net/http, which must see the same
// requests.
func checkExecuted(t *testing.T, in []byte, executed []*ran) {
	t.Helper()
	src := bytes.NewReader(in)
	r := bufio.NewReader(src)
	for i, got := range executed {
		for b, err := r.Peek(1); err == nil && (b[0] == '\r' || b[0] == '\n'); b, err = r.Peek(1) {
			_, _ = r.Discard(1) // empty lines before a request
		}
		rest := in[len(in)-src.Len()-r.Buffered():]
		req, err := nethttp.ReadRequest(r)
		target := got.target
		var badURL *url.Error
		if errors.As(err, &badURL) {
			// The server need not parse a path that no route has.
			if got.status < 400 || got.status >= 500 {
				t.Fatalf("answered %q with %d; net/http says %v", got.target, got.status, err)
			}
			target = "/"
			in = bytes.Replace(rest, []byte(" "+got.target+" "), []byte(" / "), 1)
			src = bytes.NewReader(in)
			r.Reset(src)
			req, err = nethttp.ReadRequest(r)
		}
		if err != nil {
			t.Fatalf("executed %v, request %d; net/http says %v", got, i, err)
		}
		if req.Method != got.method || req.RequestURI != target {
			t.Fatalf("executed %v, request %d; net/http sees %s %s", got, i, req.Method, req.RequestURI)
		}
		if badURL == nil && !samePath(got, req) {
			t.Fatalf("path %q, request %d; net/http sees %q", got.path, i, req.URL.Path)
		}
		checkHeaders(t, got, req)
		body, err := io.ReadAll(req.Body)
		switch {
		case got.whole && (err != nil || !bytes.Equal(body, got.body.Bytes())):
			t.Fatalf("body %q, request %d; net/http sees %q %v", got.body.Bytes(), i, body, err)
		case !got.whole && i+1 < len(executed):
			t.Fatalf("executed %v after a body that was not read", executed[i+1])
		case !bytes.HasPrefix(body, got.body.Bytes()):
			t.Fatalf("body begins %q, request %d; net/http sees %q %v", got.body.Bytes(), i, body, err)
		case req.Close && i+1 < len(executed):
			t.Fatalf("executed %v after the end of the connection", executed[i+1])
		}
	}
}

// samePath reports whether both see the same path. The target of CONNECT is not a
// path.
func samePath(got *ran, req *nethttp.Request) bool {
	path, err := url.PathUnescape(got.path)
	return req.Method == nethttp.MethodConnect || err == nil && strings.TrimPrefix(path, "/") == strings.TrimPrefix(req.URL.Path, "/")
}

func checkHeaders(t *testing.T, got *ran, req *nethttp.Request) {
	t.Helper()
	for i, name := range read {
		want := req.Header[name]
		if name == "Host" {
			want = []string{req.Host}
			if req.URL.Host != "" || req.Host == "" {
				continue // it is taken from the target, or HTTP/1.0 has none
			}
		}
		if !slices.Equal(got.headers[i], want) {
			t.Fatalf("%s %q; net/http sees %q", name, got.headers[i], want)
		}
	}
}
