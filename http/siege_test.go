package http

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// drips are the bytes that follow a stage, one at a time, until the connection
// ends.
var drips = map[string]byte{"body": ' ', "large body": ' ', "chunk": ' ', "chunk size": '0', "refused body": ' ', "expected body": ' '}

// Clients that send a byte now and then, at any stage of a request, are refused
// when their time is up, and no other client waits for them.
func TestSlowLoris(t *testing.T) {
	const each, readTimeout = 20, 4 * time.Second
	h := startTCP(t, Options{ReadTimeout: readTimeout, MaxBodyBytes: 1 << 20, MaxInflightBytes: 64 << 20})
	var all sync.WaitGroup
	var running atomic.Int64
	for name, text := range stages {
		for i := range each {
			all.Add(1)
			running.Add(1)
			go func() {
				defer all.Done()
				defer running.Add(-1)
				at := len(text) // sent at once; some clients send all but the first byte one by one, too
				if i < 3 && len(text) < 100 && name != "refused body" {
					at = 1 // who sends none in time is not answered
				}
				h.loris(name, text[:at], text[at:])
			}()
		}
	}
	served := 0
	for ; running.Load() > 0; served++ {
		wantOK(t, h.do("POST", "/events", `{"topic":"t","value":1}`), 200)
	}
	all.Wait()
	assert.Greater(t, served, 10, "requests of others: were one to wait for a slow client, it would be its only one")
	assert.Zero(t, h.s.intake.bytes.Used())
}

// loris sends first at once, then rest and more bytes slowly.
func (h *harness) loris(stage, first, rest string) {
	conn, err := h.ln.Dial()
	if !assert.NoError(h.t, err) {
		return
	}
	defer conn.Close()
	_, err = io.WriteString(conn, first)
	assert.NoError(h.t, err)
	ended := make(chan struct{})
	go func() { // until the connection ends
		tick := time.NewTicker(30 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			b := drips[stage]
			switch {
			case i < len(rest):
				b = rest[i]
			case b == 0:
				b = 'x'
			}
			select {
			case <-tick.C:
			case <-ended:
				return
			}
			if _, err := conn.Write([]byte{b}); err != nil {
				return
			}
		}
	}()
	defer close(ended)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(conn)
	assert.NoError(h.t, err, "%s: closed, and not reset: %q", stage, text)
	status, want := " 400 ", `"code":"malformed"`
	if stage == "refused body" {
		status, want = " 413 ", "body_too_large"
	}
	last := bytes.LastIndex(text, []byte("HTTP/1.1 "))
	if !assert.GreaterOrEqual(h.t, last, 0, "%s: %q", stage, text) {
		return
	}
	assert.Contains(h.t, string(text[last:]), status, stage)
	assert.Contains(h.t, string(text[last:]), want, stage)
}

// Nothing is left of clients that leave, with or without a reset, at any stage.
func TestLeavingAtEveryStage(t *testing.T) {
	h := startTCP(t, Options{MaxBodyBytes: 1 << 20})
	h.fill("large", 10_000, 1000)
	h.b.add("quiet", 1) // without records, or its reads would not wait
	h.b.parked = make(chan struct{}, 100)
	get := "GET %s HTTP/1.1\r\nHost: a\r\nAccept: %s\r\n\r\n"
	whole := map[string]string{
		"before":         "",
		"whole":          healthz,
		"whole body":     postHead + "Content-Length: 13\r\n\r\n" + postBody,
		"parked poll":    fmt.Sprintf(get, "/events?topic=quiet&timeout_ms=30000", "*/*"),
		"parked read":    fmt.Sprintf(get, "/topic/quiet/partitions/0/records?timeout_ms=30000", "*/*"),
		"pipelined poll": fmt.Sprintf(get, "/events?topic=quiet&timeout_ms=300", "*/*") + healthz,
		"stream":         fmt.Sprintf(get, "/events?topic=quiet", "text/event-stream"),
		"large answer":   fmt.Sprintf(get, "/topic/large/partitions/0/records?offset=0&max_records=10000&max_bytes=10000000", "*/*"),
		"answers unread": strings.Repeat(healthz, 1000),
	}
	for name, text := range stages {
		whole[name] = text
	}
	for name, text := range whole {
		for _, reset := range []bool{false, true} {
			conn, err := h.ln.Dial()
			require.NoError(t, err)
			_, err = io.WriteString(conn, text)
			require.NoError(t, err)
			switch name {
			case "parked poll", "parked read":
				select {
				case <-h.b.parked:
				case <-time.After(patience):
					require.Fail(t, "it does not wait", name)
				}
			case "large answer", "stream":
				_, err = conn.Read(make([]byte, 10))
				require.NoError(t, err)
			}
			if reset {
				require.NoError(t, conn.(*net.TCPConn).SetLinger(0))
			}
			require.NoError(t, conn.Close())
		}
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() { // streams wait again and again
		for {
			select {
			case <-h.b.parked:
			case <-ended:
				return
			}
		}
	}()
	require.Eventually(t, func() bool {
		wantOK(t, h.do("POST", "/events", `{"topic":"quiet"}`), 200) // streams notice when they write
		h.http.CloseIdleConnections()
		open, _ := h.open()
		return open == 0
	}, patience, 10*time.Millisecond, "all connections have ended")
	for what, b := range map[string]interface{ Used() int64 }{"bytes": h.s.intake.bytes, "places": h.s.parked, "answers": h.s.answers} {
		require.Eventually(t, func() bool { return b.Used() == 0 }, patience, time.Millisecond, what)
	}
}

// Thousands of connections beyond the limit are refused, each with a whole answer,
// while those within it are served.
func TestThousandsBeyondTheLimitOfConnections(t *testing.T) {
	const limit, more = 500, 2500
	h := startTCP(t, Options{MaxConnections: limit})
	var first []net.Conn
	for range limit {
		conn, err := h.ln.Dial()
		require.NoError(t, err)
		defer conn.Close()
		first = append(first, conn)
	}
	require.Eventually(t, func() bool { open, _ := h.open(); return open == limit }, patience, time.Millisecond)
	var all sync.WaitGroup
	for range 16 {
		all.Add(1)
		go func() {
			defer all.Done()
			for range more / 16 {
				a, err := h.refused()
				if !assert.NoError(t, err) {
					return
				}
				wantError(t, a, 503, "overloaded")
				assert.True(t, a.close)
			}
		}()
	}
	for _, conn := range first {
		_, err := io.WriteString(conn, healthz)
		require.NoError(t, err)
		assert.Equal(t, 200, readAnswer(t, bufio.NewReader(conn)).status)
	}
	all.Wait()
	for _, conn := range first {
		require.NoError(t, conn.Close())
	}
	require.Eventually(t, func() bool { open, _ := h.open(); return open == 0 }, patience, time.Millisecond)
	wantOK(t, h.do("GET", "/healthz", ""), 200)
}

// refused sends a request on a connection of its own, and reads to its end.
func (h *harness) refused() (answer, error) {
	conn, err := h.ln.Dial()
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, postHead+"Content-Length: 13\r\n\r\n"+postBody)
	r := bufio.NewReader(conn)
	resp, err := nethttp.ReadResponse(r, nil)
	if err != nil {
		return answer{}, err
	}
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(text), resp.Close}, err
}

// A panic ends the request in which it happens, whether that has waited or not,
// and what the request held is given back.
func TestPanicsEverywhere(t *testing.T) {
	h := start(t, Options{})
	h.b.poll = func(*protocol.PollRequest, <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
		panic("on purpose")
	}
	h.b.produce = func([]*protocol.ProduceRequest, time.Time) { panic("on purpose") }
	conn, err := h.ln.Dial()
	require.NoError(t, err)
	defer conn.Close()
	r := bufio.NewReader(conn)
	for name, request := range map[string]string{
		"poll":        getOf("/events?topic=t&timeout_ms=0"),
		"parked poll": getOf("/events?topic=t&timeout_ms=30000"),
		"stream":      "GET /events?topic=t HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n",
		"produce":     postHead + "Content-Length: 13\r\n\r\n" + postBody,
	} {
		_, err = io.WriteString(conn, request+healthz)
		require.NoError(t, err)
		e := wantError(t, readAnswer(t, r), 500, "internal")
		assert.Equal(t, "unknown", e["outcome"], name)
		assert.Equal(t, 200, readAnswer(t, r).status, name)
		assert.Zero(t, h.s.parked.Used(), name)
	}
}
