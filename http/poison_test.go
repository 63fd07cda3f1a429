package http

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"ottla/http/conn"
)

// What a handler keeps of a request without a copy is overwritten as soon as the
// request is over or suspended. So all tests of a build with `poison` or with the
// race detector look for such bugs.
func TestWhatIsKeptOfARequestIsSpoiled(t *testing.T) {
	if !conn.Poisons {
		t.Skip("built without -tags poison")
	}
	h := start(t, Options{})
	h.b.add("t", 1)
	kept := map[string][]byte{}
	inner := h.s.handler
	h.s.handler = func(ctx *fasthttp.RequestCtx) {
		kept = map[string][]byte{
			"target": ctx.RequestURI(), "path": ctx.Path(), "query": ctx.URI().QueryString(), "argument": ctx.QueryArgs().Peek("topic"),
			"header": ctx.Request.Header.Peek("X-Kept"), "host": ctx.Request.Header.Host(), "agent": ctx.UserAgent(),
		}
		inner(ctx)
	}
	check := func() {
		for what, b := range kept {
			assert.NotEmpty(t, b, what)
			for _, c := range b {
				assert.EqualValues(t, conn.PoisonByte, c, what)
			}
		}
	}
	ask := func(target string) net.Conn {
		socket, err := h.ln.Dial()
		require.NoError(t, err)
		t.Cleanup(func() { _ = socket.Close() })
		_, err = socket.Write([]byte("GET " + target + " HTTP/1.1\r\nHost: a\r\nUser-Agent: me\r\nX-Kept: 1\r\nConnection: close\r\n\r\n"))
		require.NoError(t, err)
		return socket
	}
	_, err := io.Copy(io.Discard, ask("/topic/t/partitions/0/records?topic=t"))
	require.NoError(t, err)
	check()

	h.b.parked = make(chan struct{}, 1)
	ask("/events?topic=t&timeout_ms=30000")
	<-h.b.parked
	check()
}

// The body, and what was made of it, are overwritten as well.
func TestWhatIsKeptOfABodyIsSpoiled(t *testing.T) {
	if !conn.Poisons {
		t.Skip("built without -tags poison")
	}
	s := New(newFake(), Options{})
	c := s.calls.Get().(*call)
	c.buf, c.scratch = append(c.buf, "body"...), append(c.scratch, "made of it"...)
	c.body = c.buf
	body, made := c.body, c.scratch
	s.release(c)
	for _, b := range append(body, made...) {
		assert.EqualValues(t, conn.PoisonByte, b)
	}
}
