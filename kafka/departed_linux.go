package kafka

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// departed reports whether the client of a socket has closed its side, or is not to be
// reached any more, whatever it has sent before that nobody has read.
func departed(socket syscall.RawConn) bool {
	gone := false
	err := socket.Control(func(fd uintptr) {
		p := [...]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}} // a descriptor
		n, err := unix.Poll(p[:], 0)
		gone = err == nil && n > 0 && p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone || err != nil
}
