package http

import (
	"bytes"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"ottla/http/budget"
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
type call struct {
	srv      *Server
	ctx      *fasthttp.RequestCtx
	client   *client             // who sent it
	who      *protocol.Principal // as which it was sent; nil where nobody is asked
	b        Backend             // as that one may use it
	own      client              // is the client in a test that calls a handler without a connection
	body     []byte              // the request's body, decompressed; aliases buf
	buf      []byte
	scratch  []byte   // tokens made of parts of the body
	records  []record // of a produce request
	produced produce
	held     int64            // bytes taken from the server's budget
	bytesIn  int              // of the body as it came
	code     string           // of the error that was answered
	failed   protocol.Outcome // likewise
	route    string           // as in the table of routes
	began    time.Time

	done      func(*call) // is to be called when the answer is there
	suspended bool        // the answer is waited for, and done is called later
	streams   bool        // the answer is a stream
	entered   string      // as whom the request has passed the gate; empty: it has not
}

// keepBytes is the largest buffer that is kept for other requests, in bytes.
const keepBytes = 64 << 10

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
		s.bytes.Give(c.held)
	}
	if c.client == &c.own {
		c.own.answer.Release()
	}
	conn.Spoil(c.body)
	conn.Spoil(c.buf[:cap(c.buf)])
	conn.Spoil(c.scratch[:cap(c.scratch)])
	clear(c.records)
	next := call{srv: s, buf: c.buf[:0], scratch: c.scratch[:0], records: c.records[:0]}
	if cap(next.buf) > keepBytes {
		next.buf = nil
	}
	if cap(next.scratch) > keepBytes {
		next.scratch = nil
	}
	if cap(next.records) > 512 {
		next.records = nil
	}
	*c = next
	s.calls.Put(c)
}

// turnPatience is how long a request waits for its turn.
const turnPatience = 2 * time.Second

// enter waits for the request's turn, if its client has many others under way. Error:
// overloaded.
func (c *call) enter() *protocol.Error {
	who := c.who.Name()
	switch {
	case who == "":
		return nil
	case !c.srv.gate.Enter(who, c.began, turnPatience):
		return protocol.Errorf(protocol.CodeOverloaded, "others want their share of the server, and %s has had as many requests under way for %s as it may have meanwhile", who, turnPatience)
	}
	c.entered = who
	return nil
}

// leave lets other requests of the client in.
func (c *call) leave() {
	if c.entered != "" {
		c.srv.gate.Leave(c.entered)
		c.entered = ""
	}
}

// wrap makes a handler of fasthttp's of a route.
func (s *Server) wrap(rt route) fasthttp.RequestHandler {
	counts := s.metrics.forRoute(rt.method, rt.path)
	refusable := rt.method == fasthttp.MethodGet && rt.body == noBody
	audited := rt.audited()
	done := func(c *call) {
		if audited {
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

// handle reads the body and calls the route's handler.
func (c *call) handle(rt *route) *protocol.Error {
	if err := c.srv.origins.check(c); err != nil {
		return err
	}
	if err := c.authenticate(rt.needs); err != nil {
		return err
	}
	err := c.readBody()
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
	if node := c.srv.b.Node(); node != 0 {
		h.Set(nodeHeader, strconv.FormatUint(node, 10))
	}
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

// nameLeader says where the leader of a partition is, in a fleet.
func (c *call) nameLeader(t *protocol.Topic, partition int) {
	if address := c.b.LeaderAddress(t, partition); address != "" {
		c.ctx.Response.Header.Set(leaderHeader, address)
	}
}

func (c *call) requestID() []byte { return c.ctx.Response.Header.Peek(requestIDHeader) }

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

// out returns an empty buffer for the answer's body, to be given to send.
func (c *call) out() []byte { return c.ctx.Response.SwapBody(nil)[:0] }

// send answers with body, which began with out.
func (c *call) send(status int, body []byte) {
	resp := &c.ctx.Response
	resp.SetStatusCode(status)
	resp.Header.SetContentType("application/json")
	if cap(body) > keepBytes {
		// fasthttp would keep the buffer for as long as the response is used again.
		resp.SetBodyRaw(body)
		return
	}
	resp.SwapBody(body)
}

// sendNothing answers 204.
func (c *call) sendNothing() {
	c.ctx.Response.ResetBody()
	c.ctx.Response.SetStatusCode(fasthttp.StatusNoContent)
}

// param returns a part of the path, decoded, in memory of its own.
func (c *call) param(name string) string {
	raw, _ := c.ctx.UserValue(name).(string)
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		return strings.Clone(raw)
	}
	return strings.Clone(decoded)
}

// nameParam returns a part of the path that must be a valid name.
func (c *call) nameParam(name string) (string, *protocol.Error) {
	v := c.param(name)
	if !protocol.ValidName(v) {
		return "", invalidName(name, v)
	}
	return v, nil
}

// account counts the answer as it will be sent. An answer to a request that
// changed nothing is replaced by an error when it is large and finds no room.
func (c *call) account(refusable bool) {
	resp := &c.ctx.Response
	if c.streams {
		return
	}
	body, share := resp.Body(), &c.client.answer
	n := int64(len(body))
	if n > keepBytes {
		n = int64(cap(body)) // the buffer is not used again for others
	}
	switch {
	case share.Held() > 0:
		share.Set(n)
	case n <= budget.SmallAnswer:
	case !refusable || resp.StatusCode() != fasthttp.StatusOK:
		share.Set(n)
	default:
		if err := share.SetIfFree(n); err != nil {
			c.fail(err)
		}
	}
}
