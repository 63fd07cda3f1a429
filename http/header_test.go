package http

import (
	"bufio"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Bytes that a proxy could cut into other requests than the server does are
// refused, and nothing of them is executed.
func TestAmbiguousFraming(t *testing.T) {
	h := start(t, Options{})
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
