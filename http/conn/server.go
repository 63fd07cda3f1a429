package conn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"ottla/http/budget"
)

// Options are what a Server is made of. All fields are required.
type Options struct {
	Handler func(*Session) Handler // makes what answers a session's requests; called once for each
	Name    string                 // of the server, in answers
	Log     *slog.Logger
	Refusal []byte // what a connection beyond MaxConnections is sent: a whole answer
	NoTLS   []byte // what a client is sent that speaks HTTP to a listener of TLS: a whole answer

	Bytes          *budget.Budget // pays for the buffers of large headers
	MaxConnections int            // open at the same time
	MaxHeaderBytes int            // of a request line and its headers
	MaxLingerBytes int            // that are read and dropped after a last answer

	ReadTimeout  time.Duration // for a whole request to arrive
	WriteTimeout time.Duration // for an answer to be taken
	IdleTimeout  time.Duration // between requests
}

// Server serves HTTP/1.1 on the connections of a listener.
type Server struct {
	o        Options
	done     chan struct{} // closed when Shutdown begins
	doneOnce sync.Once
	ln       atomic.Pointer[Listener] // nil until Serve is called

	stalled, slow atomic.Uint64 // connections that ended because answers were not taken
}

// NewServer returns a server that is not serving yet.
func NewServer(o Options) *Server { return &Server{o: o, done: make(chan struct{})} }

// Done returns a channel that is closed when Shutdown begins: what waits
// should end then.
func (s *Server) Done() <-chan struct{} { return s.done }

// Ending reports whether Shutdown was called.
func (s *Server) Ending() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Serve accepts connections from ln until Shutdown, then returns nil.
func (s *Server) Serve(ln net.Listener) error {
	bounded := NewListener(ln, s.o.MaxConnections, s.o.Refusal, s.o.Log)
	s.ln.Store(bounded)
	if s.Ending() { // Shutdown may not have seen the listener
		return bounded.Close()
	}
	for {
		c, err := bounded.Accept()
		if err != nil && s.Ending() {
			return nil
		}
		if err != nil {
			return fmt.Errorf("serve %s: %w", ln.Addr(), err)
		}
		go s.ServeConn(c)
	}
}

// ServeConn serves one connection of a Listener until it is closed or until a
// request is suspended: another goroutine goes on then.
func (s *Server) ServeConn(c *Conn) { newSession(s, c).run() }

// Shutdown stops accepting, closes idle connections, and returns when the
// others have been answered and closed, or with an error when ctx ends. What
// waits must end by itself when Done is closed.
func (s *Server) Shutdown(ctx context.Context) error {
	s.doneOnce.Do(func() { close(s.done) })
	ln := s.ln.Load()
	if ln == nil {
		return nil
	}
	defer ln.Release()
	if err := ln.Close(); err != nil {
		s.o.Log.Warn("close the listener", "error", err)
	}
	ln.CloseIdle()
	ln.Hurry(s.lastDeadlines(ctx))
	select {
	case <-ln.Empty():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("shut down http: %w", ctx.Err())
	}
}

// lastDeadlines are until when requests that have begun may still arrive, and
// answers may still be taken, once the shutdown has begun. Each is only a part of
// the time that is left, because the rest of a request may never come.
func (s *Server) lastDeadlines(ctx context.Context) (read, write time.Time) {
	now := time.Now()
	left := s.o.WriteTimeout
	if end, ok := ctx.Deadline(); ok {
		left = min(left, end.Sub(now))
	}
	return now.Add(min(left/4, 2*time.Second)), now.Add(left / 2)
}

// Connections returns how many connections are open, and how many of them have
// a request or a part of one. Both are 0 before Serve.
func (s *Server) Connections() (open, active int) {
	if ln := s.ln.Load(); ln != nil {
		return ln.Count()
	}
	return 0, 0
}

// NotTaken returns how many connections were ended because a client did not take an
// answer: by EndStalled, and because the write timeout was over.
func (s *Server) NotTaken() (stalled, slow uint64) { return s.stalled.Load(), s.slow.Load() }

// notTaken counts and logs a connection that ends because of err, if that is why.
func (s *Server) notTaken(c *Conn, err error) {
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded) || s.Ending():
	case c.stalled.Load():
		s.stalled.Add(1)
		s.o.Log.Warn("ended a connection: its client took nothing of an answer while memory for answers was scarce", "remote", c.RemoteAddr().String())
	default:
		s.slow.Add(1)
	}
}

// transportLogger passes fasthttp's own messages on. They are about single
// connections, and so they are debug messages.
type transportLogger struct{ log *slog.Logger }

func (l transportLogger) Printf(format string, args ...any) {
	l.log.Debug("http transport", "message", fmt.Sprintf(format, args...))
}
