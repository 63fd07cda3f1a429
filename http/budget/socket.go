package budget

import (
	"net"
	"syscall"
)

// SocketOf returns the socket that a connection is or stands on, as a tls.Conn does; nil
// where there is none.
func SocketOf(nc net.Conn) syscall.RawConn {
	if over, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = over.NetConn()
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil { // it is closed already
		return nil
	}
	return raw
}

// Discard has the kernel throw away what it still has for the client of a socket when
// that is closed.
func Discard(socket syscall.RawConn) {
	if socket == nil {
		return
	}
	_ = socket.Control(func(fd uintptr) { // fails on a closed connection
		_ = syscall.SetsockoptLinger(int(fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	})
}
