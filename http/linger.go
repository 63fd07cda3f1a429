package http

import (
	"net"
	"time"
)

// Bounds of a lingering close.
const (
	lingerTime = 5 * time.Second        // in all
	lingerIdle = time.Second            // without a byte
	lingerLast = 200 * time.Millisecond // in all, when the server ends
)

// linger half-closes c after a last answer, and reads and drops what its
// client still sends, most bytes at most. Closing on unread bytes resets the
// connection (RFC 9112, 9.6), and the reset may take the answer away that the
// client has not read yet.
func linger(c net.Conn, most int, within time.Duration) {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	end := time.Now().Add(within)
	var b [readBuffer]byte
	for most > 0 {
		until := time.Now().Add(lingerIdle)
		if until.After(end) {
			until = end
		}
		if c.SetReadDeadline(until) != nil {
			return
		}
		n, err := c.Read(b[:])
		if err != nil {
			return
		}
		most -= n
	}
}

// linger ends the connection gently; what it held is given back already.
func (k *connection) linger() {
	k.c.state.Store(connIdle) // the end of the server does not wait for it
	within := lingerTime
	if k.srv.ending() {
		within = lingerLast
	}
	linger(k.c.Conn, discardShare*k.srv.o.MaxBodyBytes, within)
}
