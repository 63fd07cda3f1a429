package linktest

import (
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
)

var (
	mu    sync.Mutex
	given = map[string]bool{}
)

// FreeAddress returns an address of this machine on which nobody listens, and nobody will
// unless by this address: it is of a loopback address that depends on the process, where
// there are such ones, so that neither another process's tests nor an outgoing connection
// gets the same port while a server is down. No two calls in a process return the same.
func FreeAddress(t testing.TB) string {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	pid := os.Getpid()
	for range 1000 {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.1:0", pid>>8%128+64, pid%256))
		if err != nil { // only Linux has all of them
			ln, err = net.Listen("tcp", "127.0.0.1:0")
		}
		if err != nil {
			t.Fatal(err)
		}
		address := ln.Addr().String()
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		if !given[address] {
			given[address] = true
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}
