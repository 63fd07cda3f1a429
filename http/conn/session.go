package conn

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"
)

// Session serves the HTTP/1.1 requests of one client, one after the other. It
// stands in for the loop of fasthttp.Server, which holds a read buffer as large
// as the largest header, a writer and a request for as long as a connection is
// open: too much for ten thousand waiting polls (docs/adr/0005). fasthttp keeps
// requests and renders answers, as it does there.
//
// One goroutine at a time owns a session: the one that runs serve, and after a
// request was suspended the one that runs resume. In between, none does.
type Session struct {
	srv     *Server
	c       *Conn
	w       wire
	b       *buffers // nil while no part of a request is here
	handler Handler

	tryRead func(fd uintptr) bool // peek, as a value that is made once
	readErr error                 // of peek

	// Of the present request.
	body      lengthReader
	chunks    chunkReader
	large     *bufio.Reader // used instead of the buffers' reader when the header is large
	http11    bool
	close     bool          // the connection ends with the answer
	unread    bool          // and the client may still be sending, so the close must linger
	suspended Waiting       // nil unless the answer is waited for
	streaming func(*Stream) // nil unless the answer is a stream that has not begun
	yields    bool          // see Yield
}

// Of returns the session that a request came on. It returns nil in a test that
// calls a handler without one.
func Of(ctx *fasthttp.RequestCtx) *Session {
	if c, ok := ctx.Conn().(*Conn); ok {
		return c.session
	}
	return nil
}

// Conn returns the session's connection.
func (s *Session) Conn() *Conn { return s.c }

// Handler returns what answers the session's requests.
func (s *Session) Handler() Handler { return s.handler }

// Waited reports whether any part of the present request had to be waited for.
// If not, it was here as a whole when Serve was called.
func (s *Session) Waited() bool { return s.w.armed }

// Yield makes the session let other goroutines run after its answer was sent. It
// is for answers that became possible at the same time as those of other sessions,
// which are then sent first. By then the client may have sent its next request, and
// finding it at once saves a round through the netpoller.
func (s *Session) Yield() { s.yields = true }

// newSession prepares to serve c.
func newSession(srv *Server, c *Conn) *Session {
	s := &Session{srv: srv, c: c, w: wire{c: c, readTimeout: srv.o.ReadTimeout, writeTimeout: srv.o.WriteTimeout}}
	s.handler = srv.o.Handler(s)
	c.session = s
	s.tryRead = s.peek
	return s
}

// run serves the connection until either side closes it, or until a request
// is suspended: another goroutine goes on then.
func (s *Session) run() {
	if s.w.awaitWithin(s.srv.o.ReadTimeout) != nil {
		s.end()
		return
	}
	s.serve()
}

// serve answers requests until one is suspended or the connection ends.
func (s *Session) serve() {
	defer s.caught()
	for {
		p := progressOver
		if s.await() && s.request() {
			if s.suspended != nil {
				s.releaseForWait()
				p = s.proceed()
			} else {
				s.yield()
				p = progressAnswered
			}
		}
		if !s.goOn(p) {
			return
		}
	}
}

func (s *Session) yield() {
	if s.yields && s.reader().Buffered() == 0 {
		runtime.Gosched()
	}
	s.yields = false
}

// caught turns a panic of this package into the end of one connection.
// Handlers catch their own.
func (s *Session) caught() {
	if p := recover(); p != nil {
		s.srv.o.Log.Error("panic in a connection", "remote", s.c.RemoteAddr().String(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		s.b, s.unread = nil, false // the buffers may be in any state
		s.end()
	}
}

// end closes the connection and gives back everything.
func (s *Session) end() {
	s.releaseLarge()
	if s.b != nil {
		s.reset()
		s.releaseBuffers()
	}
	s.handler.Sent()
	s.handler.Closed()
	if s.unread {
		s.linger()
	}
	_ = s.c.Close()
}

// linger ends the connection gently. What the session held is given back
// already.
func (s *Session) linger() {
	s.c.SetIdle() // a shutdown must not wait for it
	within := lingerTime
	if s.srv.Ending() {
		within = lingerLast
	}
	linger(s.c.Conn, s.srv.o.MaxLingerBytes, within)
}

// await returns true when the first byte of a request has arrived, and false
// when none will.
func (s *Session) await() bool {
	if s.b != nil && s.reader().Buffered() > 0 {
		return true
	}
	s.releaseLarge()
	s.c.SetIdle()
	if s.srv.Ending() {
		return false
	}
	var err error
	if s.c.raw == nil {
		err = s.awaitByte()
	} else if err = s.w.untilDeadline(func() error { return s.c.raw.Read(s.tryRead) }); err == nil {
		err = s.readErr
	}
	return s.c.SetActive() && err == nil
}

// awaitByte waits for the first byte of a request on a connection that is no
// socket, and holds no buffers meanwhile: it reads that one byte by itself.
func (s *Session) awaitByte() error {
	if s.b != nil {
		s.releaseBuffers()
	}
	if err := s.w.readAhead(); err != nil {
		s.refuseProtocol(err)
		return err
	}
	s.acquireBuffers()
	return nil
}

// refuseProtocol tells a client that speaks HTTP without TLS where TLS is spoken.
func (s *Session) refuseProtocol(err error) {
	var other tls.RecordHeaderError
	if !errors.As(err, &other) || other.Conn == nil {
		return
	}
	switch string(other.RecordHeader[:4]) {
	case "GET ", "HEAD", "POST", "PUT ", "PATC", "DELE", "OPTI":
		_ = other.Conn.SetWriteDeadline(after(time.Second))
		_, _ = other.Conn.Write(s.srv.o.NoTLS)
		linger(other.Conn, maxRefusedBytes, lingerIdle)
	}
}

// peek looks for the first byte of a request, and holds no buffers when there
// is none. The netpoller calls it whenever there may be one.
func (s *Session) peek(fd uintptr) bool {
	s.acquireBuffers()
	s.w.fd, s.w.peek = fd, true
	_, s.readErr = s.b.br.Peek(1)
	s.w.peek = false
	if errors.Is(s.readErr, errNothingYet) {
		s.releaseBuffers()
		return false
	}
	return true
}

func (s *Session) acquireBuffers() {
	if s.b != nil {
		return
	}
	s.b = bufferPool.Get().(*buffers)
	s.b.br.Reset(&s.w)
	s.b.bw.Reset(&s.w)
	s.w.pending = s.b.bw
	s.b.ctx.Init2(s.c, transportLogger{s.srv.o.Log}, false)
}

// releaseBuffers gives the buffers to the next request of any session. They
// must have been reset and hold no byte.
func (s *Session) releaseBuffers() {
	b := s.b
	s.b, s.w.pending = nil, nil
	b.spoil()
	b.br.Reset(nil)
	b.bw.Reset(nil)
	bufferPool.Put(b)
}

// reset forgets the present request and its answer.
func (s *Session) reset() {
	s.spoilRequest()
	s.b.ctx.Request.Reset()
	s.b.ctx.Response.Reset()
	s.body, s.chunks = lengthReader{}, chunkReader{}
}

// reader is what the present request is read from.
func (s *Session) reader() *bufio.Reader {
	if s.large != nil {
		return s.large
	}
	return s.b.br
}
