package conn

import (
	"net"
	"time"
)

// Bounds of a lingering close.
const (
	lingerTime = 5 * time.Second        // from its beginning
	lingerIdle = time.Second            // without a byte from the client
	lingerLast = 200 * time.Millisecond // from its beginning, while the server shuts down
)

// linger half-closes c after the last answer, then reads and drops what its
// client still sends: at most most bytes, for at most within. Closing a socket
// that has unread bytes resets the connection (RFC 9112, 9.6), and the reset
// may destroy the answer before the client has read it.
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
