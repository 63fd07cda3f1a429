package budget

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Taken is how many bytes the client of a socket has acknowledged, as the kernel counts
// them: what lies in the kernel's buffers is not taken. It is 0 where there is no socket.
func Taken(socket syscall.RawConn) uint64 {
	if socket == nil {
		return 0
	}
	var taken uint64
	_ = socket.Control(func(fd uintptr) { // fails on a closed connection, which has nothing to send
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			taken = info.Bytes_acked
		}
	})
	return taken
}
