package http

import (
	"bytes"
	"context"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"ottla/http/conn"
	"ottla/protocol"
)

const requestIDHeader = "X-Request-Id"

// Headers of answers that say which node of a fleet has answered, and where the
// leader of the partition is that the request was about.
const (
	nodeHeader   = "Ottla-Node"
	leaderHeader = "Ottla-Leader"
)

// Names of headers in the form in which fasthttp keeps them. Looking a header up
// by another form converts its name each time.
var (
	requestIDKey       = []byte(requestIDHeader)
	contentEncodingKey = []byte("Content-Encoding")
	producerIDKey      = []byte("Producer-Id")
	producerEpochKey   = []byte("Producer-Epoch")
	producerSeqKey     = []byte("Producer-Seq")
	idempotencyKeyKey  = []byte("Idempotency-Key")
)

// call is one request on its way through the front end. Calls are used again:
// nothing of one may be kept after its handler has returned.
//
// What was sent is the request, which knows neither the broker nor the answer. A
// produce request has records besides, which the decoder makes of it.
type call struct {
	request
	decoder
	produced produce

	srv    *Server
	client *client             // who sent it
	who    *protocol.Principal // as which it was sent; nil where nobody is asked
	b      Backend             // as that one may use it
	own    client              // is the client in a test that calls a handler without a connection
	code   string              // of the error that was answered
	failed protocol.Outcome    // likewise

	done      func(*call) // is to be called when the answer is there
	suspended bool        // the answer is waited for, and done is called later
	streams   bool        // the answer is a stream
	entered   string      // as whom the request has passed the gate; empty: it has not
	waits     func()      // leave, made once
}

func (s *Server) acquire(ctx *fasthttp.RequestCtx) *call {
	c := s.calls.Get().(*call)
	c.ctx, c.client, c.b = ctx, clientOf(ctx), s.b
	if c.client == nil {
		c.own = client{srv: s, answer: s.answers.Share()}
		c.client = &c.own
	}
	return c
}

func (s *Server) release(c *call) {
	c.leave()
	if c.held > 0 {
		s.intake.bytes.Give(c.held)
	}
	if c.client == &c.own {
		c.own.answer.Release()
	}
	conn.Spoil(c.body)
	conn.Spoil(c.buf[:cap(c.buf)])
	conn.Spoil(c.scratch[:cap(c.scratch)])
	clear(c.records)
	next := call{
		srv: s, waits: c.waits, request: request{intake: &s.intake, buf: c.buf[:0]},
		decoder: decoder{limits: &s.o, scratch: c.scratch[:0], records: c.records[:0]},
	}
	if cap(next.buf) > keepBytes {
		next.buf = nil
	}
	if cap(next.scratch) > keepBytes {
		next.scratch = nil
	}
	if cap(next.records) > keepRecords {
		next.records = nil
	}
	*c = next
	s.calls.Put(c)
}

// wrap makes a handler of fasthttp's of a route.
func (s *Server) wrap(rt route) fasthttp.RequestHandler {
	counts := s.metrics.forRoute(rt.method, rt.path)
	refusable := rt.method == fasthttp.MethodGet && rt.body == noBody
	rt.changes = rt.audited()
	done := func(c *call) {
		if rt.changes {
			c.audit()
		}
		c.account(refusable)
		c.compressResponse()
		c.account(false)
		counts.done(c, c.began)
		c.logRequest()
	}
	return func(ctx *fasthttp.RequestCtx) {
		c := s.acquire(ctx)
		defer s.release(c)
		c.route, c.began, c.done = rt.path, time.Now(), done
		c.begin()
		c.run(func() *protocol.Error { return c.handle(&rt) })
		if !c.suspended {
			done(c)
		}
	}
}

// run answers the request with the error that answer returns, if any. A panic in
// answer is a bug of ours; it costs one request and not the process.
func (c *call) run(answer func() *protocol.Error) {
	defer func() {
		if p := recover(); p != nil {
			c.suspended = false
			c.fail(c.panicked(p, debug.Stack()))
		}
	}()
	if err := answer(); err != nil {
		c.fail(err)
	}
}

// handle reads the body, waits for the request's turn, and calls the route's handler.
func (c *call) handle(rt *route) *protocol.Error {
	if err := c.srv.origins.check(c); err != nil {
		return c.refuseOrigin(err)
	}
	if err := c.authenticate(rt.needs); err != nil {
		return err
	}
	err := c.readBody() // before the gate: a body that comes slowly takes no part of the server
	if err == nil {
		if err := c.enter(rt.needs); err != nil {
			return err
		}
		err = c.decompress()
	}
	c.dropByteOrderMark()
	if err == nil && rt.named && bytes.Contains(c.ctx.URI().PathOriginal(), []byte("//")) {
		return routeNotFound(c) // the router takes an empty part of the path for a name
	}
	if err == nil && rt.body == noBody && len(c.body) > 0 {
		err = protocol.Errorf(protocol.CodeMalformed, "%s %s takes no body", rt.method, rt.path)
	}
	if err == nil && rt.body == jsonBody {
		err = c.wantJSON()
	}
	if err == nil && rt.changes && c.client.gaveUp() {
		return protocol.Errorf(protocol.CodeOverloaded, "the client has left long ago, so nothing was changed")
	}
	if err == nil {
		return rt.handle(c)
	}
	if rt.refused != nil {
		return rt.refused(c, err)
	}
	return err
}

// begin gives the answer its request id: the client's if it is sane, else a new
// one.
func (c *call) begin() {
	h := &c.ctx.Response.Header
	c.srv.nameNode(c.ctx)
	if id := c.ctx.Request.Header.PeekCanonical(requestIDKey); saneRequestID(id) {
		h.SetCanonical(requestIDKey, id)
		return
	}
	var b [48]byte
	id := append(b[:0], c.srv.idPrefix...)
	id = append(id, '-')
	id = strconv.AppendUint(id, c.srv.idNext.Add(1), 36)
	h.SetCanonical(requestIDKey, id)
}

// nameNode says which node of a fleet answers.
func (s *Server) nameNode(ctx *fasthttp.RequestCtx) {
	if node := s.b.Node(); node != 0 {
		ctx.Response.Header.Set(nodeHeader, strconv.FormatUint(node, 10))
	}
}

func saneRequestID(id []byte) bool {
	if len(id) == 0 || len(id) > 128 {
		return false
	}
	for _, b := range id {
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '.', b == '_', b == '-':
		default:
			return false
		}
	}
	return true
}

// deadline is when a request that begins now must have its answer.
func (c *call) deadline() time.Time { return time.Now().Add(c.srv.o.RequestTimeout) }

// timeout returns a context for a change that begins now.
func (c *call) timeout() (context.Context, context.CancelFunc) {
	return context.WithDeadline(context.Background(), c.deadline())
}

// arrived is when the whole request was here: when it began to be handled, if no
// part of it had to be waited for.
func (c *call) arrived() time.Time {
	if s := c.client.session; s != nil && !s.Waited() {
		return c.began
	}
	return time.Now()
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
