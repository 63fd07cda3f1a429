package e2e

import (
	"fmt"
	"math/rand"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// freeAddress returns an address for a process that keeps it when it starts again.
func freeAddress(t *testing.T) string { return freeAddresses(t, 1) }

// freePorts returns an address for the first of three ports in a row.
func freePorts(t *testing.T) string { return freeAddresses(t, 3) }

// freeAddresses returns an address for the first of n ports in a row that nobody uses, and
// that no other test is given, whatever process it is in, before this one ends: a UDP
// socket of a number far above holds each. They are none of those that kernels give to
// outgoing connections, as they come.
func freeAddresses(t *testing.T, n int) string {
	t.Helper()
	for range 1000 {
		first := 10000 + rand.Intn(22000)
		var held []net.PacketConn
		for port := first; port < first+n; port++ {
			if holder := hold(port); holder != nil {
				held = append(held, holder)
			}
		}
		if len(held) == n {
			t.Cleanup(func() { release(held) })
			return fmt.Sprintf("127.0.0.1:%d", first)
		}
		release(held)
	}
	require.FailNow(t, "no ports are free", "%d in a row", n)
	return ""
}

// hold takes a port if nobody has it; nil if somebody does.
func hold(port int) net.PacketConn {
	const above = 33000
	holder, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port+above))
	if err != nil {
		return nil
	}
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		_ = holder.Close()
		return nil
	}
	_ = ln.Close()
	return holder
}

func release(held []net.PacketConn) {
	for _, holder := range held {
		_ = holder.Close()
	}
}

// No two tests are given the same ports, however close to each other they ask.
func TestPortsAreGivenOnce(t *testing.T) {
	t.Parallel()
	given := map[int]bool{}
	for range 300 {
		for _, n := range []int{1, 3} {
			_, text, err := net.SplitHostPort(freeAddresses(t, n))
			require.NoError(t, err)
			var first int
			_, err = fmt.Sscan(text, &first)
			require.NoError(t, err)
			for port := first; port < first+n; port++ {
				require.False(t, given[port], "port %d", port)
				given[port] = true
			}
		}
	}
}
