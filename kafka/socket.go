package kafka

import (
	"bufio"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"ottla/http/budget"
)

// socket is where a client's bytes come from, and go to.
type socket struct {
	nc   net.Conn
	r    *bufio.Reader
	done <-chan struct{} // closed when the server ends

	raw     syscall.RawConn // what nc is or stands on; nil where there is no socket
	stalled atomic.Bool     // EndStalled was called
}

func newSocket(nc net.Conn, done <-chan struct{}) *socket {
	return &socket{nc: nc, r: bufio.NewReaderSize(nc, 1<<10), done: done, raw: budget.SocketOf(nc)}
}

// Taken implements budget.Receiver.
func (so *socket) Taken() uint64 { return budget.Taken(so.raw) }

// EndStalled implements budget.Receiver. It is called only while an answer is being sent,
// whose deadline is set before.
func (so *socket) EndStalled() {
	so.stalled.Store(true)
	budget.Discard(so.raw)
	_ = so.nc.SetWriteDeadline(time.Unix(1, 0)) // fails on a closed connection, which waits for nothing
}

// patience sets how long the client may take for what comes next; false if the server
// ends.
func (so *socket) patience(d time.Duration) bool {
	_ = so.nc.SetReadDeadline(time.Now().Add(d))
	select {
	case <-so.done:
		return false
	default:
		return true
	}
}

// watch returns a channel that is closed when the client leaves. The connection must not
// be read until stop has returned.
func (so *socket) watch() (left <-chan struct{}, stop func()) {
	gone, over := make(chan struct{}), make(chan struct{})
	_ = so.nc.SetReadDeadline(time.Time{})
	go func() {
		defer close(over)
		if _, err := so.r.Peek(1); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			close(gone)
		}
	}()
	return gone, func() {
		_ = so.nc.SetReadDeadline(time.Unix(1, 0)) // the next request sets another one
		<-over
	}
}

// gone reports whether the client has left, without reading. It cannot tell where there
// is no socket.
func (so *socket) gone() bool {
	return so.raw != nil && departed(so.raw)
}

// peer is the address of the client.
func (so *socket) peer() string {
	host, _, err := net.SplitHostPort(so.nc.RemoteAddr().String())
	if err != nil {
		return ""
	}
	return "/" + host
}
