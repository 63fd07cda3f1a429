package http

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hostile is what a client sends on a connection, and what must come of it.
type hostile struct {
	send   string
	status int
	code   string // of the error; empty for a success
	says   string // in its message
	keeps  bool   // the connection answers a next request
}

const (
	healthz  = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
	postHead = "POST /events HTTP/1.1\r\nHost: a\r\n"
	postBody = `{"topic":"t"}`
	tooLong  = 20_000 // for a body
)

func hostileTable() map[string]hostile {
	all := map[string]hostile{}
	for _, part := range []map[string]hostile{
		hostileLines(), hostileTargets(), hostileHeaders(), hostileLengths(), hostileChunks(), hostileSizes(),
	} {
		maps.Copy(all, part)
	}
	return all
}

func malformed(send string) hostile { return hostile{send: send, status: 400, code: "malformed"} }

func (h hostile) saying(text string) hostile {
	h.says = text
	return h
}

func kept(status int, code, send string) hostile {
	return hostile{send: send, status: status, code: code, keeps: true}
}

func getOf(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n" }

func chunks(body string) string { return postHead + "Transfer-Encoding: chunked\r\n\r\n" + body }

func hostileLines() map[string]hostile {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00"
	return map[string]hostile{
		"TLS":                     malformed("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00"),
		"HTTP/2 preface":          malformed(preface),
		"HTTP/0.9":                malformed("GET /healthz\r\n\r\n"),
		"HTTP/1.2":                malformed("GET /healthz HTTP/1.2\r\nHost: a\r\n\r\n").saying("HTTP/1.1"),
		"HTTP/2.0":                malformed("GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n").saying("HTTP/1.1"),
		"version in lower case":   malformed("GET /healthz http/1.1\r\nHost: a\r\n\r\n"),
		"garbage":                 malformed("\x00\xff\xfe garbage"),
		"two spaces":              malformed("GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
		"a space in the target":   malformed("GET /healthz /x HTTP/1.1\r\nHost: a\r\n\r\n"),
		"a tab in the line":       malformed("GET\t/healthz\tHTTP/1.1\r\nHost: a\r\n\r\n"),
		"a space at the end":      malformed("GET /healthz HTTP/1.1 \r\nHost: a\r\n\r\n"),
		"a space before":          malformed(" GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
		"no target":               malformed("GET HTTP/1.1\r\nHost: a\r\n\r\n"),
		"a method with a bracket": malformed("GE(T /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
		"a method in lower case":  kept(405, "method_not_allowed", "get /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
		"an unknown method":       kept(405, "method_not_allowed", "BREW /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
		"TRACE":                   kept(405, "method_not_allowed", "TRACE /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
		"CONNECT":                 kept(404, "route_not_found", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
		"empty lines before":      kept(200, "", "\r\n\r\n"+healthz),
		"a long target":           {send: getOf("/" + strings.Repeat("a", 40<<10)), status: 400, code: "limit_exceeded"},
		"a long method":           malformed(strings.Repeat("A", 40<<10)),
		"only empty lines":        {send: strings.Repeat("\r\n", 20<<10), status: 400, code: "limit_exceeded"},
	}
}

func hostileTargets() map[string]hostile {
	return map[string]hostile{
		"absolute form":              kept(200, "", "GET http://other:1/healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
		"absolute form, no host":     malformed("GET http://other/healthz HTTP/1.1\r\n\r\n"),
		"asterisk":                   malformed(getOf("*")),
		"OPTIONS asterisk":           kept(204, "", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
		"no slash":                   malformed(getOf("healthz")),
		"two slashes, no host":       {send: "GET //a/healthz HTTP/1.0\r\n\r\n", status: 404, code: "route_not_found"},
		"slashes within, no host":    {send: "GET /x//a/healthz HTTP/1.0\r\n\r\n", status: 404, code: "route_not_found"},
		"two slashes":                kept(404, "route_not_found", getOf("//healthz")),
		"dots":                       kept(404, "route_not_found", getOf("/x/../healthz")),
		"dots above":                 kept(404, "route_not_found", getOf("/../../etc/passwd")),
		"encoded dots":               kept(404, "route_not_found", getOf("/x/%2e%2e/healthz")),
		"an encoded slash":           kept(422, "invalid_name", getOf("/topic/a%2fb")),
		"encoded dots as name":       kept(422, "invalid_name", getOf("/topic/%2e%2e")),
		"NUL in a name":              kept(422, "invalid_name", getOf("/topic/a%00")),
		"NUL in a path":              kept(404, "route_not_found", getOf("/healthz%00")),
		"a line break in a name":     kept(422, "invalid_name", getOf("/topic/a%0d%0aX:%20y")),
		"a bad escape in a name":     kept(422, "invalid_name", getOf("/topic/%zz")),
		"a bad escape in a query":    kept(400, "invalid_parameter", getOf("/topic?internal=%zz")),
		"invalid UTF-8 in a path":    kept(404, "route_not_found", getOf("/\xff\xfe")),
		"invalid UTF-8 in a query":   kept(400, "unknown_parameter", getOf("/topic?\xff=1")),
		"a fragment":                 malformed(getOf("/healthz#x")).saying("target"),
		"a control character":        malformed(getOf("/healthz\x01")),
		"a raw NUL":                  malformed(getOf("/healthz\x00")),
		"very many parameters":       kept(400, "unknown_parameter", getOf("/topic?"+strings.Repeat("a&", 10_000))),
		"a backslash for a slash":    kept(404, "route_not_found", getOf(`/topic\..\healthz`)),
		"an encoded question mark":   kept(404, "route_not_found", getOf("/healthz%3fx=1")),
		"a semicolon in a path":      kept(404, "route_not_found", getOf("/healthz;x=1")),
		"a path in another's method": kept(405, "method_not_allowed", "PUT /events HTTP/1.1\r\nHost: a\r\n\r\n"),
	}
}

func hostileHeaders() map[string]hostile {
	return map[string]hostile{
		"no host":                    malformed("GET /healthz HTTP/1.1\r\n\r\n"),
		"no host, HTTP/1.0":          {send: "GET /healthz HTTP/1.0\r\n\r\n", status: 200},
		"two hosts":                  malformed("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
		"the same host twice":        malformed("GET /healthz HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"),
		"two hosts, HTTP/1.0":        malformed("GET /healthz HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
		"an empty host":              malformed("GET /healthz HTTP/1.1\r\nHost:\r\n\r\n"),
		"a host with a space":        malformed("GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n"),
		"a host with a slash":        malformed("GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n"),
		"a bare LF":                  malformed("GET /healthz HTTP/1.1\nHost: a\n\n").saying("CRLF"),
		"a bare LF after a header":   malformed("GET /healthz HTTP/1.1\r\nHost: a\nX: y\r\n\r\n").saying("CRLF"),
		"a bare LF at the end":       malformed("GET /healthz HTTP/1.1\r\nHost: a\r\n\n").saying("CRLF"),
		"a bare LF before":           malformed("\n" + healthz),
		"a bare CR":                  malformed("GET /healthz HTTP/1.1\r\nHost: a\r\nX: y\rZ: 1\r\n\r\n"),
		"two CR":                     malformed("GET /healthz HTTP/1.1\r\nHost: a\r\r\n\r\n"),
		"a folded header":            malformed("GET /healthz HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n"),
		"a folded first header":      malformed("GET /healthz HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n"),
		"a line of white space":      malformed("GET /healthz HTTP/1.1\r\nHost: a\r\n \r\n\r\n"),
		"a space before the colon":   malformed("GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n"),
		"no colon":                   malformed("GET /healthz HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"),
		"no name":                    malformed("GET /healthz HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"),
		"a name with a bracket":      malformed("GET /healthz HTTP/1.1\r\nHost: a\r\nX(y): z\r\n\r\n"),
		"a name with a high byte":    malformed("GET /healthz HTTP/1.1\r\nHost: a\r\nX\xe9: z\r\n\r\n"),
		"NUL in a name of a header":  malformed("GET /healthz HTTP/1.1\r\nHost: a\r\nX\x00: z\r\n\r\n"),
		"NUL in a value":             malformed("GET /healthz HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n"),
		"a control in a value":       malformed("GET /healthz HTTP/1.1\r\nHost: a\r\nX: \x0b\r\n\r\n"),
		"many headers":               kept(200, "", "GET /healthz HTTP/1.1\r\nHost: a\r\n"+strings.Repeat("X: y\r\n", 256-1)+"\r\n"),
		"too many headers":           {send: "GET /healthz HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 256), status: 400, code: "limit_exceeded"},
		"headers without end":        {send: "GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 1<<20), status: 400, code: "limit_exceeded"},
		"an upgrade to HTTP/2":       kept(200, "", "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"),
		"an upgrade to a web socket": kept(200, "", "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"),
		"an expectation of more":     kept(200, "", postHead+"Expect: 200-ok\r\nContent-Length: 13\r\n\r\n"+postBody),
		"an id that breaks lines":    malformed("GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\rb\r\n\r\n"),
	}
}

func hostileLengths() map[string]hostile {
	return map[string]hostile{
		"no length":                   kept(400, "malformed", postHead+"\r\n"),
		"the length twice":            malformed(postHead + "Content-Length: 13\r\nContent-Length: 13\r\n\r\n" + postBody),
		"two lengths":                 malformed(postHead + "Content-Length: 13\r\nContent-Length: 5\r\n\r\n" + postBody),
		"a list of lengths":           malformed(postHead + "Content-Length: 13, 13\r\n\r\n" + postBody),
		"a length with a sign":        malformed(postHead + "Content-Length: +13\r\n\r\n" + postBody),
		"a negative length":           malformed(postHead + "Content-Length: -13\r\n\r\n" + postBody),
		"a hexadecimal length":        malformed(postHead + "Content-Length: 0xd\r\n\r\n" + postBody),
		"a length with a space":       malformed(postHead + "Content-Length: 1 3\r\n\r\n" + postBody),
		"an empty length":             malformed(postHead + "Content-Length:\r\n\r\n" + postBody),
		"a length beyond 64 bits":     malformed(postHead + "Content-Length: 18446744073709551629\r\n\r\n" + postBody),
		"a length with zeros":         kept(200, "", postHead+"Content-Length: 0000013\r\n\r\n"+postBody),
		"a length and chunks":         malformed(postHead + "Content-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		"chunks, HTTP/1.0":            malformed("POST /events HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		"chunks twice":                malformed(postHead + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		"chunks in chunks":            malformed(postHead + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
		"gzip in chunks":              malformed(postHead + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
		"chunks, then identity":       malformed(postHead + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
		"something like chunked":      malformed(postHead + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
		"chunked with a tab":          kept(200, "", postHead+"Transfer-Encoding:\tchunked\r\n\r\nd\r\n"+postBody+"\r\n0\r\n\r\n"),
		"chunked with a line tab":     malformed(postHead + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
		"chunked, a space in the way": malformed(postHead + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
		"CHUNKED":                     kept(200, "", postHead+"Transfer-Encoding: CHUNKED\r\n\r\nD\r\n"+postBody+"\r\n0\r\n\r\n"),
		"a body on GET":               kept(400, "malformed", "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\n"+postBody),
		"a body on a route unknown":   kept(404, "route_not_found", fmt.Sprintf("POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", len(healthz))+healthz),
		"a body on a wrong method":    kept(405, "method_not_allowed", "PUT /events HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\n"+postBody),
		"a body that is a request":    kept(415, "unsupported_media_type", postHead+fmt.Sprintf("Content-Length: %d\r\n\r\n", len(healthz))+healthz),
		"a body longer than JSON":     kept(400, "malformed", postHead+fmt.Sprintf("Content-Length: %d\r\n\r\n", len(postBody+healthz))+postBody+healthz),
	}
}

func hostileChunks() map[string]hostile {
	return map[string]hostile{
		"an extension":               kept(200, "", chunks("d;a=b;c=\"d\"\r\n"+postBody+"\r\n0;e\r\n\r\n")),
		"an extension after a space": malformed(chunks("d ;a=b\r\n" + postBody + "\r\n0\r\n\r\n")),
		"a long extension":           malformed(chunks("d;" + strings.Repeat("x", 64<<10) + "\r\n" + postBody + "\r\n0\r\n\r\n")),
		"many long extensions":       malformed(chunks(strings.Repeat("1;"+strings.Repeat("x", 2000)+"\r\n \r\n", 100) + "0\r\n\r\n")),
		"many small chunks":          kept(200, "", chunks(strings.Repeat("1\r\n \r\n", 9000)+"d\r\n"+postBody+"\r\n0\r\n\r\n")),
		"a bare LF in a size":        malformed(chunks("d\n" + postBody + "\r\n0\r\n\r\n")),
		"a bare LF after an ext":     malformed(chunks("d;a\n" + postBody + "\r\n0\r\n\r\n")),
		"a bare LF after data":       malformed(chunks("d\r\n" + postBody + "\n0\r\n\r\n")),
		"a bare CR in an extension":  malformed(chunks("d;a\rb\r\n" + postBody + "\r\n0\r\n\r\n")),
		"no size":                    malformed(chunks("\r\n" + postBody + "\r\n0\r\n\r\n")),
		"no size, an extension":      malformed(chunks(";a\r\n" + postBody + "\r\n0\r\n\r\n")),
		"a size with a sign":         malformed(chunks("+d\r\n" + postBody + "\r\n0\r\n\r\n")),
		"a negative size":            malformed(chunks("-d\r\n" + postBody + "\r\n0\r\n\r\n")),
		"a size with 0x":             malformed(chunks("0xd\r\n" + postBody + "\r\n0\r\n\r\n")),
		"a size with a space before": malformed(chunks(" d\r\n" + postBody + "\r\n0\r\n\r\n")),
		"a size beyond 64 bits":      malformed(chunks("1000000000000000d\r\n" + postBody + "\r\n0\r\n\r\n")),
		"a size of 2^63":             malformed(chunks("8000000000000000\r\n" + postBody + "\r\n0\r\n\r\n")),
		"a size smaller than data":   malformed(chunks("5\r\n" + postBody + "\r\n0\r\n\r\n")),
		"a size larger than data":    malformed(chunks("e\r\n" + postBody + "\r\n0\r\n\r\n")),
		"trailers":                   kept(200, "", chunks("d\r\n"+postBody+"\r\n0\r\nX: y\r\nZ: 1\r\n\r\n")),
		"trailers that frame":        kept(200, "", chunks("d\r\n"+postBody+"\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: gzip\r\n\r\n")),
		"long trailers":              malformed(chunks("d\r\n" + postBody + "\r\n0\r\n" + strings.Repeat("X: y\r\n", 10<<10) + "\r\n")),
		"a long trailer":             malformed(chunks("d\r\n" + postBody + "\r\n0\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n")),
		"a trailer without colon":    malformed(chunks("d\r\n" + postBody + "\r\n0\r\nX\r\n\r\n")),
		"a control in a trailer":     malformed(chunks("d\r\n" + postBody + "\r\n0\r\nX: \x0e\r\n\r\n")),
		"a folded trailer":           malformed(chunks("d\r\n" + postBody + "\r\n0\r\nX: y\r\n z\r\n\r\n")),
		"a bare LF in a trailer":     malformed(chunks("d\r\n" + postBody + "\r\n0\r\nX: y\n\r\n")),
	}
}

func hostileSizes() map[string]hostile {
	return map[string]hostile{
		"a long body":               {send: postHead + fmt.Sprintf("Content-Length: %d\r\n\r\n", tooLong) + strings.Repeat("x", tooLong), status: 413, code: "body_too_large", keeps: true},
		"a long body, in chunks":    {send: chunks(fmt.Sprintf("%x\r\n", tooLong) + strings.Repeat("x", tooLong) + "\r\n0\r\n\r\n"), status: 413, code: "body_too_large", keeps: true},
		"a body of 2^60":            {send: postHead + "Content-Length: 1152921504606846976\r\n\r\n", status: 413, code: "body_too_large"},
		"a chunk of 2^56":           {send: chunks("100000000000000\r\n" + strings.Repeat("x", 40_000)), status: 413, code: "body_too_large"},
		"expecting to be too large": {send: postHead + "Expect: 100-continue\r\nContent-Length: 20000\r\n\r\n", status: 413, code: "body_too_large"},
	}
}

// Every error has the one shape. The connection is kept exactly if it is certain
// where the next request begins. And the answer arrives although the client is still
// sending.
func TestHostileRequests(t *testing.T) {
	hostileRequests(t, startTCP(t, Options{MaxBodyBytes: 10_000}), hostileTable())
}

// The same holds over TLS, whose records may cut a request anywhere. What is longer than
// the server reads on for after its answer does not fit into the sockets' buffers at once,
// as it does without TLS, and is left out.
func TestHostileRequestsOverTLS(t *testing.T) {
	const limit = 10_000
	all := hostileTable()
	maps.DeleteFunc(all, func(_ string, c hostile) bool { return len(c.send) > discardShare*limit })
	hostileRequests(t, startOn(t, Options{MaxBodyBytes: limit}, securedListener(t)), all)
}

func hostileRequests(t *testing.T, h *harness, all map[string]hostile) {
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			conn, err := h.ln.Dial()
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
			before := len(h.b.reqs)
			_, err = io.WriteString(conn, c.send)
			require.NoError(t, err)
			r := bufio.NewReader(conn)
			a := readAnswer(t, r)
			require.Equal(t, c.status, a.status, a.body)
			if c.code != "" {
				e := wantError(t, a, c.status, c.code)
				assert.Contains(t, e["message"], c.says)
				assert.Equal(t, "none", e["outcome"])
				assert.Len(t, h.b.reqs, before, "nothing is executed")
			}
			assert.Equal(t, !c.keeps, a.close, "what the answer says of the connection")
			if !c.keeps {
				_, err = r.ReadByte()
				assert.Equal(t, io.EOF, err, "closed, and not reset")
				return
			}
			_, err = io.WriteString(conn, healthz)
			require.NoError(t, err)
			assert.Equal(t, 200, readAnswer(t, r).status, "the next request")
		})
	}
}
