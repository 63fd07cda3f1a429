package http

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/http/access"
	"ottla/protocol"
)

// ofAddresses is the options of a server where an address has a quota.
func ofAddresses(q protocol.TokenQuota) Options { return Options{Addresses: access.NewAddresses(q)} }

// Where nobody is asked who he is, an address has the quota, whatever it asks for; probes
// are answered all the same.
func TestQuotaOfAnAddress(t *testing.T) {
	const event = `{"topic":"a","value":1}`
	refused := func(h *harness, method, target, body string, headers ...string) answer {
		for range 1000 {
			if a := h.do(method, target, body, headers...); a.status == 429 {
				return a
			}
		}
		t.Fatal("a thousand requests are let through")
		return answer{}
	}
	h := start(t, ofAddresses(protocol.TokenQuota{Requests: 2}))
	h.b.add("a", 1)
	wantQuota(t, refused(h, "POST", "/events", event), "requests_per_s", 1, 1)
	wantQuota(t, refused(h, "GET", "/topic", ""), "requests_per_s", 1, 1)
	wantQuota(t, refused(h, "GET", "/nowhere", ""), "requests_per_s", 1, 1)
	wantQuota(t, refused(h, "PUT", "/topic", ""), "requests_per_s", 1, 1)
	wantQuota(t, refused(h, "GET", "/healthz", "", "Sec-Fetch-Site", "cross-site"), "requests_per_s", 1, 1)
	for range 5 {
		wantOK(t, h.do("GET", "/healthz", ""), 200)
	}

	h = start(t, ofAddresses(protocol.TokenQuota{ProduceBytes: int64(len(event))}))
	h.b.add("a", 1)
	wantOK(t, h.do("POST", "/events", `{"topic":"a","value":"`+strings.Repeat("x", 300)+`"}`), 200)
	written := len(h.b.reqs)
	wantQuota(t, h.do("POST", "/events", event), "produce_bytes_per_s", 1, 16)
	assert.Len(t, h.b.reqs, written)
	wantOK(t, h.do("GET", "/topic", ""), 200)

	h = start(t, ofAddresses(protocol.TokenQuota{FetchBytes: 50}))
	h.b.add("a", 1)
	wantOK(t, h.do("POST", "/events", `{"topic":"a","value":"`+strings.Repeat("x", 300)+`"}`), 200)
	wantOK(t, h.do("GET", "/topic/a/partitions/0/records?offset=0", ""), 200)
	wantQuota(t, h.do("GET", "/topic/a/partitions/0/records?offset=0", ""), "fetch_bytes_per_s", 3, 40)
	wantQuota(t, h.do("GET", "/events?topic=a&group=g", ""), "fetch_bytes_per_s", 3, 40)
}

// A connection of an address counts from its beginning to its end.
func TestQuotaOfConnectionsOfAnAddress(t *testing.T) {
	h := start(t, ofAddresses(protocol.TokenQuota{Connections: 2}))
	open := func() (net.Conn, func(string) answer) {
		conn, err := h.ln.Dial()
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		r := bufio.NewReader(conn)
		return conn, func(line string) answer {
			_, err := conn.Write([]byte(line + " HTTP/1.1\r\nHost: localhost\r\n\r\n"))
			require.NoError(t, err)
			return readAnswer(t, r)
		}
	}
	first, askFirst := open()
	_, askSecond := open()
	for range 3 {
		assert.Equal(t, 200, askFirst("GET /topic").status)
		assert.Equal(t, 200, askSecond("GET /healthz").status)
	}
	for _, line := range []string{"GET /topic", "GET /nowhere", "PUT /topic"} {
		_, askThird := open()
		a := askThird(line)
		wantQuota(t, a, "connections", 1, 1)
		assert.True(t, a.close, line)
	}
	for line, status := range map[string]int{"GET /healthz": 200, "GET /": 200, "OPTIONS /topic": 204} {
		_, askThird := open()
		a := askThird(line)
		assert.Equal(t, status, a.status, line)
		assert.True(t, a.close, "%s: a connection beyond the quota stays open", line)
	}
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool {
		conn, ask := open()
		defer conn.Close()
		a := ask("GET /healthz")
		return a.status == 200 && !a.close
	}, patience, 5*time.Millisecond)
}

// Where tokens are asked for, those who show none, or a wrong one, use up the quota of
// their address. Who shows one that is valid has that token's, from the same address.
func TestQuotaOfAnAddressBesideTokens(t *testing.T) {
	h, _ := guarded(t, ofAddresses(protocol.TokenQuota{Requests: 3, Connections: 1}))
	h.b.add("a", 1)
	wrong := bearer("ottla_wrong")
	statuses := map[int]int{}
	for range 20 {
		a := h.do("GET", "/topic", "", wrong...)
		statuses[a.status]++
		if a.status == 429 {
			wantQuota(t, a, "requests_per_s", 1, 1)
		}
		statuses[h.do("GET", "/topic", "").status]++
	}
	assert.Positive(t, statuses[401])
	assert.Greater(t, statuses[429], 20, "who shows no valid token gets few answers: %v", statuses)
	for range 20 {
		wantOK(t, h.do("GET", "/topic", "", bearer(adminToken)...), 200)
	}
	limited := h.limited("limited", `{"requests_per_s":1000}`)
	for range 20 {
		wantOK(t, h.do("POST", "/events", `{"topic":"a","value":1}`, limited...), 200)
	}
	wantOK(t, h.do("GET", "/healthz", ""), 200)
}
