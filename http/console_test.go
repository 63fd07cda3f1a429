package http

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const browserAccepts = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"

func TestRoot(t *testing.T) {
	h := start(t, Options{Version: "v1"})
	for _, accept := range []string{"*/*", "application/json", "application/json, text/html", "text/html;q=0", ""} {
		a := h.do("GET", "/", "", "Accept", accept)
		v := wantOK(t, a, 200)
		assert.Equal(t, []any{"ottla", "v1"}, []any{v["name"], v["version"]})
		assert.Equal(t, "Accept", a.header.Get("Vary"))
		for _, link := range v["links"].(map[string]any) {
			assert.NotEqual(t, 404, h.raw("GET "+link.(string)+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").status, link)
		}
	}
	for _, target := range []string{"/", "/console"} {
		a := h.raw("GET " + target + " HTTP/1.1\r\nHost: a\r\nAccept: " + browserAccepts + "\r\nConnection: close\r\n\r\n")
		assert.Equal(t, 302, a.status)
		assert.Equal(t, "console/", a.header.Get("Location"), "relative: a proxy may have put it below a path of its own")
		assert.Empty(t, a.body)
	}
	wantError(t, h.do("GET", "/?x=1", ""), 400, "unknown_parameter")
}

// The page loads nothing but its own files, and the policy lets nothing else in.
func TestConsoleFiles(t *testing.T) {
	h := start(t, Options{})
	get := func(path string, headers ...string) answer {
		text := "GET " + path + " HTTP/1.1\r\nHost: a\r\n"
		for i := 0; i+1 < len(headers); i += 2 {
			text += headers[i] + ": " + headers[i+1] + "\r\n"
		}
		return h.raw(text + "Connection: close\r\n\r\n")
	}
	page := get("/console/")
	require.Equal(t, 200, page.status)
	assert.Equal(t, "text/html; charset=utf-8", page.header.Get("Content-Type"))
	names := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.body, -1)
	require.GreaterOrEqual(t, len(names), 3)
	for _, m := range names {
		if strings.HasPrefix(m[1], "../") {
			continue // a page of the server
		}
		a := get("/console/"+m[1], "Accept-Encoding", "gzip, zstd")
		assert.Equal(t, 200, a.status, m[1])
		assert.Equal(t, "gzip", a.header.Get("Content-Encoding"), m[1])
		assert.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		plain := get("/console/" + m[1])
		assert.Empty(t, plain.header.Get("Content-Encoding"))
		again := get("/console/"+m[1], "If-None-Match", a.header.Get("ETag"))
		assert.Equal(t, 304, again.status, "it is not sent again")
		assert.Empty(t, again.body)
	}
	policy := page.header.Get("Content-Security-Policy")
	assert.Contains(t, policy, "default-src 'none'")
	assert.NotContains(t, policy, "unsafe")
	assert.NotContains(t, page.body, "<style")
	assert.NotRegexp(t, `<script[^>]*>[^<]`, page.body, "nothing inline")
	for _, path := range []string{"/console/nothing.js", "/console/..%2fconsole.go", "/console/app.js/x"} {
		assert.Equal(t, 404, get(path).status, path)
	}
}

// Who may read an answer depends on the origin, also when the answer is compressed.
func TestCompressedAnswersVaryByOrigin(t *testing.T) {
	h := startTCP(t, browsing())
	a := h.ask("GET", "/openapi.json", "", "Host", "127.0.0.1:8080", "Origin", "https://app.example", "Accept-Encoding", "gzip")
	require.Equal(t, 200, a.status)
	assert.Equal(t, "gzip", a.header.Get("Content-Encoding"))
	assert.ElementsMatch(t, []string{"Origin", "Accept-Encoding"}, a.header.Values("Vary"))
}
