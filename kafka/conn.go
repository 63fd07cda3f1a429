package kafka

import (
	"bufio"
	"encoding/binary"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

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
)

// conn is a connection of a client. All but close runs on one goroutine.
type conn struct {
	srv *Server
	nc  net.Conn
	r   *bufio.Reader

	clientID string // of the request that is being answered

	who   *protocol.Principal // nil: not asked for, or not known yet
	views [3]Backend          // by right
	sasl  saslState

	began  time.Time // when the request that is being answered has begun to come
	sent   int       // bytes of its answer
	held   int64     // bytes of the budget for requests that this one has
	body   *[]byte   // of the request that is being answered, from bodies
	shares []*share  // of the answer that is being made
	out    []byte
}

func newConn(s *Server, nc net.Conn) *conn {
	return &conn{srv: s, nc: nc, r: bufio.NewReaderSize(nc, 1<<10)}
}

func (c *conn) close() {
	c.release()
	c.giveBack()
	c.who.Usage().Disconnect()
	_ = c.nc.Close()
}

// run answers requests until the client leaves, sends what cannot be read, or the
// server ends.
func (c *conn) run() {
	if !c.certificate() {
		return
	}
	for {
		size, key, ok := c.frame()
		if !ok {
			return
		}
		c.began = time.Now()
		body, ok := c.read(size)
		goOn := ok && c.answer(body, key)
		c.giveBack()
		c.release()
		if !goOn {
			return
		}
	}
}

// frame waits for the next request and returns its size and key.
func (c *conn) frame() (size int, key int16, ok bool) {
	idle := c.srv.o.IdleTimeout
	if c.unknown() { // who does not say who he is keeps others out
		idle = min(idle, c.srv.o.ReadTimeout)
	}
	if !c.patience(idle) {
		return 0, 0, false
	}
	if _, err := c.r.Peek(1); err != nil {
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

// patience sets how long the client may take for what comes next; false if the server
// ends.
func (c *conn) patience(d time.Duration) bool {
	_ = c.nc.SetReadDeadline(time.Now().Add(d))
	select {
	case <-c.srv.done:
		return false
	default:
		return true
	}
}

// answer answers a request. It returns false when the connection cannot go on.
func (c *conn) answer(body []byte, key int16) bool {
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
	if !h.anybody {
		if c.ended() { // a client that connects anew is told why
			return false
		}
		c.pace((*protocol.Usage).Request)
	}
	var resp kmsg.Response
	switch {
	case h.raw != nil:
		if resp, ok = h.raw(c, rest, version); !ok {
			return false
		}
	case !c.decode(req, rest):
		return false
	default:
		resp = h.handle(c, req)
	}
	m := c.srv.metrics.byKey[key]
	defer func() { m.done(c.began, len(body), c.sent) }()
	if c.sent = 0; resp == nil { // of a produce that wants none
		return true
	}
	m.countErrors(resp)
	c.audit(resp)
	return c.send(correlation, flexible && key != int16(kmsg.ApiVersions), resp) && !c.sasl.failed
}

// afterClientID reads the rest of a request's header: the client's id, and in flexible
// versions tags, which are not known to anybody.
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

// send sends an answer; flexible is of its header.
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
	}
	size := -4
	for _, p := range pieces {
		size += len(p)
	}
	binary.BigEndian.PutUint32(b, uint32(size))
	c.sent = size
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.srv.o.WriteTimeout))
	_, err := pieces.WriteTo(c.nc)
	const keep = 4 << 10
	if c.out = b; cap(b) > keep {
		c.out = nil
	}
	return err == nil
}

// unknown reports whether the client has still to say who he is.
func (c *conn) unknown() bool { return c.srv.o.Access != nil && c.who == nil }

// view is the broker as the client may use it for what needs that right.
func (c *conn) view(do protocol.Right) Backend {
	if c.srv.o.Access == nil {
		return c.srv.b
	}
	if c.ended() {
		return c.srv.o.As(protocol.Access{Who: nobody, Do: do})
	}
	i := do >> 1 // of 1, 2 and 4
	if c.views[i] == nil {
		c.views[i] = c.srv.o.As(protocol.Access{Who: c.who, Do: do})
	}
	return c.views[i]
}

// ended reports whether the client's token has ended: it was deleted, or its time is
// over. One that was changed goes on as it is now.
func (c *conn) ended() bool {
	if !c.who.Over(time.Now()) {
		return false
	}
	next := c.srv.o.Access.Successor(c.who)
	if next == nil {
		return true
	}
	c.who, c.views = next, [3]Backend{}
	return false
}

// nobody may do nothing: whose token has ended.
var nobody = protocol.NewPrincipal("", nil, nil)
