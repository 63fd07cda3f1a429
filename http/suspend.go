package http

import (
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// answerFunc renders an answer that was waited for.
type answerFunc func(*call) *protocol.Error

// parkFunc leaves a request waiting, at once: resume is called, once and on
// whatever goroutine, when the next step is due, and does not block.
type parkFunc func(resume func())

// suspension is a request whose answer is waited for. It holds what the rest
// of the way needs, no buffer and no goroutine: that is all that a parked poll
// costs here.
type suspension struct {
	// step returns the answer, or what is to be waited for before the next
	// step. Neither may use the call.
	step    func() (answerFunc, parkFunc)
	release func() // when there is an answer

	done   func(*call) // what follows an answer on this route
	began  time.Time
	wire   int
	route  string
	method string
	target string // with the query
	accept string // encodings
	id     string
}

// await answers the request with what comes of s. What cannot take long is
// done at once.
func (c *call) await(s *suspension, timeout time.Duration) *protocol.Error {
	k := connectionOf(c.ctx)
	if k == nil || timeout <= 0 {
		return s.now()(c)
	}
	s.done, s.began, s.wire, s.route, s.method = c.done, c.began, c.wire, c.route, methodName(c.ctx.Method())
	s.target, s.accept = string(c.ctx.RequestURI()), string(c.ctx.Request.Header.Peek("Accept-Encoding"))
	s.id = string(c.requestID())
	k.later, c.suspended = s, true
	return nil
}

// pending is a read that waits, and that ends when its client leaves: watch is
// what it calls to be told of that. With its answer, which is made of the records that
// it brought, release is called.
func pending[R any](c *call, p protocol.Pending[R], watch *func() <-chan struct{}, records *rendering, answer func(*call, *rendering, R), release func()) *suspension {
	conn, srv := c.ctx.Conn(), c.srv
	var forget func() // the watch for the client's departure, once it waits
	*watch = func() (left <-chan struct{}) {
		left, forget = srv.departures.of(conn, p.Nudge)
		return left
	}
	return &suspension{
		step: func() (answerFunc, parkFunc) {
			reply, waits, err := p.Advance()
			if waits {
				records.rest()
				return nil, p.Park
			}
			return func(c *call) *protocol.Error {
				if err != nil {
					records.release()
					return err
				}
				answer(c, records, reply)
				return nil
			}, nil
		},
		release: func() {
			if forget != nil {
				forget()
			}
			release()
		},
	}
}

// now goes all the way on this goroutine.
func (s *suspension) now() answerFunc {
	defer s.release()
	for {
		answer, park := s.step()
		if park == nil {
			return answer
		}
		due := make(chan struct{})
		park(func() { close(due) })
		<-due
	}
}

// next takes a step. A panic is a bug of ours, and costs one request.
func (s *suspension) next() (answer answerFunc, park parkFunc) {
	defer func() {
		if p := recover(); p != nil {
			answer, park = panicAnswer(p), nil
		}
		if park == nil {
			s.release()
		}
	}()
	return s.step()
}

// parked does what a step asked for.
func (s *suspension) parked(park parkFunc, resume func()) {
	defer func() {
		if p := recover(); p != nil {
			answer := panicAnswer(p)
			s.step = func() (answerFunc, parkFunc) { return answer, nil }
			resume()
		}
	}()
	park(resume)
}

func panicAnswer(p any) answerFunc {
	stack := debug.Stack()
	return func(c *call) *protocol.Error { return c.panicked(p, stack) }
}

// panicked reports a panic of a handler.
func (c *call) panicked(p any, stack []byte) *protocol.Error {
	c.srv.log.Error("panic in a handler", "method", string(c.ctx.Method()), "path", string(c.ctx.Path()),
		"request_id", string(c.requestID()), "panic", fmt.Sprint(p), "stack", string(stack))
	e := protocol.Errorf(protocol.CodeInternal, "internal error")
	e.Outcome = protocol.OutcomeUnknown
	return e
}

// connectionOf is the connection that a request came on, nil in a test that
// calls the handler by itself.
func connectionOf(ctx *fasthttp.RequestCtx) *connection {
	if c, ok := ctx.Conn().(*conn); ok {
		return c.k
	}
	return nil
}

// of watches for the departure of whoever a connection belongs to.
func (d *departures) of(c net.Conn, told func()) (<-chan struct{}, func()) {
	if counted, ok := c.(*conn); ok {
		return d.watch(counted, told)
	}
	return nil, func() {}
}

// suspend gives back what the connection holds while its request waits.
func (k *connection) suspend() {
	if k.g.bw.Flush() != nil {
		return // it is noticed when the answer is sent
	}
	k.reset()
	if k.reader().Buffered() > 0 {
		return // the next request
	}
	k.releaseBig()
	k.releaseGear()
}

// How far a suspended request has come.
type progress int

const (
	proceedWaits    progress = iota // whoever resumes it goes on
	proceedAnswered                 // and the connection goes on
	proceedOver
)

// resumed run what follows a wait.
var resumed = protocol.Workers{Keep: 1024}

// proceed takes the suspended request a step further. When it waits, k may be
// in other hands already.
func (k *connection) proceed() progress {
	answer, park := k.later.next()
	if park != nil {
		k.later.parked(park, func() { resumed.Go(k.resume) })
		return proceedWaits
	}
	s := k.later
	k.later = nil
	k.acquireGear()
	s.restore(&k.g.ctx)
	c := k.srv.acquire(&k.g.ctx)
	c.route, c.began, c.wire = s.route, s.began, s.wire
	c.run(func() *protocol.Error { return answer(c) })
	s.done(c)
	k.srv.release(c)
	if k.finish() {
		return proceedAnswered
	}
	return proceedOver
}

// resume goes on after a wait, and then serves on.
func (k *connection) resume() {
	defer k.caught()
	if k.goOn(k.proceed()) {
		k.serve()
	}
}

// goOn reports whether this goroutine has a next request to read.
func (k *connection) goOn(p progress) bool {
	if p == proceedAnswered && k.w.awaitWithin(k.srv.o.IdleTimeout) == nil {
		return true
	}
	if p != proceedWaits {
		k.end()
	}
	return false
}

// restore makes ctx the request again, as far as anybody still asks.
func (s *suspension) restore(ctx *fasthttp.RequestCtx) {
	ctx.Request.Reset()
	ctx.Request.Header.SetMethod(s.method)
	ctx.Request.SetRequestURI(s.target)
	ctx.Request.Header.Set("Accept-Encoding", s.accept)
	ctx.Response.Header.Set(requestIDHeader, s.id)
}
