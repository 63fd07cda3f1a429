package conn

import "golang.org/x/sys/unix"

// Taken is how many bytes the client has acknowledged, as the kernel counts them: what
// lies in the kernel's buffers is not taken.
func (c *Conn) Taken() uint64 {
	if c.socket == nil {
		return 0
	}
	var taken uint64
	_ = c.socket.Control(func(fd uintptr) { // fails on a closed connection, which has nothing to send
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			taken = info.Bytes_acked
		}
	})
	return taken
}
