package http

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// limited makes a token with a quota, and returns its headers.
func (h *harness) limited(name, quota string) []string {
	h.t.Helper()
	v := wantOK(h.t, h.do("POST", "/tokens", `{"name":"`+name+`","allow":[{"do":["read","write"]}],"quota":`+quota+`}`, bearer(adminToken)...), 201)
	return bearer(v["token"].(string))
}

// wantQuota checks a refusal, and that Retry-After is in whole seconds, from to to.
func wantQuota(t *testing.T, a answer, quota string, from, to int) {
	t.Helper()
	e := wantError(t, a, 429, "quota_exceeded")
	assert.Equal(t, "none", e["outcome"])
	assert.Equal(t, true, e["retriable"])
	assert.Equal(t, quota, e["details"].(map[string]any)["quota"])
	after, err := strconv.Atoi(a.header.Get("Retry-After"))
	require.NoError(t, err)
	assert.True(t, from <= after && after <= to, "%d", after)
}

func TestQuotas(t *testing.T) {
	h, _ := guarded(t, Options{})
	h.b.add("a", 1)
	const event = `{"topic":"a","value":1}`

	r := h.limited("requests", `{"requests_per_s":2}`)
	refused := func(method, target, body string) answer {
		for range 1000 {
			if a := h.ask(method, target, body, to(r...)...); a.status != 200 {
				return a
			}
		}
		t.Fatal("a thousand requests are let through")
		return answer{}
	}
	wantQuota(t, refused("POST", "/events", event), "requests_per_s", 1, 1)
	wantQuota(t, refused("GET", "/topic", ""), "requests_per_s", 1, 1)
	wantOK(t, h.do("GET", "/readyz", "", r...), 200)
	wantOK(t, h.do("PATCH", "/tokens/requests", `{"quota":null}`, bearer(adminToken)...), 200)
	for range 5 {
		wantOK(t, h.do("POST", "/events", event, r...), 200)
	}

	p := h.limited("produce", fmt.Sprintf(`{"produce_bytes_per_s":%d}`, len(event)))
	large := `{"topic":"a","value":"` + strings.Repeat("x", 300) + `"}`
	wantOK(t, h.do("POST", "/events", large, p...), 200)
	written := len(h.b.reqs)
	wantQuota(t, h.do("POST", "/events", event, p...), "produce_bytes_per_s", 1, 16)
	wantQuota(t, h.do("POST", "/events", `{"topic":"fresh","value":1}`, p...), "produce_bytes_per_s", 1, 16)
	assert.Len(t, h.b.reqs, written)
	assert.NotContains(t, h.b.topics, "fresh")
	wantOK(t, h.do("GET", "/topic", "", p...), 200)

	f := h.limited("fetch", `{"fetch_bytes_per_s":50}`)
	wantOK(t, h.do("GET", "/topic/a/partitions/0/records?offset=0", "", f...), 200)
	wantQuota(t, h.do("GET", "/topic/a/partitions/0/records?offset=0", "", f...), "fetch_bytes_per_s", 3, 40)
	wantQuota(t, h.do("GET", "/events?topic=a&group=g", "", f...), "fetch_bytes_per_s", 3, 40)
	wantOK(t, h.do("POST", "/events", event, f...), 200)

	for quota, status := range map[string]int{
		`{"requests_per_s":0}`: 422, `{"requests_per_s":-1}`: 422, `{"requests_per_s":"1"}`: 400, `{"more":1}`: 400, `1`: 400, `{"connections":1.5}`: 400,
		`{}`: 201, `null`: 409,
	} {
		a := h.do("POST", "/tokens", `{"name":"q","allow":[{"do":["read"]}],"quota":`+quota+`}`, bearer(adminToken)...)
		if status < 300 || status == 409 {
			continue // in any order
		}
		assert.Equal(t, status, a.status, quota)
	}
}

// A connection counts from its first request with the token to its end.
func TestQuotaOfConnections(t *testing.T) {
	h, _ := guarded(t, Options{})
	token := h.limited("few", `{"connections":2}`)
	request := "GET /topic HTTP/1.1\r\nHost: localhost\r\n" + token[0] + ": " + token[1] + "\r\n\r\n"
	open := func() (net.Conn, *bufio.Reader) {
		conn, err := h.ln.Dial()
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		return conn, bufio.NewReader(conn)
	}
	ask := func(conn net.Conn, r *bufio.Reader) answer {
		_, err := conn.Write([]byte(request))
		require.NoError(t, err)
		return readAnswer(t, r)
	}
	first, firstReader := open()
	second, secondReader := open()
	for range 2 {
		assert.Equal(t, 200, ask(first, firstReader).status)
		assert.Equal(t, 200, ask(second, secondReader).status)
	}
	third, thirdReader := open()
	a := ask(third, thirdReader)
	wantQuota(t, a, "connections", 1, 1)
	assert.True(t, a.close)
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool {
		conn, r := open()
		defer conn.Close()
		return ask(conn, r).status == 200
	}, patience, 5*time.Millisecond)
	// With another token it is a connection of that one.
	_, err := second.Write([]byte("GET /topic HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + adminToken + "\r\n\r\n"))
	require.NoError(t, err)
	assert.Equal(t, 200, readAnswer(t, secondReader).status)
	require.Eventually(t, func() bool {
		conn, r := open()
		other, otherReader := open()
		defer conn.Close()
		defer other.Close()
		return ask(conn, r).status == 200 && ask(other, otherReader).status == 200
	}, patience, 5*time.Millisecond)
}

// A stream is slowed down to the quota, and not ended by it.
func TestQuotaOfAStream(t *testing.T) {
	h, _ := guarded(t, Options{DefaultMaxRecords: 1})
	h.b.add("a", 1)
	for range 4 {
		wantOK(t, h.do("POST", "/events", `{"topic":"a","value":"`+strings.Repeat("x", 400)+`"}`, bearer(adminToken)...), 200)
	}
	token := h.limited("slow", `{"fetch_bytes_per_s":2000}`)
	began := time.Now()
	conn, err := h.ln.Dial()
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("GET /events?topic=a&group=g&max_records=1 HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n" + token[0] + ": " + token[1] + "\r\n\r\n"))
	require.NoError(t, err)
	bytes, records := 0, 0
	for r := bufio.NewReader(conn); records < 4; {
		line, err := r.ReadString('\n')
		require.NoError(t, err)
		if strings.HasPrefix(line, "{") {
			bytes += len(line)
			records++
		}
	}
	assert.Greater(t, bytes, 1600)
	// The last record may go beyond what has flowed in.
	assert.GreaterOrEqual(t, time.Since(began).Seconds(), float64(bytes-2000-600)/2000)
}
