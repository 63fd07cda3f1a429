package http

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"ottla/http/access"
	"ottla/http/budget"
	"ottla/http/conn"
	"ottla/http/fair"
	"ottla/http/fanout"
)

// Server answers HTTP requests by asking a Backend.
type Server struct {
	b       Backend
	o       Options
	log     *slog.Logger
	handler fasthttp.RequestHandler
	table   []route // what handler knows
	metrics *metrics
	origins *origins
	access  *access.Registry // nil: nobody is asked who he is

	conns *conn.Server
	done  <-chan struct{} // closed when Shutdown begins; ends reads that wait

	intake  intake
	answers *budget.Answers // bytes of answers in memory
	parked  *budget.Budget  // reads that wait, and streams

	feeds   *fanout.Feeds  // of streams of topics
	gate    *fair.Gate     // of requests; nil where nobody is asked who he is
	turn    time.Duration  // for how long a request waits for its turn
	streams sync.WaitGroup // whose writers run; they outlive their connections for a moment

	started  time.Time
	idPrefix string // of generated request ids, random per process
	idNext   atomic.Uint64
	calls    sync.Pool // of *call

	contract func() []byte          // openapi.json with the limits of o, made once
	docs     func() ([]byte, error) // the same as a page, made once
}

// New returns a server that is not serving yet.
func New(b Backend, o Options) *Server {
	o = o.withDefaults()
	s := &Server{
		b: b, o: o, log: o.Logger, origins: newOrigins(o), access: o.Access,
		started: time.Now().UTC().Truncate(time.Millisecond), idPrefix: randomPrefix(), turn: turnPatience,
		parked:  budget.New(int64(o.MaxParkedPolls)),
		answers: budget.NewAnswers(o.MaxResponseBytes, o.MaxClientBytes, o.StallTimeout),
	}
	s.intake = intake{&s.o, budget.New(o.MaxInflightBytes), func() bool { return s.conns.Ending() }}
	s.conns = conn.NewServer(conn.Options{
		Handler: s.newClient, Name: "ottla", Log: s.log, Refusal: []byte(refusedConnection), NoTLS: []byte(needsTLS),
		Bytes: s.intake.bytes, MaxConnections: o.MaxConnections, MaxHeaderBytes: o.MaxHeaderBytes, MaxLingerBytes: discardShare * o.MaxBodyBytes,
		ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout, IdleTimeout: o.IdleTimeout,
	})
	s.done = s.conns.Done()
	s.calls.New = func() any {
		c := &call{srv: s, request: request{intake: &s.intake}, decoder: decoder{limits: &s.o}}
		c.waits = c.leave
		return c
	}
	s.contract = sync.OnceValue(func() []byte { return contractFor(o) })
	s.docs = sync.OnceValues(func() ([]byte, error) { return docsPage(s.contract()) })
	s.metrics = newMetrics(s)
	s.feeds = s.newFeeds()
	if s.access != nil {
		s.gate = fair.NewGate()
	}
	s.handler = s.routes()
	return s
}

const (
	// refusedConnection is what a connection beyond MaxConnections is sent: an error in the
	// one shape, as there is no request to take an id from.
	refusedConnection = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n" +
		"Connection: close\r\nX-Request-Id: refused\r\n\r\n" + refusalBody

	refusalBody = `{"error_code":50304,"code":"overloaded","message":"too many connections","retriable":true,` +
		`"outcome":"none","request_id":"refused"}`

	// needsTLS is what a client is sent that speaks HTTP to a listener of TLS.
	needsTLS = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\nX-Request-Id: refused\r\n\r\n" +
		`{"error_code":40001,"code":"malformed","message":"this port speaks TLS: use https","retriable":false,` +
		`"outcome":"none","request_id":"refused"}`
)

// Budgets are the bytes of requests and of answers that may be in memory at the same
// time, over all connections: what else the process serves shares them.
func (s *Server) Budgets() (requests *budget.Budget, answers *budget.Answers) {
	return s.intake.bytes, s.answers
}

// Gate lets in the requests of clients that say who they are, of whatever the process
// serves; nil where nobody is asked.
func (s *Server) Gate() *fair.Gate { return s.gate }

// Collect adds metrics of what else the process serves to GET /metrics.
func (s *Server) Collect(more ...prometheus.Collector) { s.metrics.registry.MustRegister(more...) }

// Handler answers one request; it is what Serve calls for each.
func (s *Server) Handler(ctx *fasthttp.RequestCtx) { s.handler(ctx) }

// Serve accepts connections from ln until Shutdown, then returns nil.
func (s *Server) Serve(ln net.Listener) error { return s.conns.Serve(ln) }

// Shutdown stops accepting, ends streams and reads that wait, and returns when
// what is in flight has been answered or ctx ends, whichever is first.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.conns.Shutdown(ctx); err != nil {
		return err
	}
	return s.awaitStreams(ctx)
}

// awaitStreams returns when no stream asks the backend for anything any more.
func (s *Server) awaitStreams(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		s.streams.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("shut down http: streams: %w", ctx.Err())
	}
}

func randomPrefix() string {
	var b [6]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("BUG: no randomness: " + err.Error())
	}
	return hex.EncodeToString(b[:])
}
