package http

import (
	"context"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// A change that lay unread for long is not carried out when its client has left: it may have
// been done by another node, and undone, since. One whose client has only closed its own
// side, or waits, is.
func TestChangesOfClientsThatGaveUp(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs to be told by the kernel when clients have left")
	}
	const request = "DELETE /topic/t HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
	h := startTCP(t, Options{})
	deleted := make(chan string, 10)
	h.b.deleteTopic = func(name string) *protocol.Error {
		deleted <- name
		return nil
	}
	send := func(text string) *net.TCPConn {
		c, err := h.ln.Dial()
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		_, err = io.WriteString(c, text)
		require.NoError(t, err)
		return c.(*net.TCPConn)
	}
	h.b.parked = make(chan struct{}, 10)
	// The poll in front keeps the change from being read, as a process that is stopped does.
	const behind = "GET /topic/t/partitions/0/records?offset=0&timeout_ms=30000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + request
	h.b.add("t", 1)
	c := send(behind)
	<-h.b.parked
	ctx, cancel := context.WithTimeout(t.Context(), givenUp+givenUp/2) // by the kernel's clock it must lie for givenUp
	<-ctx.Done()
	cancel()
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { _, active := h.s.conns.Connections(); return active == 0 }, patience, time.Millisecond)
	assert.Empty(t, deleted)

	c = send(request)
	require.NoError(t, c.CloseWrite())
	assert.Equal(t, "t", <-deleted)
	text, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.Contains(t, string(text), "HTTP/1.1 204")
}
