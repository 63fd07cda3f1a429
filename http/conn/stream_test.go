package conn

import (
	"bufio"
	"io"
	"net"
	nethttp "net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// streamer answers /stream with what run writes, and other requests as echo does.
type streamer struct {
	echo
	run func(*Stream)
}

func (h *streamer) Serve(ctx *fasthttp.RequestCtx) {
	if string(ctx.Path()) != "/stream" {
		h.echo.Serve(ctx)
		return
	}
	ctx.Response.Header.Set("X-Name", "value")
	h.session.Stream(h.run)
}

func serveStream(t *testing.T, run func(*Stream)) (net.Conn, *bufio.Reader) {
	t.Helper()
	s := serve(t, plain, func(o *Options) {
		o.Handler = func(session *Session) Handler { return &streamer{echo: echo{session: session}, run: run} }
	})
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn, bufio.NewReader(conn)
}

// A stream holds no buffers, its pieces arrive when they are written, and the
// requests behind it are answered when it has ended.
func TestStream(t *testing.T) {
	goOn := make(chan struct{})
	conn, r := serveStream(t, func(st *Stream) {
		if st.s.b != nil && st.s.reader().Buffered() == 0 || st.WritePiece(nil) != nil || st.WritePiece([]byte("one\n")) != nil {
			return
		}
		<-goOn
		_, _ = st.TryWrite(AppendChunk(AppendChunk(nil, []byte("two\n")), []byte("three\n")))
	})
	_, err := io.WriteString(conn, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	resp, err := nethttp.ReadResponse(r, nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"chunked"}, resp.TransferEncoding)
	assert.Equal(t, "value", resp.Header.Get("X-Name"))
	lines := bufio.NewReader(resp.Body)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "one\n", line, "before the stream goes on")
	close(goOn)
	rest, err := io.ReadAll(lines)
	require.NoError(t, err)
	assert.Equal(t, "two\nthree\n", string(rest))
	assert.Contains(t, read(t, r), "/next")
	assert.Contains(t, exchange(t, conn, r, "GET /last HTTP/1.1\r\nHost: x\r\n\r\n"), "/last")
}

// What TryWrite could not send is sent by Write, without a byte lost or twice.
func TestStreamToAClientThatDoesNotRead(t *testing.T) {
	const size = 64 << 20 // more than the kernel takes
	short := make(chan int, 1)
	conn, r := serveStream(t, func(st *Stream) {
		chunk := AppendChunk(nil, []byte(strings.Repeat("0123456789abcdef", size/16)))
		n, err := st.TryWrite(chunk)
		short <- n
		if err == nil {
			_ = st.Write(chunk[n:])
		}
	})
	_, err := io.WriteString(conn, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	n := <-short
	assert.Positive(t, n)
	assert.Less(t, n, size)
	resp, err := nethttp.ReadResponse(r, nil)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.True(t, string(body) == strings.Repeat("0123456789abcdef", size/16))
}

// A client that has left ends the stream at its next write, of whatever kind.
func TestStreamWhoseClientLeft(t *testing.T) {
	begun, left, failed := make(chan struct{}), make(chan struct{}), make(chan error, 3)
	conn, _ := serveStream(t, func(st *Stream) {
		close(begun)
		<-left
		chunk := AppendChunk(nil, []byte("x"))
		for err := error(nil); err == nil; { // the first may still be taken by the kernel
			_, err = st.TryWrite(chunk)
		}
		_, err := st.TryWrite(chunk)
		failed <- err
		failed <- st.Write(chunk)
		failed <- st.WritePiece([]byte("x"))
	})
	_, err := io.WriteString(conn, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	<-begun
	require.NoError(t, conn.(*net.TCPConn).SetLinger(0))
	require.NoError(t, conn.Close())
	close(left)
	for range 3 {
		assert.Error(t, <-failed)
	}
}
