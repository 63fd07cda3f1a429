package conn

import (
	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// Waiting is a request whose answer is waited for: a poll, say. While it
// waits it holds no buffers and no goroutine, only itself. Nothing that belongs
// to the RequestCtx of the request may be used by it, as that is another
// request's then.
type Waiting interface {
	// Advance takes a step. It returns true when there is something to wait for
	// before the next step, and false when there is an answer.
	Advance() (waits bool)

	// Park follows an Advance that returned true, and returns at once. resume is
	// to be called exactly once, on whatever goroutine, when the next step is
	// due; it does not block. It may be called, and the next step taken, before
	// Park has returned.
	Park(resume func())

	// Answer follows an Advance that returned false. It restores in ctx what the
	// answer needs of the request, and answers it.
	Answer(ctx *fasthttp.RequestCtx)
}

// Suspend makes w the request that Handler.Serve was called for. Its first step
// is taken after Serve has returned.
func (s *Session) Suspend(w Waiting) { s.suspended = w }

// Suspended reports whether Suspend was called for the present request.
func (s *Session) Suspended() bool { return s.suspended != nil }

// releaseForWait gives back the buffers while the request waits.
func (s *Session) releaseForWait() {
	if s.b.bw.Flush() != nil {
		return // noticed again when the answer is sent
	}
	s.reset()
	if s.reader().Buffered() > 0 {
		return // the next request is in them
	}
	s.releaseLarge()
	s.releaseBuffers()
}

// progress is how far a request has come.
type progress int

const (
	progressWaits    progress = iota // the goroutine that resumes it goes on
	progressAnswered                 // the connection can be used again
	progressOver                     // the connection ends
)

// resumed runs what follows a wait.
var resumed = protocol.Workers{Keep: 1024}

// proceed takes the suspended request a step further. If it returns
// progressWaits, another goroutine may own the session already.
func (s *Session) proceed() progress {
	w := s.suspended
	if w.Advance() {
		w.Park(func() { resumed.Go(s.resume) })
		return progressWaits
	}
	s.suspended = nil
	s.acquireBuffers()
	w.Answer(&s.b.ctx)
	if s.finish() {
		return progressAnswered
	}
	return progressOver
}

// resume goes on after a wait, and then serves on.
func (s *Session) resume() {
	defer s.caught()
	if s.goOn(s.proceed()) {
		s.serve()
	}
}

// goOn reports whether this goroutine has a next request to read, and ends the
// connection if it is over.
func (s *Session) goOn(p progress) bool {
	if p == progressAnswered && s.w.awaitWithin(s.srv.o.IdleTimeout) == nil {
		return true
	}
	if p != progressWaits {
		s.end()
	}
	return false
}
