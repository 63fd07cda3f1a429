package http

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// browsing is a server as it is set up for people's machines.
func browsing() Options {
	return Options{Hosts: []string{"0.0.0.0", "ottla.example"}, CORSOrigins: []string{"https://app.example", "http://127.0.0.1:3000"}}
}

// ask sends a request by hand, so that every header is the test's.
func (h *harness) ask(method, target, body string, headers ...string) answer {
	h.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nContent-Length: %d\r\n", method, target, len(body))
	for i := 0; i+1 < len(headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", headers[i], headers[i+1])
	}
	b.WriteString("Connection: close\r\n\r\n" + body)
	return h.raw(b.String())
}

// assertUntouched fails the test if the broker was asked for anything.
func assertUntouched(t *testing.T, h *harness) {
	t.Helper()
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	assert.Empty(t, h.b.topics)
	assert.Empty(t, h.b.reqs)
	assert.Empty(t, h.b.polls)
}

// Whatever a page of another site sends is refused before anything happens, also
// what no route has, and whatever its body is.
func TestPagesOfOtherSitesAreRefused(t *testing.T) {
	const body = `{"topic":"a","value":1}`
	foreign := map[string][]string{
		"an origin":                   {"Origin", "https://evil.example"},
		"an opaque origin":            {"Origin", "null"},
		"another port":                {"Origin", "http://127.0.0.1:8081"},
		"the port of an allowed name": {"Origin", "https://app.example:8443"},
		"an allowed one over http":    {"Origin", "http://app.example"},
		"a name that begins alike":    {"Origin", "https://app.example.evil.example"},
		"no URL":                      {"Origin", "127.0.0.1:8080"},
		"a link or an image":          {"Sec-Fetch-Site", "cross-site"},
		"an image of a neighbour":     {"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"},
		"a frame of a neighbour":      {"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"},
	}
	requests := []struct{ method, target, body, mediaType string }{
		{"POST", "/events", body, "application/json"},
		{"POST", "/events", body, "text/plain"},
		{"POST", "/events", body, "application/x-www-form-urlencoded"},
		{"POST", "/events?topic=a", "x", "application/octet-stream"},
		{"POST", "/cluster/default/brokers/2/stop", "", ""},
		{"GET", "/events?topic=a&timeout_ms=1", "", ""},
		{"GET", "/topic/a/partitions/0/records", "", ""},
		{"DELETE", "/topic/a", "", ""},
		{"GET", "/healthz", "", ""},
		{"GET", "/nothing", "", ""},
		{"OPTIONS", "/events", "", ""},
	}
	h := startTCP(t, browsing())
	for name, headers := range foreign {
		for _, r := range requests {
			t.Run(name+" "+r.method+r.target+r.mediaType, func(t *testing.T) {
				all := append([]string{"Host", "127.0.0.1:8080"}, headers...)
				if r.mediaType != "" {
					all = append(all, "Content-Type", r.mediaType)
				}
				a := h.ask(r.method, r.target, r.body, all...)
				e := wantError(t, a, 403, "cross_site")
				assert.Equal(t, "none", e["outcome"])
				assert.Equal(t, false, e["retriable"])
				assert.Empty(t, a.header.Get("Access-Control-Allow-Origin"))
				assert.Equal(t, "Origin", a.header.Get("Vary"))
			})
		}
	}
	assertUntouched(t, h)
}

// Programs, and pages that this server has sent, are answered as ever.
func TestPagesOfThisServer(t *testing.T) {
	h := startTCP(t, browsing())
	for name, headers := range map[string][]string{
		"no browser":              {"Host", "127.0.0.1:8080"},
		"no port":                 {"Host", "localhost"},
		"its own page":            {"Host", "127.0.0.1:8080", "Origin", "http://127.0.0.1:8080", "Sec-Fetch-Site", "same-origin"},
		"its own page by name":    {"Host", "LOCALHOST:8080", "Origin", "http://localhost:8080"},
		"behind a proxy with TLS": {"Host", "ottla.example", "Origin", "https://ottla.example"},
		"the default port":        {"Host", "ottla.example:443", "Origin", "https://ottla.example"},
		"typed by hand":           {"Host", "127.0.0.1:8080", "Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"},
		"from a neighbour's link": {"Host", "127.0.0.1:8080", "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"},
		"a page's own request":    {"Host", "127.0.0.1:8080", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"},
	} {
		t.Run(name, func(t *testing.T) {
			a := h.ask("GET", "/healthz", "", headers...)
			assert.Equal(t, 200, a.status, a.body)
			assert.Empty(t, a.header.Get("Access-Control-Allow-Origin"))
		})
	}
}

// A page can have its own name resolve to this server; Host says that name.
func TestHostsThatAreNotTheServers(t *testing.T) {
	h := startTCP(t, browsing())
	for _, host := range []string{
		"127.0.0.1", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "[::1]", "localhost", "localhost.:8080", "a.localhost",
		"ottla.example", "OTTLA.example:9999", "ottla.example.", "[::ffff:127.0.0.1]:80",
	} {
		a := h.ask("GET", "/healthz", "", "Host", host)
		assert.Equal(t, 200, a.status, "%s: %s", host, a.body)
	}
	for _, host := range []string{
		"evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "192.168.1.1:8080",
		"[fe80::1]", "ottla.example.evil", "xottla.example", "169.254.169.254", "2130706433", "0x7f.1",
	} {
		a := h.ask("POST", "/events", `{"topic":"a","value":1}`, "Host", host)
		e := wantError(t, a, 421, "unknown_host")
		assert.Equal(t, "none", e["outcome"])
	}
	assertUntouched(t, h)
	// What was taken once is remembered for the connection, and no more than that.
	conn, err := h.ln.Dial()
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n"))
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	assert.Equal(t, 200, readAnswer(t, r).status)
	assert.Equal(t, 421, readAnswer(t, r).status)

	anybody := startTCP(t, Options{})
	assert.Equal(t, 200, anybody.ask("GET", "/healthz", "", "Host", "evil.example").status, "switched off")
}

// An allowed origin may ask, is told beforehand what, and may read the answer.
func TestAllowedOrigins(t *testing.T) {
	h := startTCP(t, browsing())
	for _, origin := range []string{"https://app.example", "http://127.0.0.1:3000", "HTTPS://App.example"} {
		from := []string{"Host", "127.0.0.1:8080", "Origin", origin, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}
		a := h.ask("GET", "/healthz", "", from...)
		assert.Equal(t, 200, a.status, a.body)
		assert.Equal(t, origin, a.header.Get("Access-Control-Allow-Origin"))
		assert.Equal(t, "Origin", a.header.Get("Vary"))
		assert.Contains(t, a.header.Get("Access-Control-Expose-Headers"), "Ottla-Consumer-Id")

		a = h.ask("GET", "/nothing", "", from...)
		assert.Equal(t, 404, a.status)
		assert.Equal(t, origin, a.header.Get("Access-Control-Allow-Origin"), "it may read the error as well")

		preflight := append(from, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,producer-id",
			"Access-Control-Request-Private-Network", "true")
		a = h.ask("OPTIONS", "/events", "", preflight...)
		assert.Equal(t, 204, a.status)
		assert.Contains(t, a.header.Get("Access-Control-Allow-Methods"), "PATCH")
		assert.Contains(t, strings.ToLower(a.header.Get("Access-Control-Allow-Headers")), "producer-id")
		assert.Equal(t, "600", a.header.Get("Access-Control-Max-Age"))
		assert.Equal(t, "true", a.header.Get("Access-Control-Allow-Private-Network"))
	}
	a := h.ask("GET", "/healthz", "", "Host", "127.0.0.1", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors")
	wantError(t, a, 403, "cross_site")

	all := startTCP(t, Options{CORSOrigins: []string{"*"}})
	a = all.ask("GET", "/healthz", "", "Host", "127.0.0.1", "Origin", "https://anybody.example")
	assert.Equal(t, 200, a.status)
	assert.Equal(t, "https://anybody.example", a.header.Get("Access-Control-Allow-Origin"))
}

// A read that waits is answered with the headers of any other answer: without them the
// browser would keep it from its page, which then polls for ever as somebody else.
func TestAnswersThatWereWaitedForHaveAllHeaders(t *testing.T) {
	b := newFake()
	b.node = 3
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h := startWith(t, b, browsing(), tcpListener{ln})
	h.b.add("t", 1)
	h.fill("full", 3, 10)
	for _, target := range []string{
		"/events?topic=full&consumer_id=1", "/events?topic=t&consumer_id=2&timeout_ms=50", "/events?topic=t&consumer_id=3&timeout_ms=0",
		"/events?topic=none&timeout_ms=50", "/topic/t/partitions/0/records?offset=0&timeout_ms=50", "/topic/full/partitions/0/records?offset=0&timeout_ms=50",
	} {
		for origin, allowed := range map[string]string{"": "", "https://app.example": "https://app.example", "http://localhost": ""} {
			headers := []string{"Host", "localhost"}
			if origin != "" {
				headers = append(headers, "Origin", origin)
			}
			a := h.ask("GET", target, "", headers...)
			assert.Contains(t, []int{200, 404}, a.status, a.body)
			assert.Equal(t, allowed, a.header.Get("Access-Control-Allow-Origin"), "%s from %q", target, origin)
			assert.Equal(t, allowed != "", a.header.Get("Access-Control-Expose-Headers") != "", target)
			assert.Equal(t, origin != "", strings.Contains(strings.Join(a.header.Values("Vary"), ","), "Origin"), target)
			assert.Equal(t, "3", a.header.Get("Ottla-Node"), target)
		}
	}
}
