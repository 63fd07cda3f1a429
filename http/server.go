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
	fast    *fasthttp.Server
	handler fasthttp.RequestHandler
	metrics *metrics

	bytes  budget // of request bodies in memory
	parked budget // of waiting reads and streams

	streams sync.WaitGroup // whose writers run; they outlive their connections for a moment

	done     chan struct{} // closed when shutdown begins; ends parked polls
	doneOnce sync.Once

	idPrefix string // of generated request ids, random per process
	idNext   atomic.Uint64
	calls    sync.Pool // of *call
	ln       atomic.Pointer[boundedListener]
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
	}
	s.calls.New = func() any { return &call{srv: s} }
	s.metrics = newMetrics(s)
	s.handler = s.routes()
	s.fast = &fasthttp.Server{
		Handler:      s.handler,
		ErrorHandler: s.transportError,
		ExpectHandler: func(ctx *fasthttp.RequestCtx) int {
			return s.expectContinue(ctx)
		},
		Name:   "ottla",
		Logger: transportLogger{s.log},

		// The listener bounds connections with an answer in our own shape;
		// this bound is only a backstop for workers that are still ending.
		Concurrency:     o.MaxConnections + 1024,
		ReadBufferSize:  o.MaxHeaderBytes,
		ReadTimeout:     o.ReadTimeout,
		WriteTimeout:    o.WriteTimeout,
		IdleTimeout:     o.IdleTimeout,
		CloseOnShutdown: true,

		// Bodies are read by the handler, so that their size is known and paid
		// for before memory is allocated. This switches MaxRequestBodySize
		// off; call.readBody enforces it.
		StreamRequestBody:            true,
		MaxRequestBodySize:           o.MaxBodyBytes,
		DisablePreParseMultipartForm: true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true,
	}
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
	if err := s.fast.Serve(bounded); err != nil && !s.ending() {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	return nil
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
	if ln := s.ln.Load(); ln != nil {
		ln.closeUnused()
		if err := ln.Close(); err != nil {
			s.log.Warn("close the listener", "error", err)
		}
	}
	if err := s.fast.ShutdownWithContext(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("shut down http: %w", err)
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

// transportError answers what never became a request: bad or oversized
// headers, conflicting lengths, time-outs. The connection closes after it.
func (s *Server) transportError(ctx *fasthttp.RequestCtx, err error) {
	c := s.acquire(ctx)
	defer s.release(c)
	c.began = time.Now()
	c.begin()
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.As(err, &small):
		c.fail(protocol.Errorf(protocol.CodeLimitExceeded, "request line and headers exceed %d bytes", s.o.MaxHeaderBytes).
			With("limit", s.o.MaxHeaderBytes))
	case errors.As(err, &timeout) && timeout.Timeout():
		c.fail(protocol.Errorf(protocol.CodeMalformed, "the request did not arrive within %s", s.o.ReadTimeout))
	default:
		c.fail(protocol.Errorf(protocol.CodeMalformed, "not a valid HTTP request"))
	}
	c.logRequest()
}

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
