package conn

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"ottla/http/budget"
)

// Conn is a connection that its Listener counts until it is closed. Its
// deadlines are cheap to move (see lazyDeadline).
//
// Whatever reads around the connection is behind raw: a connection that is no
// socket, such as a tls.Conn, works without. Whether its client has left is told
// by the socket that it stands on.
type Conn struct {
	net.Conn
	ln  *Listener
	raw syscall.RawConn // nil when Conn is not a socket

	socket syscall.RawConn // raw, or the socket that Conn stands on; nil when there is none

	session *Session // what speaks HTTP on it; nil for other protocols
	state   atomic.Int32

	departure atomic.Pointer[departure] // of its client; nil until Watch is called

	reading, writing lazyDeadline

	stalled atomic.Bool // EndStalled was called
}

// What a connection is doing.
const (
	stateActive int32 = iota // a request, or part of one, is here
	stateIdle                // it waits for the next request
	stateEnded               // the listener ends: nothing more is read
)

func newConn(l *Listener, raw net.Conn) *Conn {
	c := &Conn{Conn: raw, ln: l}
	c.socket = budget.SocketOf(raw)
	if _, ok := raw.(syscall.Conn); ok {
		c.raw = c.socket
	}
	c.writing.eager = c.raw == nil
	return c
}

// SetIdle says that no request is under way: CloseIdle may close the
// connection from now on.
func (c *Conn) SetIdle() { c.state.Store(stateIdle) }

// SetActive says that a request has begun. It returns false if CloseIdle was
// faster.
func (c *Conn) SetActive() bool { return c.state.CompareAndSwap(stateIdle, stateActive) }

// Close closes the connection and makes room for another.
func (c *Conn) Close() error {
	if d := c.departure.Load(); d != nil {
		d.end()
	}
	c.ln.remove(c)
	return c.Conn.Close()
}

// EndStalled ends the connection, whose client takes nothing of an answer: the write
// that waits for it fails, and what the kernel still has for it is thrown away.
func (c *Conn) EndStalled() {
	c.stalled.Store(true)
	budget.Discard(c.socket)
	c.writing.bound(time.Now(), c.Conn.SetWriteDeadline)
}

// Taken is how many bytes the client has acknowledged; see budget.Taken.
func (c *Conn) Taken() uint64 { return budget.Taken(c.socket) }

// Watch returns a channel that is closed when the client leaves or has left,
// and a function that ends the watch. The channel is nil where departures
// cannot be told: Gone says then, from time to time. If the client leaves during
// the watch, told is called; it must not block. The connection must not be
// closed during the watch.
func (c *Conn) Watch(told func()) (left <-chan struct{}, forget func()) {
	return c.ln.departures.watch(c, told)
}

// Gone reports whether the client has closed its side, without reading. It
// cannot tell, and says no, when bytes have arrived that nobody has read, such as
// the end of a TLS connection, and when there is no socket.
func (c *Conn) Gone() bool {
	if c.socket == nil {
		return false
	}
	gone := false
	err := c.socket.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		gone = n == 0 && err == nil || err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR)
	})
	return gone || err != nil
}
