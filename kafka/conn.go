package kafka

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/http/budget"
	"ottla/protocol"
)

const (
	// smallRequestBytes bounds requests that have no records. decodedFactor is how many
	// times its size one may take in memory: a byte may claim a whole element of a list.
	smallRequestBytes = 1 << 20
	decodedFactor     = 64
	// strangerBytes bounds a request of somebody who has not said yet who he is.
	strangerBytes = 64 << 10
	// leastHeader is the size of the shortest request.
	leastHeader = 8
	// keptAnswer is the size of the largest buffer of an answer without records that is
	// used again.
	keptAnswer = 4 << 10
)

// conn is a connection of a client. All of it runs on the goroutine that accept has started
// for it, but for two things: a join or sync that waits is asked on one of its own (long),
// while another one watches whether the client leaves; and the budget of answers looks at the
// socket from outside (Taken, EndStalled) while an answer is being sent.
//
// It reads requests, finds out who asks, and sends answers. The answers are made by four
// sets of handlers, each of which has of the connection only what it is given here.
type conn struct {
	caller
	*socket
	memory
	recordHandlers
	groupHandlers
	topicHandlers
	clusterHandlers

	address string // that the connection is counted for; empty: none
	counted bool   // the connection counts against the quota of the address, and is to be taken off it

	sasl saslState
	sent int // bytes of the answer to the last request
	out  []byte
}

// newConn has all parts of a connection share one caller, socket and memory: who asks may change
// between two requests (become), and all handlers have to see that.
func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{
		caller: caller{srv: s},
		socket: newSocket(nc, s.done),
		memory: memory{requests: s.o.Requests, done: s.done},
	}
	c.client = c.socket
	if s.o.Addresses != nil {
		c.address = budget.AddressOf(nc.RemoteAddr())
		c.unnamed = s.o.Addresses.Join(c.address)
	}
	c.recordHandlers = recordHandlers{caller: &c.caller, socket: c.socket, memory: &c.memory, waits: c.leave}
	c.groupHandlers = groupHandlers{caller: &c.caller, socket: c.socket, memory: &c.memory}
	c.topicHandlers = topicHandlers{&c.caller}
	c.clusterHandlers = clusterHandlers{caller: &c.caller, socket: c.socket}
	return c
}

// close gives back everything that the connection holds. What counts towards the token is given
// back to the one that it has now, not to the one that it began with.
func (c *conn) close() {
	c.leave()
	c.release()
	c.forgetAhead()
	c.account.Close()
	c.giveBack()
	c.who.Usage().Disconnect()
	if c.counted {
		c.unnamed.Disconnect()
	}
	if c.address != "" {
		c.srv.o.Addresses.Leave(c.address)
	}
	_ = c.nc.Close()
}

// admitted counts the connection where nobody is asked who he is. Where clients are, it is
// counted when they have said so (become); until then each of their requests has to come
// within the read timeout.
func (c *conn) admitted() bool {
	if c.srv.o.Access == nil {
		c.counted = c.unnamed.Connect() == nil
		return c.counted
	}
	return true
}

// run answers requests until the client leaves, sends what cannot be read, or the
// server ends.
//
// One request is answered before the next is read, so answers come in the order of the
// requests, which clients rely on: those that a client has sent meanwhile wait in its socket.
// What others may be waiting for (a turn at the gate, memory for requests, memory for
// answers) is given back before this goroutine waits for its client again, for minutes perhaps.
func (c *conn) run() {
	if !c.admitted() || !c.certificate() {
		return
	}
	for {
		size, key, ok := c.frame()
		if !ok {
			return
		}
		c.began = time.Now()
		body, ok := c.read(c.r, size, c.srv.o.ReadTimeout)
		goOn := ok && c.answer(body, key)
		c.leave()
		c.giveBack()
		c.release()
		if !goOn || c.stalled.Load() {
			return
		}
		c.readAhead()
	}
}

// frame waits for the next request and returns its size and key. The bound of the size
// depends on the key, because only a produce is large. Whoever sends a frame beyond it is cut
// off without an answer, as by Kafka: what follows could not be told from a request.
func (c *conn) frame() (size int, key int16, ok bool) {
	idle := c.srv.o.IdleTimeout
	if c.unknown() { // who does not say who he is keeps others out
		idle = min(idle, c.srv.o.ReadTimeout)
	}
	if !c.begun(idle) {
		return 0, 0, false
	}
	if !c.patience(c.srv.o.ReadTimeout) {
		return 0, 0, false
	}
	head, err := c.r.Peek(6)
	if err != nil {
		return 0, 0, false
	}
	n, key := int64(int32(binary.BigEndian.Uint32(head))), int16(binary.BigEndian.Uint16(head[4:]))
	limit := int64(smallRequestBytes)
	switch {
	case c.unknown():
		limit = strangerBytes
	case key == int16(kmsg.Produce):
		limit = int64(c.srv.o.MaxRequestBytes) + smallRequestBytes
	}
	if n < leastHeader || n > limit {
		return 0, 0, false
	}
	_, _ = c.r.Discard(4)
	return int(n), key, true
}

// begun waits for the first byte of a request. What was read ahead waits less long, and for
// the whole of a fetch: it holds memory that others want, and a client that sends half of a
// request and stops would keep it for the whole read timeout.
func (c *conn) begun(idle time.Duration) bool {
	if c.ahead.ready {
		if !c.patience(min(idle, aheadPatience)) {
			return false
		}
		isFetch, err := c.wholeFetch()
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		if !isFetch {
			c.forgetAhead()
		}
	}
	if !c.patience(idle) {
		return false
	}
	_, err := c.r.Peek(1)
	return err == nil
}

// wholeFetch reports whether the next request is a fetch that has come as a whole, and
// waits for it. Large ones, which the buffer of the connection does not hold, are none.
func (c *conn) wholeFetch() (bool, error) {
	head, err := c.r.Peek(6)
	if err != nil {
		return false, err
	}
	n := int64(int32(binary.BigEndian.Uint32(head)))
	if int16(binary.BigEndian.Uint16(head[4:])) != int16(kmsg.Fetch) || n < leastHeader || 4+n > int64(c.r.Size()) {
		return false, nil
	}
	_, err = c.r.Peek(4 + int(n))
	return err == nil, err
}

// answer answers a request. It returns false when the connection cannot go on.
//
// The version is judged first, because the rest of a header cannot be read without it. Whoever
// asks for one that is not served is cut off, as by Kafka; only ApiVersions is answered then,
// so that a client that is newer than the server learns what it may ask (KIP-511). The quota
// comes before decode, which takes up to decodedFactor times the request's size: who has to
// wait holds little meanwhile.
func (c *conn) answer(body []byte, key int16) bool {
	c.arrived, c.unanswered = time.Now(), false
	version := int16(binary.BigEndian.Uint16(body[2:]))
	correlation := body[4:8]
	h := handlers[key]
	switch {
	case h == nil, c.unknown() && !h.anybody:
		return false
	case version >= h.min && version <= h.max:
	case key == int16(kmsg.ApiVersions):
		return c.send(correlation, false, unsupportedApiVersions())
	default:
		return false
	}
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	flexible := req.IsFlexible()
	rest, ok := c.afterClientID(body[8:], flexible)
	if !ok {
		return false
	}
	if h.anybody && c.unknown() && !c.pace(time.Time{}, (*protocol.Usage).Request) {
		return false
	}
	if !h.anybody {
		if c.ended() { // a client that connects anew is told why
			return false
		}
		if h.raw == nil && !c.pace(time.Time{}, (*protocol.Usage).Request) { // a produce, which has a deadline, does so itself
			return false
		}
	}
	var resp kmsg.Response
	switch {
	case h.raw != nil:
		if resp, ok = h.raw(c, rest, version); !ok {
			return false
		}
	case !c.decode(req, rest, c.srv.o.ReadTimeout):
		return false
	default:
		resp = h.handle(c, req)
	}
	m := c.srv.metrics.byKey[key]
	defer func() { m.done(c.began, len(body), c.sent) }()
	c.leave()
	if c.sent = 0; resp == nil { // of a produce that wants none
		return true
	}
	if c.clueless {
		return false
	}
	m.countErrors(req, resp)
	c.audit(req, resp)
	return c.send(correlation, flexible && key != int16(kmsg.ApiVersions), resp) && !c.sasl.failed
}

// afterClientID reads the rest of a request's header: the client's id, and in flexible
// versions (KIP-482) tags, which are not known to anybody. The id has its old form with two
// bytes of length in all versions, so that any server can read the header of ApiVersions.
func (c *conn) afterClientID(b []byte, flexible bool) ([]byte, bool) {
	if len(b) < 2 {
		return nil, false
	}
	n := int(int16(binary.BigEndian.Uint16(b)))
	b = b[2:]
	if n > len(b) || n < -1 {
		return nil, false
	}
	if n = max(n, 0); string(b[:n]) != c.clientID {
		c.clientID = string(b[:n])
	}
	b = b[n:]
	if !flexible {
		return b, true
	}
	count, used := binary.Uvarint(b)
	if used <= 0 || count > uint64(len(b)) {
		return nil, false
	}
	b = b[used:]
	for range count {
		_, used := binary.Uvarint(b)
		if used <= 0 {
			return nil, false
		}
		b = b[used:]
		size, used := binary.Uvarint(b)
		if used <= 0 || size > uint64(len(b)-used) {
			return nil, false
		}
		b = b[used+int(size):]
	}
	return b, true
}

// send sends an answer; flexible is of its header, which for ApiVersions it never is: who asks
// for that does not know yet what the server speaks.
//
// The deadline is for the whole answer. It is set before sending, from where on EndStalled may
// replace it by one that is over.
func (c *conn) send(correlation []byte, flexible bool, resp kmsg.Response) bool {
	b := append(c.out[:0], 0, 0, 0, 0)
	b = append(b, correlation...)
	if flexible {
		b = append(b, 0) // no tags
	}
	var pieces net.Buffers
	fetched, isFetch := resp.(*fetchAnswer)
	if isFetch {
		b, pieces = fetched.parts(b)
		defer fetched.sent()
	} else {
		b = resp.AppendTo(b)
		pieces = net.Buffers{b}
		c.pay(len(b))
	}
	size := -4
	for _, p := range pieces {
		size += len(p)
	}
	binary.BigEndian.PutUint32(b, uint32(size))
	c.sent = size
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.srv.o.WriteTimeout))
	c.sending()
	_, err := pieces.WriteTo(c.nc)
	if c.out = b; cap(b) > keptAnswer {
		c.out = nil
	}
	c.notTaken(err)
	return err == nil
}

// notTaken counts and logs a connection that ends because of err, if that is because its
// client does not take an answer.
func (c *conn) notTaken(err error) {
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
	case c.stalled.Load():
		c.srv.metrics.stalled.Inc()
		c.srv.log.Warn("ended a connection: its client took nothing of an answer while memory for answers was scarce", "remote", c.nc.RemoteAddr().String())
	default:
		c.srv.metrics.slow.Inc()
	}
}
