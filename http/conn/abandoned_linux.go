package conn

import (
	"time"

	"golang.org/x/sys/unix"
)

// tcpEstablished is the state of a connection that nobody has closed, in the kernel's
// struct tcp_info.
const tcpEstablished = 1

// Abandoned reports whether the client has closed its side, and sent nothing for so long
// before now: what it had asked for it has given up. It is cheap. It cannot tell, and says
// no, where there is no socket; over TLS the end of the client's side counts as sent.
func (c *Conn) Abandoned(since time.Duration) (abandoned bool) {
	if c.socket == nil {
		return false
	}
	_ = c.socket.Control(func(fd uintptr) { // fails on a closed connection, which is none of the client's doing
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		abandoned = err == nil && info.State != tcpEstablished && time.Duration(info.Last_data_recv)*time.Millisecond > since
	})
	return abandoned
}
