package link

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"ottla/protocol"
)

const (
	readBuffer = 64 << 10
	batchBytes = 1 << 20 // what a writer takes at once, but for a single larger frame
	smallPart  = 4 << 10 // parts up to this are copied together with headers

	// What the calls of one connection may hold here, until they are answered.
	maxHeldCalls = 1 << 17
	maxHeldBytes = 256 << 20
)

// conn is a connection after its hello. Dialed ones carry messages, calls and pings away and
// answers back; accepted ones the other way round. It ends as a whole: after an error of
// either direction both are closed, all calls made on it are told, and the side that has
// dialed dials again.
type conn struct {
	l      *Links
	peer   *peer // nil: the other side is no member
	other  Identity
	lane   Lane
	dialed bool
	nc     net.Conn // to close it
	wire   wire
	in     *bufio.Reader
	out    *queue
	calls  callTable // made on this connection
	counts *laneCounts
	began  time.Time

	heldCalls, heldBytes atomic.Int64 // of the other side's calls

	once sync.Once
	done chan struct{} // closed when it ends
	over chan struct{} // closed when those have been told whose calls have ended with it; see ended
	err  error         // why; set before done is closed
}

func (l *Links) newConn(nc net.Conn, w wire, in *bufio.Reader, other Identity, lane Lane, p *peer, dialed bool) *conn {
	c := &conn{l: l, peer: p, other: other, lane: lane, dialed: dialed, nc: nc, wire: w, in: in, done: make(chan struct{}), over: make(chan struct{}), began: time.Now()}
	c.out = newQueue(l.cfg.Queues[lane])
	narrow(nc, lane)
	c.counts = new(laneCounts)
	if p != nil {
		c.counts = &p.counts[lane]
	}
	return c
}

// serve reads and writes until the connection ends, and returns when everything
// that depended on it has ended.
func (c *conn) serve() {
	var wg sync.WaitGroup
	wg.Go(c.write)
	c.close(c.read())
	wg.Wait()
	c.ended()
}

// ended waits until the connection has ended and all its calls with it: nobody is told of
// one afterwards. A function that is told may not call it.
func (c *conn) ended() {
	<-c.over
	// There are those besides who were just being told of an answer, or a deadline. No more
	// follow: the table is closed.
	c.calls.telling.Wait()
}

// close ends the connection; the first reason counts. Its calls are told by whoever
// closes it first, who may be one of them: so this does not wait for that.
func (c *conn) close(why error) {
	first := false
	c.once.Do(func() {
		first = true
		c.err = why
		_ = c.nc.Close()
		c.out.close()
		close(c.done)
	})
	if first {
		c.calls.close(why)
		close(c.over)
	}
}

// send queues a frame, and says why it could not.
func (c *conn) send(f outFrame) error {
	if f.tooLong() {
		return fmt.Errorf("link: a body of %d bytes; the limit is %d", f.length, MaxBody)
	}
	return c.out.push(f)
}

// call makes a call whose end is told to done.
func (c *conn) call(f outFrame, deadline time.Time, done func([]byte, error)) {
	left := time.Until(deadline)
	switch {
	case f.tooLong():
		done(nil, protocol.Errorf(protocol.CodeInternal, "a request of %d bytes to another node; the limit is %d", f.length, MaxBody))
		return
	case left <= 0:
		done(nil, late(false))
		return
	}
	f.call = &call{done: done}
	f.left = milliseconds(left)
	// In the table before it is in the queue: the answer may be here before push returns.
	id, err := c.calls.add(f.call, left)
	if err != nil {
		done(nil, err)
		return
	}
	f.header.call = id
	err = c.out.push(f)
	if err == nil {
		return
	}
	c.counts.dropped.Add(1)
	if errors.Is(err, errFull) {
		err = overloaded("too much waits to be sent to the other node")
	} else {
		err = lost(false, err)
	}
	// By way of the table, so that it is ended once: the deadline may have passed just now.
	c.calls.answer(id, nil, err)
}

// milliseconds is a duration as a frame has it, rounded up.
func milliseconds(d time.Duration) uint32 {
	return uint32(min((d+time.Millisecond-1)/time.Millisecond, 1<<32-1))
}

// write takes frames out of the queue, many at once, until the connection ends.
func (c *conn) write() {
	var (
		batch []outFrame
		small []byte
		bufs  net.Buffers
		open  bool
	)
	for {
		if batch, open = c.out.take(batch[:0], batchBytes); !open {
			return
		}
		small, bufs = c.gather(batch, small[:0], bufs[:0])
		frames, size := len(batch), int64(0)
		for _, b := range bufs {
			size += int64(len(b))
		}
		// A frame may be on its way in part, so the connection is of no use any more. What
		// was in the batch has been handed over: its calls end with an unknown outcome.
		if err := c.wire.writeAll(bufs); err != nil {
			c.close(fmt.Errorf("writing: %w", err))
			return
		}
		c.counts.sentFrames.Add(uint64(frames))
		c.counts.sentBytes.Add(uint64(size))
		clear(batch)
		clear(bufs)
		if cap(small) > 4*readBuffer {
			small = nil
		}
	}
}

// gather makes buffers of frames: headers and small parts are copied together.
// Calls that are over are left out; the others count as handed over from now on.
func (c *conn) gather(batch []outFrame, small []byte, bufs net.Buffers) ([]byte, net.Buffers) {
	// Counted before, so that small is never moved: the buffers for the socket point into
	// it.
	room := 0
	for i := range batch {
		f := &batch[i]
		room += headerSize + len(f.prefix)
		for _, p := range f.parts {
			if len(p) <= smallPart {
				room += len(p)
			}
		}
	}
	if cap(small) < room {
		small = make([]byte, 0, room)
	}
	from, sums := 0, c.wire.sums()
	for i := range batch {
		f := &batch[i]
		// This is the moment from which on its outcome is unknown if the connection ends.
		if f.call != nil && !f.call.hand() {
			continue
		}
		if sums {
			f.checksum()
		}
		small = f.appendTo(small)
		small = append(small, f.prefix...)
		for _, p := range f.parts {
			if len(p) <= smallPart {
				small = append(small, p...)
				continue
			}
			if from < len(small) {
				bufs = append(bufs, small[from:])
			}
			from = len(small)
			bufs = append(bufs, p)
		}
	}
	if from < len(small) {
		bufs = append(bufs, small[from:])
	}
	return small, bufs
}

// read takes frames until the connection ends, and says why it did.
func (c *conn) read() error {
	for {
		h, body, err := readFrame(c.in, MaxBody+8, c.wire.sums())
		if err != nil {
			return err
		}
		c.counts.received.Add(1)
		c.counts.recvBytes.Add(uint64(headerSize + len(body)))
		if c.dialed {
			err = c.takeAnswer(h, body)
		} else {
			err = c.takeRequest(h, body)
		}
		if err != nil {
			return err
		}
	}
}

var errGoodbye = errors.New("the other node has ended")

// takeAnswer takes a frame that comes back on a connection that was dialed here. An error
// ends the connection: after something that makes no sense nothing on it can be trusted.
func (c *conn) takeAnswer(h header, body []byte) error {
	switch h.typ {
	case typeReply:
		c.calls.answer(h.call, body, nil)
	case typeFailure:
		c.calls.answer(h.call, nil, decodeError(body))
	case typePong:
		p, err := parsePong(body)
		if err != nil || c.peer == nil {
			return errPing
		}
		c.peer.ponged(p, c.other.Incarnation)
	default:
		return fmt.Errorf("link: a frame of type %d is no answer", h.typ)
	}
	return nil
}

// takeRequest takes a frame of the side that has dialed.
func (c *conn) takeRequest(h header, body []byte) error {
	// A guest may ask, and nothing else: what it says of itself is not known to be true.
	if c.peer == nil && h.typ != typeCall {
		return fmt.Errorf("link: a frame of type %d from a node that is no member", h.typ)
	}
	switch h.typ {
	case typeMessage:
		c.l.cfg.Handler.Message(c.peer.id, c.lane, h.kind, body)
	case typeCall:
		from := NodeID(0)
		if c.peer != nil {
			from = c.peer.id
		}
		c.takeCall(from, h, body)
	case typeRelay, typeRelayed:
		if len(body) < 8 {
			return errors.New("link: a relayed call without a node")
		}
		id := NodeID(binary.LittleEndian.Uint64(body))
		if h.typ == typeRelay {
			c.relay(id, h, body[8:])
		} else {
			c.takeCall(id, h, body[8:])
		}
	case typePing:
		p, err := parsePing(body)
		if err != nil {
			return err
		}
		answer := makeFrame(typePong, 0, [][]byte{c.peer.pinged(p, c.other.Incarnation).encode()})
		// Before all that waits on this side: it vouches for what came on the lane, not for
		// what goes out, and a voucher that is late is worth less.
		c.out.hurry(answer)
	case typeBye:
		c.peer.leaves(c.other.Incarnation)
		return errGoodbye
	default:
		return fmt.Errorf("link: a frame of type %d is no request", h.typ)
	}
	return nil
}

// takeCall hands a call to the handler.
func (c *conn) takeCall(from NodeID, h header, body []byte) {
	if reply := c.hold(h, body); reply != nil {
		c.l.cfg.Handler.Call(from, c.lane, h.kind, body, time.Duration(h.left)*time.Millisecond, reply)
	}
}

// hold counts a call as held here until it is answered, and returns how. It
// answers the call itself, and returns nil, when too much is held.
func (c *conn) hold(h header, body []byte) func([]byte, error) {
	// What is held is the memory of this node, spent by another one. The bound is per
	// connection, so one peer cannot use up what the others need.
	size := int64(len(body))
	calls, bytes := c.heldCalls.Add(1), c.heldBytes.Add(size)
	var answered atomic.Bool
	reply := func(body []byte, err error) {
		if answered.Swap(true) {
			c.l.log.Error("a call of another node was answered twice", "kind", h.kind)
			return
		}
		c.heldCalls.Add(-1)
		c.heldBytes.Add(-size)
		c.reply(h.call, body, err)
	}
	if calls > maxHeldCalls || bytes > maxHeldBytes {
		reply(nil, overloaded("the other node holds too much that it has not answered"))
		return nil
	}
	return reply
}

// reply sends an answer. When there is no room for it, the caller is told that.
func (c *conn) reply(id uint32, body []byte, err error) {
	f := makeFrame(typeReply, 0, [][]byte{body})
	if err != nil {
		f = makeFrame(typeFailure, 0, [][]byte{encodeError(err)})
	}
	f.header.call = id
	sendErr := c.send(f)
	if sendErr == nil || errors.Is(sendErr, errClosed) {
		return
	}
	c.counts.dropped.Add(1)
	// It has been carried out, perhaps; only its answer is lost.
	said := overloaded("there is no room for the answer: %v", sendErr).WithOutcome(protocol.OutcomeUnknown)
	f = makeFrame(typeFailure, 0, [][]byte{encodeError(said)})
	f.header.call = id
	// It is small, and without it the caller would wait for its whole time.
	c.out.force(f)
}

// isEnd says whether an error is just the end of a connection.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, errGoodbye)
}
