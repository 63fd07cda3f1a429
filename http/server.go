package http

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// Server answers HTTP requests by asking a Backend.
type Server struct {
	b       Backend
	o       Options
	log     *slog.Logger
	handler fasthttp.RequestHandler
	metrics *metrics

	bytes   budget        // of request bodies in memory
	answers *answerBudget // bytes of answers in memory
	parked  budget        // of waiting reads and streams

	streams sync.WaitGroup // whose writers run; they outlive their connections for a moment

	departures departures // of clients whose requests wait

	done     chan struct{} // closed when shutdown begins; ends parked polls
	doneOnce sync.Once

	idPrefix string // of generated request ids, random per process
	idNext   atomic.Uint64
	calls    sync.Pool // of *call

	contract func() []byte          // openapi.json with the limits of o, made once
	docs     func() ([]byte, error) // the same as a page, made once

	ln atomic.Pointer[boundedListener]
}

// New returns a server that is not serving yet.
func New(b Backend, o Options) *Server {
	o = o.withDefaults()
	s := &Server{
		b: b, o: o, log: o.Logger,
		done:     make(chan struct{}),
		idPrefix: randomPrefix(),
		bytes:    newBudget(o.MaxInflightBytes),
		parked:   newBudget(int64(o.MaxParkedPolls)),
		answers:  newAnswerBudget(o.MaxResponseBytes),
	}
	s.calls.New = func() any { return &call{srv: s} }
	s.contract = sync.OnceValue(func() []byte { return contractFor(o) })
	s.docs = sync.OnceValues(func() ([]byte, error) { return docsPage(s.contract()) })
	s.metrics = newMetrics(s)
	s.handler = s.routes()
	return s
}

// Handler answers one request; it is what Serve calls for each.
func (s *Server) Handler(ctx *fasthttp.RequestCtx) { s.handler(ctx) }

// Serve accepts connections from ln until Shutdown, then returns nil.
func (s *Server) Serve(ln net.Listener) error {
	bounded := newBoundedListener(ln, s.o.MaxConnections, s.log)
	s.ln.Store(bounded)
	if s.ending() { // fasthttp would not know that it was shut down already
		return bounded.Close()
	}
	for {
		c, err := bounded.accept()
		if err != nil && s.ending() {
			return nil
		}
		if err != nil {
			return fmt.Errorf("serve %s: %w", ln.Addr(), err)
		}
		go s.serveConnection(c)
	}
}

// ending reports whether Shutdown was called.
func (s *Server) ending() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Shutdown stops accepting, ends parked polls and streams, and returns when
// what is in flight has been answered or ctx ends, whichever is first.
func (s *Server) Shutdown(ctx context.Context) error {
	s.doneOnce.Do(func() { close(s.done) })
	ln := s.ln.Load()
	if ln == nil {
		return nil
	}
	defer s.departures.close()
	if err := ln.Close(); err != nil {
		s.log.Warn("close the listener", "error", err)
	}
	ln.closeIdle()
	ln.hurry(s.patience(ctx))
	select {
	case <-ln.empty:
	case <-ctx.Done():
		return fmt.Errorf("shut down http: %w", ctx.Err())
	}
	return s.awaitStreams(ctx)
}

// Until when requests that are half here may arrive, and answers may be taken,
// once shutdown has begun: a part of what time there is. Nobody can tell
// whether the rest comes.
func (s *Server) patience(ctx context.Context) (read, write time.Time) {
	now := time.Now()
	left := s.o.WriteTimeout
	if end, ok := ctx.Deadline(); ok {
		left = min(left, end.Sub(now))
	}
	return now.Add(min(left/4, 2*time.Second)), now.Add(left / 2)
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

// transportError answers what never became a request: bad or oversized
// headers, conflicting lengths, time-outs. The connection closes after it.
func (s *Server) transportError(ctx *fasthttp.RequestCtx, err error) {
	c := s.acquire(ctx)
	defer s.release(c)
	c.began = time.Now()
	c.begin()
	var timeout net.Error
	var bad badRequest
	switch {
	case errors.Is(err, errManyFields):
		c.fail(protocol.Errorf(protocol.CodeLimitExceeded, "there are more than %d header fields", maxHeaderFields).
			With("limit", maxHeaderFields))
	case errors.Is(err, errLargeHeader):
		c.fail(protocol.Errorf(protocol.CodeLimitExceeded, "request line and headers exceed %d bytes", s.o.MaxHeaderBytes).
			With("limit", s.o.MaxHeaderBytes))
	case errors.Is(err, errNoRoom):
		c.fail(s.tooManyBytes())
	case errors.As(err, &timeout) && timeout.Timeout() && s.ending():
		c.fail(errEnding)
	case errors.As(err, &timeout) && timeout.Timeout():
		c.fail(protocol.Errorf(protocol.CodeMalformed, "the request did not arrive within %s", s.o.ReadTimeout))
	case errors.As(err, &bad):
		c.fail(protocol.Errorf(protocol.CodeMalformed, "not a valid HTTP request: %s", bad))
	default:
		c.fail(protocol.Errorf(protocol.CodeMalformed, "not a valid HTTP request"))
	}
	c.logRequest()
}

// errEnding: the server ended before the request was there.
var errEnding = protocol.Errorf(protocol.CodeShuttingDown, "the broker is shutting down")

// expectContinue refuses a body that is too large before the client sends it.
func (s *Server) expectContinue(ctx *fasthttp.RequestCtx) int {
	if ctx.Request.Header.ContentLength() <= s.o.MaxBodyBytes {
		return fasthttp.StatusContinue
	}
	c := s.acquire(ctx)
	defer s.release(c)
	c.began = time.Now()
	c.begin()
	c.fail(s.bodyTooLarge())
	c.logRequest()
	return ctx.Response.StatusCode()
}

func randomPrefix() string {
	var b [6]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("BUG: no randomness: " + err.Error())
	}
	return hex.EncodeToString(b[:])
}

// transportLogger passes fasthttp's own messages on. They are about single
// connections, so never more than a debug message.
type transportLogger struct{ log *slog.Logger }

func (l transportLogger) Printf(format string, args ...any) {
	l.log.Debug("http transport", "message", fmt.Sprintf(format, args...))
}
