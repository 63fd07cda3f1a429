package http

import (
	"bufio"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// While others send requests too, a client with many connections has only its share of
// them under way, and theirs go past those of it that wait.
func TestAGreedyClientHasOnlyItsShareUnderWay(t *testing.T) {
	h, _ := guarded(t, Options{})
	h.s.turn = patience // nobody is refused here, however long the others take
	h.b.add("a", 1)
	greedy, modest := h.limited("greedy", "null"), h.limited("modest", "null")
	var underWay, most atomic.Int64
	goOn := make(chan struct{})
	h.b.produce = func(reqs []*protocol.ProduceRequest, _ time.Time) {
		if reqs[0].Topic.Name == "a" {
			n := underWay.Add(1)
			defer underWay.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			<-goOn
		}
	}
	h.b.add("b", 1)
	require.True(t, h.s.Gate().Enter("other", time.Now(), 0), "somebody wants a share, however slow this machine is")
	defer h.s.Gate().Leave("other")
	const requests = 200
	var wg sync.WaitGroup
	for range requests {
		wg.Go(func() {
			assert.Equal(t, 200, h.do("POST", "/events", `{"topic":"a","value":1}`, greedy...).status)
		})
	}
	require.Eventually(t, func() bool { return underWay.Load() >= 2 }, patience, time.Millisecond, "its share on a single CPU")
	for range 20 {
		wantOK(t, h.do("POST", "/events", `{"topic":"b","value":1}`, modest...), 200)
	}
	require.Less(t, underWay.Load(), int64(requests))
	close(goOn)
	wg.Wait()
	assert.Less(t, most.Load(), int64(requests))
}

// Requests that wait for a leader take no part of the server: those of the same client for
// others pass them.
func TestWhoWaitsForALeaderLeavesTheGate(t *testing.T) {
	h, _ := guarded(t, Options{})
	h.b.add("stuck", 2)
	h.b.add("fine", 1)
	one, other := h.limited("one", "null"), h.limited("other", "null")
	var waiting atomic.Int64
	goOn := make(chan struct{})
	h.b.produce = func(reqs []*protocol.ProduceRequest, _ time.Time) {
		if reqs[0].Topic.Name == "stuck" {
			for _, req := range reqs {
				req.Waits()
			}
			waiting.Add(1)
			<-goOn
		}
	}
	const requests = 100
	var wg sync.WaitGroup
	for i := range requests {
		body := `{"topic":"stuck","value":1}`
		if i%2 == 0 {
			body = `{"topic":"stuck","records":[{"value":1,"partition":0},{"value":1,"partition":1}]}`
		}
		wg.Go(func() { assert.Equal(t, 200, h.do("POST", "/events", body, one...).status) })
		wantOK(t, h.do("POST", "/events", `{"topic":"fine","value":1}`, other...), 200)
	}
	require.Eventually(t, func() bool { return waiting.Load() == requests }, patience, time.Millisecond)
	wantOK(t, h.do("POST", "/events", `{"topic":"fine","value":1}`, one...), 200)
	close(goOn)
	wg.Wait()
	require.True(t, h.s.Gate().Enter("one", time.Now(), 0), "all have left once")
	h.s.Gate().Leave("one")
}

// Bodies that come slowly take no part of the server: other requests of the same client
// pass them.
func TestSlowBodiesAreOutsideTheGate(t *testing.T) {
	h, _ := guarded(t, Options{})
	h.b.add("t", 1)
	uploader := h.limited("uploader", "null")
	require.True(t, h.s.Gate().Enter("other", time.Now(), 0))
	const body = `{"topic":"t","value":1}`
	var uploads []net.Conn
	for range 100 {
		c, err := h.ln.Dial()
		require.NoError(t, err)
		defer c.Close()
		_, err = fmt.Fprintf(c, "POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n%s: %s\r\nContent-Length: %d\r\n\r\n{",
			uploader[0], uploader[1], len(body))
		require.NoError(t, err)
		uploads = append(uploads, c)
	}
	assert.Never(t, func() bool {
		free := h.s.Gate().Enter("uploader", time.Now(), 0)
		if free {
			h.s.Gate().Leave("uploader")
		}
		return !free
	}, 500*time.Millisecond, 20*time.Millisecond, "they have taken all places")
	wantOK(t, h.do("POST", "/events", body, uploader...), 200)
	for _, c := range uploads {
		_, err := c.Write([]byte(body[1:]))
		require.NoError(t, err)
		wantOK(t, readAnswer(t, bufio.NewReader(c)), 200)
	}
	h.s.Gate().Leave("other")
}

// Who waits in vain for his turn is told so, whatever else his request is about, and its
// body is not looked at.
func TestWhoWaitsInVainIsToldSo(t *testing.T) {
	h, _ := guarded(t, Options{})
	h.s.turn = 50 * time.Millisecond
	greedy := h.limited("greedy", "null")
	require.True(t, h.s.Gate().Enter("other", time.Now(), 0))
	n := 0
	for h.s.Gate().Enter("greedy", time.Now(), 0) {
		n++
	}
	for _, body := range []string{`{"topic":"__consumer_offsets","value":1}`, `{`} {
		e := wantError(t, h.do("POST", "/events", body, greedy...), 503, "overloaded")
		assert.Equal(t, "none", e["outcome"])
	}
	for range n {
		h.s.Gate().Leave("greedy")
	}
	h.s.Gate().Leave("other")
}
