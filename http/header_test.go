package http

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp/fasthttputil"

	"ottla/certs/certstest"
)

// Bytes that a proxy could cut into other requests than the server does are
// refused, and nothing of them is executed, over TLS as without.
func TestAmbiguousFraming(t *testing.T) {
	for name, ln := range map[string]listener{"plain": fasthttputil.NewInmemoryListener(), "tls": securedListener(t)} {
		t.Run(name, func(t *testing.T) { ambiguousFraming(t, ln) })
	}
}

// tlsListener is a listener of TLS, and dials over TLS.
type tlsListener struct {
	net.Listener
	roots *tls.Config
}

func (l tlsListener) Dial() (net.Conn, error) { return tls.Dial("tcp", l.Addr().String(), l.roots) }

func securedListener(t *testing.T) listener {
	t.Helper()
	ca := certstest.New(t)
	cert, key := ca.Issue("server")
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return tlsListener{tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{pair}}), ca.Client("")}
}

func ambiguousFraming(t *testing.T, ln listener) {
	h := startOn(t, Options{}, ln)
	smuggled := "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
	chunked := "d\r\n{\"topic\":\"t\"}\r\n0\r\n\r\n"
	for name, c := range map[string]struct {
		request string
		says    string
	}{
		"identity":              {"POST /events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", "transfer encoding"},
		"identity and a length": {"POST /events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 13\r\n\r\n{\"topic\":\"t\"}", "transfer encoding"},
		"chunks and a length":   {"POST /events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n" + chunked, "exclude each other"},
		"a length and chunks":   {"POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked, "exclude each other"},
		"a folded line":         {"POST /events HTTP/1.1\r\nHost: a\r\nX: y\r\n Content-Length: 3\r\n\r\n", "header field"},
		"a folded encoding":     {"POST /events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n" + chunked, "transfer encoding"},
		"a name of two words":   {"POST /events HTTP/1.1\r\nHost: a\r\nTransfer Encoding: chunked\r\n\r\n", "header field"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := h.ln.Dial()
			require.NoError(t, err)
			defer conn.Close()
			_, err = conn.Write([]byte(c.request + smuggled))
			require.NoError(t, err)
			r := bufio.NewReader(conn)
			e := wantError(t, readAnswer(t, r), 400, "malformed")
			assert.Contains(t, e["message"], c.says)
			_, err = r.ReadByte()
			assert.Equal(t, io.EOF, err)
		})
	}
	assert.Empty(t, h.b.reqs)
}

// HTTP/1.0 has no status 100: its clients would take that for the answer.
func TestNoContinueForHTTP10(t *testing.T) {
	h := start(t, Options{})
	a := h.raw("POST /events HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 13\r\n\r\n{\"topic\":\"t\"}")
	assert.Equal(t, 200, a.status)
}
