//go:build !linux

package kafka

import "syscall"

// departed cannot tell on this system: a read that waits ends when its time is over.
func departed(syscall.RawConn) bool { return false }
