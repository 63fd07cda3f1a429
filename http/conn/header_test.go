package conn

import (
	"bufio"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"ottla/http/budget"
)

// headerSession is a session whose client has sent text.
func headerSession(text string) *Session {
	s := &Session{srv: NewServer(Options{MaxHeaderBytes: 32 << 10, Bytes: budget.New(1 << 20)}), b: &buffers{}}
	s.b.br = bufio.NewReaderSize(strings.NewReader(text), readBuffer)
	return s
}

const typicalHeader = "POST /events?cluster=main HTTP/1.1\r\nHost: 127.0.0.1:7654\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 130\r\n" +
	"Content-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"

func BenchmarkHeader(b *testing.B) {
	s, in := headerSession(""), strings.NewReader("")
	b.ReportAllocs()
	for b.Loop() {
		in.Reset(typicalHeader)
		s.b.br.Reset(in)
		s.b.ctx.Request.Reset()
		if err := s.readHeader(); err != nil {
			b.Fatal(err)
		}
	}
}

// What a handler sees of a header.
func TestHeaderIsRead(t *testing.T) {
	s := headerSession("\r\nPOST /a?b=c HTTP/1.1\r\nhost: h:1\r\nX-ONE:1\r\nx-one: \t2 \t\r\nContent-Type: text/plain\r\nuser-agent: me\r\n" +
		"Content-Length: 007\r\nConnection: keep-alive , CLOSE\r\nEmpty:\r\n\r\nthe body")
	require.NoError(t, s.readHeader())
	h := &s.b.ctx.Request.Header
	assert.Equal(t, "POST /a?b=c h:1", string(h.Method())+" "+string(h.RequestURI())+" "+string(h.Host()))
	assert.Equal(t, [][]byte{[]byte("1"), []byte("2")}, h.PeekAll("X-One"))
	assert.Equal(t, "1", string(h.PeekCanonical([]byte("X-One"))))
	assert.Equal(t, "text/plain me", string(h.ContentType())+" "+string(h.UserAgent()))
	assert.Equal(t, 7, h.ContentLength())
	assert.Empty(t, h.Peek("Empty"))
	assert.True(t, h.ConnectionClose())
	assert.True(t, h.IsHTTP11())
	left, err := s.b.br.Peek(8)
	require.NoError(t, err)
	assert.Equal(t, "the body", string(left))
}

// What ends a connection by its header, and what is chunked.
func TestHeaderSaysHowItEnds(t *testing.T) {
	for text, closes := range map[string]bool{
		"GET / HTTP/1.1\r\nHost: a\r\n":                                                   false,
		"GET / HTTP/1.1\r\nHost: a_b.c:80\r\n":                                            false,
		"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n":                                          false,
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n":                              true,
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: keep-alive\r\n":    true,
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n":                             false,
		"GET / HTTP/1.0\r\n":                                                              true,
		"GET / HTTP/1.0\r\nHost: \r\n":                                                    true,
		"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n":                                    false,
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n":               true,
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n":                                               false,
		"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n":                                             false,
		"GET http://b/ HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nCookie: a=b; c\r\n":       false,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nExpect: nothing\r\n": false,
	} {
		s := headerSession(text + "\r\n")
		require.NoError(t, s.readHeader(), text)
		h := &s.b.ctx.Request.Header
		assert.Equal(t, closes, h.ConnectionClose(), text)
		assert.Equal(t, strings.Contains(text, "HTTP/1.1"), h.IsHTTP11(), text)
		assert.NotEmpty(t, h.Host(), text)
		assert.Equal(t, strings.HasPrefix(text, "POST"), h.ContentLength() == -1, text)
	}
}

// A header that cannot be one is refused, as a whole and byte by byte, and
// nothing of it is left.
func TestHeaderIsRefused(t *testing.T) {
	const get = "GET / HTTP/1.1\r\n"
	for text, want := range map[string]error{
		"\x16\x03\x01":                                     errNotHTTP,
		"G@T / HTTP/1.1\r\n":                               errNotHTTP,
		" / HTTP/1.1\r\n":                                  errNotHTTP,
		"GET / HTTP/1.2\r\n":                               errVersion,
		"GET /a b HTTP/1.1\r\n":                            errBadTarget,
		"GET  HTTP/1.1\r\n":                                errBadTarget,
		"GET /\x01 HTTP/1.1\r\n":                           errBadTarget,
		"GET * HTTP/1.1\r\n":                               errBadTarget,
		"GET a HTTP/1.1\r\n":                               errBadTarget,
		"GET 1x://a HTTP/1.1\r\n":                          errBadTarget,
		"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n":              errBadTarget,
		get + "Host: a@b\r\n\r\n":                          errBadTarget,
		get + "Host: a/b\r\n\r\n":                          errBadTarget,
		get + "Host: a b\r\n\r\n":                          errBadTarget,
		get + "Host: a#b\r\n\r\n":                          errBadTarget,
		get + "Host: a\n":                                  errLineEnd,
		get + "X: \x00\r\n":                                errField,
		get + "X: \x7f\r\n":                                errField,
		get + "X : y\r\n":                                  errField,
		get + "X\r\n":                                      errField,
		get + "\r\n":                                       errHost,
		get + "Host: a\r\nhost:\r\n\r\n":                   errHost,
		get + "Content-Length: 1\r\nContent-Length: 1\r\n": errLength,
		get + "Content-Length: +1\r\n":                     errLength,
		get + "Content-Length:\r\n":                        errLength,
		get + "Content-Length: 99999999999999999999\r\n":   errLength,
		get + "Transfer-Encoding: gzip\r\n":                errCoding,
		get + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n": errCoding,
		"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n":                   errCoding,
		get + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n":          errTwoLengths,
		get + "Trailer: X, Content-Length\r\n":                               errTrailer,
		get + strings.Repeat("X: y\r\n", MaxHeaderFields+1):                  ErrManyFields,
	} {
		s := headerSession(text)
		require.ErrorIs(t, s.readHeader(), want, "%.100q", text)
		if !errors.Is(want, errBadTarget) {
			assert.Empty(t, s.b.ctx.Request.Header.Host(), text)
		}
		if len(text) < 200 { // in pieces
			p := newHeaderParser(new(fasthttp.RequestHeader))
			var err error
			for n := 1; n <= len(text) && err == nil; n++ {
				_, err = p.parse([]byte(text[:n]))
			}
			if err != nil { // a target is looked at again when all is there
				assert.ErrorIs(t, err, want, text)
			}
		}
	}
}
