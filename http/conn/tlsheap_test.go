package conn

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/certs/certstest"
)

// What crypto/tls keeps of a connection that is open, and that nobody reads from at the
// moment, is what a waiting poll costs over TLS more than without. About half of it are
// the buffers in which the client's greeting was; they are private, and cannot be given
// back.
func TestHeapOfAnOpenTLSConnection(t *testing.T) {
	a := certstest.New(t)
	pair, err := tls.LoadX509KeyPair(a.Issue("localhost"))
	require.NoError(t, err)
	server, client := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, a.Client("")
	client.ServerName = "localhost"
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = ln.Close() }()
	const connections, request = 200, 300
	var kept [connections + 1]net.Conn
	var before, after runtime.MemStats
	heap := func(into *runtime.MemStats) {
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(into)
	}
	for i := range kept {
		if i == 1 { // the first has made what all share
			heap(&before)
		}
		greeted := make(chan error, 1)
		raw, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = raw.Close() })
		go func() {
			c := tls.Client(raw, client)
			_, err := c.Write(make([]byte, request))
			greeted <- err
		}()
		accepted, err := ln.Accept()
		require.NoError(t, err)
		kept[i] = tls.Server(accepted, server)
		t.Cleanup(func() { _ = accepted.Close() })
		_, err = io.ReadFull(kept[i], make([]byte, request))
		require.NoError(t, err)
		require.NoError(t, <-greeted)
	}
	heap(&after)
	each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / connections
	t.Logf("%d bytes of heap a connection", each)
	assert.Less(t, each, int64(10<<10))
	runtime.KeepAlive(&kept)
}
