package http

import (
	"time"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// answerFunc renders an answer that was waited for.
type answerFunc func(*call) *protocol.Error

// parkFunc leaves a request waiting, as conn.Waiting.Park does.
type parkFunc func(resume func())

// suspension is a request whose answer is waited for. It holds what the answer
// needs, but no buffer and no goroutine: that is all that a waiting poll costs
// here. It implements conn.Waiting.
type suspension struct {
	// step returns the answer, or what is to be waited for before the next
	// step. Neither may use the call, which is over.
	step    func() (answerFunc, parkFunc)
	release func() // to be called when there is an answer

	answer   answerFunc // of the last step, or
	park     parkFunc   // what is to be waited for
	advanced bool       // a step was taken, and Advance is to say what came of it

	// What is left of the request.
	srv       *Server
	done      func(*call) // what follows an answer on this route
	began     time.Time
	bytesIn   int
	route     string
	method    string
	target    string // with the query
	accept    string // encodings
	requestID string
	varies    bool   // by Origin
	origin    string // whose page may read the answer; "": none that needs to be named
}

// await answers the request with what comes of s. If it has to wait, the request is
// suspended; else all is done before await returns. What only waits takes no part of the
// server.
func (c *call) await(s *suspension, timeout time.Duration) *protocol.Error {
	session := c.client.session
	if session == nil || timeout <= 0 {
		return s.now(c.leave)(c)
	}
	// The first step is taken here: most reads of what is there already end with it, and
	// need nothing that is kept for a wait.
	c.leave()
	if !s.Advance() {
		return s.answer(c)
	}
	s.advanced = true
	s.srv, s.done, s.began, s.bytesIn, s.route, s.method = c.srv, c.done, c.began, c.bytesIn, c.route, methodName(c.ctx.Method())
	s.target, s.accept = string(c.ctx.RequestURI()), string(c.ctx.Request.Header.Peek("Accept-Encoding"))
	s.requestID = string(c.requestID())
	h := &c.ctx.Response.Header
	s.varies, s.origin = len(h.Peek("Vary")) > 0, string(h.Peek("Access-Control-Allow-Origin"))
	session.Suspend(s)
	c.suspended = true
	return nil
}

// pending makes a suspension of a read that the backend has begun, and that
// ends when its client leaves: *watch becomes the function by which the backend
// asks to be told of that. The answer is made of the reply and of the records
// that the read has rendered; release is called when there is one. lost is the error
// for what the client may not have any more by then; it is nil where nobody is asked
// who he is.
func pending[R any](c *call, p protocol.Pending[R], watch *func() <-chan struct{}, records *rendering, answer func(*call, *rendering, R), lost func(R) *protocol.Error, release func()) *suspension {
	forget := func() {} // ends the watch
	session := c.client.session
	*watch = func() (left <-chan struct{}) {
		if session != nil {
			left, forget = session.Conn().Watch(p.Nudge)
		}
		return left
	}
	return &suspension{
		step: func() (answerFunc, parkFunc) {
			reply, waits, err := p.Advance()
			if waits {
				records.releaseEmpty()
				return nil, p.Park
			}
			return func(c *call) *protocol.Error {
				if err != nil {
					records.release()
					return err
				}
				if lost != nil {
					if err := lost(reply); err != nil {
						records.release()
						return c.challenge(err, true)
					}
				}
				answer(c, records, reply)
				return nil
			}, nil
		},
		release: func() {
			forget()
			release()
		},
	}
}

// now takes all steps on this goroutine. It calls waits when it has to wait.
func (s *suspension) now(waits func()) answerFunc {
	defer s.release()
	for {
		answer, park := s.step()
		if park == nil {
			return answer
		}
		due := make(chan struct{})
		park(func() { close(due) })
		waits()
		<-due
	}
}

// Advance implements conn.Waiting. A panic is a bug of ours, and costs one
// request.
func (s *suspension) Advance() (waits bool) {
	if s.advanced {
		s.advanced = false
		return true
	}
	defer func() {
		if p := recover(); p != nil {
			s.answer, s.park = panicAnswer(p), nil
		}
		if waits = s.park != nil; !waits {
			s.release()
		}
	}()
	s.answer, s.park = s.step()
	return false // decided above
}

// Park implements conn.Waiting. Once park was called, another goroutine may
// take the next step.
func (s *suspension) Park(resume func()) {
	defer func() {
		if p := recover(); p != nil {
			answer := panicAnswer(p)
			s.step = func() (answerFunc, parkFunc) { return answer, nil }
			resume()
		}
	}()
	s.park(resume)
}

// Answer implements conn.Waiting.
func (s *suspension) Answer(ctx *fasthttp.RequestCtx) {
	s.restore(ctx)
	c := s.srv.acquire(ctx)
	defer s.srv.release(c)
	c.route, c.began, c.bytesIn = s.route, s.began, s.bytesIn
	c.run(func() *protocol.Error { return s.answer(c) })
	s.done(c)
}

// restore sets in ctx what the answer needs of the request.
func (s *suspension) restore(ctx *fasthttp.RequestCtx) {
	ctx.Request.Reset()
	ctx.Request.Header.SetMethod(s.method)
	ctx.Request.SetRequestURI(s.target)
	ctx.Request.Header.Set("Accept-Encoding", s.accept)
	s.srv.nameNode(ctx)
	ctx.Response.Header.Set(requestIDHeader, s.requestID)
	if s.varies {
		ctx.Response.Header.Add("Vary", "Origin")
	}
	if s.origin != "" {
		allowOrigin(ctx, s.origin)
	}
}

// lostPoll returns what tells a poll that has waited that its client may not have
// the answer any more; nil where nobody is asked who he is.
func (c *call) lostPoll(req *protocol.PollRequest, records *rendering) func(*protocol.PollReply) *protocol.Error {
	if c.who == nil {
		return nil
	}
	p, topics, acked := permit{srv: c.srv, who: c.who}, req.Topics, req.Ack != ""
	return func(r *protocol.PollReply) *protocol.Error {
		if !records.empty() {
			p.who.Usage().Fetched(records.size(), time.Now())
			return nil // they were read, and perhaps committed, before
		}
		p.may = mayRead(r.Cluster, topics, r.Group)
		err := p.lost()
		if err != nil && acked {
			err = err.WithOutcome(protocol.OutcomeApplied)
		}
		return err
	}
}

// park takes a place among the reads that wait, until release is called. A read
// that does not wait needs none.
func (c *call) park(timeout time.Duration) (release func(), err *protocol.Error) {
	if timeout <= 0 {
		return func() {}, nil
	}
	parked := c.srv.parked
	if !parked.Take(1) {
		return nil, protocol.Errorf(protocol.CodeOverloaded, "too many reads wait for records already").With("limit", parked.Limit())
	}
	return func() { parked.Give(1) }, nil
}

// lostFetch is lostPoll for a read of a partition.
func (c *call) lostFetch(topic *protocol.Topic, records *rendering) func(*protocol.FetchReply) *protocol.Error {
	if c.who == nil {
		return nil
	}
	p := permit{c.srv, c.who, mayRead(topic.Cluster, []string{topic.Name}, "")}
	return func(*protocol.FetchReply) *protocol.Error {
		err := p.lost()
		if err == nil {
			p.who.Usage().Fetched(records.size(), time.Now())
		}
		return err
	}
}
