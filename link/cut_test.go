package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/certs"
	"ottla/certs/certstest"
	"ottla/protocol"
)

// silentListener is for nodes that are connected by hand.
type silentListener struct{ closed chan struct{} }

func (s silentListener) Accept() (net.Conn, error) { <-s.closed; return nil, net.ErrClosed }
func (s silentListener) Close() error              { close(s.closed); return nil }
func (s silentListener) Addr() net.Addr            { return &net.TCPAddr{} }

// cutConn ends when as many bytes have been written, and its other end with it.
type cutConn struct {
	net.Conn
	mu   sync.Mutex
	left int
}

func (c *cutConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(b) <= c.left {
		c.left -= len(b)
		return c.Conn.Write(b)
	}
	n, _ := c.Conn.Write(b[:c.left])
	c.left = 0
	return n, errors.Join(io.ErrClosedPipe, c.Close())
}

// handMade is a node whose connections are made one at a time.
func handMade(t testing.TB, id NodeID, files *certs.NodeFiles, other NodeID) (*testNode, *peer) {
	t.Helper()
	n := startNode(t, Config{Self: identity(id), TLS: files, Listener: silentListener{make(chan struct{})}, Timings: Timings{
		Ping: time.Hour, Fence: 2 * time.Hour, Suspect: 4 * time.Hour, Dial: time.Minute, // nothing happens by itself
	}})
	is := identity(other)
	p := &peer{l: n.Links, id: other, is: Peer{ID: other, UUID: is.UUID, Name: is.Name, Address: "127.0.0.1:1"}, wake: make(chan struct{}, 1), live: newLiveness(n.cfg.Timings)}
	p.ctx, p.stop = context.WithCancel(n.ctx)
	n.peers.Store(&map[NodeID]*peer{other: p})
	return n, p
}

// conversation is what a node says to another one on one connection.
type conversation struct {
	t     *testing.T
	sizes []int // of the bodies of calls; kind is the index
	bad   uint16
}

// result is what became of the calls.
type result struct {
	done []int // how often each was answered
	errs []error
}

// hold has a say to b; from either end only so many bytes go through. It returns
// what became of the calls, and how many bytes were left.
func (c conversation) hold(a, b *testNode, p *peer, cutA, cutB int) (r result, leftA, leftB int) {
	here, there := net.Pipe()
	ca, cb := &cutConn{Conn: here, left: cutA}, &cutConn{Conn: there, left: cutB}
	var served sync.WaitGroup
	served.Go(func() { b.accept(cb) })
	a.cfg.Dial = func(context.Context, string) (net.Conn, error) { return ca, nil }
	conn, err := a.dial(context.Background(), "127.0.0.1:1", Control, p)
	r = result{make([]int, len(c.sizes)), make([]error, len(c.sizes))}
	if err == nil {
		var mu sync.Mutex
		var answered sync.WaitGroup
		served.Go(conn.serve)
		for kind, size := range c.sizes {
			answered.Add(1)
			_ = conn.send(makeFrame(typeMessage, uint16(kind), [][]byte{[]byte(fmt.Sprint(kind))}))
			conn.call(makeFrame(typeCall, uint16(kind), [][]byte{bytes.Repeat([]byte{byte(kind)}, size)}), time.Now().Add(time.Hour), func(body []byte, err error) {
				mu.Lock()
				r.done[kind]++
				r.errs[kind] = err
				first := r.done[kind] == 1
				mu.Unlock()
				if first {
					answered.Done()
				}
				if err == nil {
					assert.Equal(c.t, size, len(body))
				}
			})
		}
		answered.Wait()
		conn.close(net.ErrClosed)
	}
	_ = ca.Close()
	served.Wait()
	return r, ca.left, cb.left
}

// judge holds the outcomes against what the other side has seen.
func (c conversation) judge(r result, seen map[uint16]int, made bool, at string) {
	for kind := range c.sizes {
		var e *protocol.Error
		switch err := r.errs[kind]; {
		case !made:
			require.Zero(c.t, seen[uint16(kind)], at)
			continue
		case err == nil:
			require.Equal(c.t, 1, seen[uint16(kind)], "%s: call %d was answered", at, kind)
		case !errors.As(err, &e):
			require.Fail(c.t, "no protocol error", "%s: %v", at, err)
		case e.Code == protocol.CodeStaleEpoch:
			require.Equal(c.t, c.bad, uint16(kind), at)
			require.Equal(c.t, 1, seen[uint16(kind)], at)
		case e.Outcome == protocol.OutcomeNone:
			require.Zero(c.t, seen[uint16(kind)], "%s: call %d has outcome none and was seen", at, kind)
		default:
			require.Equal(c.t, protocol.OutcomeUnknown, e.Outcome, at)
			require.LessOrEqual(c.t, seen[uint16(kind)], 1, at)
		}
		require.Equal(c.t, 1, r.done[kind], "%s: call %d is answered once", at, kind)
	}
}

// run cuts the conversation at every step bytes, either way.
func (c conversation) run(files [2]*certs.NodeFiles, step int) (outcomes map[string]int) {
	a, toB := handMade(c.t, 1, files[0], 2)
	b, _ := handMade(c.t, 2, files[1], 1)
	outcomes = map[string]int{}
	var mu sync.Mutex
	seen := map[uint16]int{}
	b.answer(func(_ NodeID, kind uint16, body []byte, _ time.Duration, reply func([]byte, error)) {
		mu.Lock()
		seen[kind]++
		mu.Unlock()
		if kind == c.bad {
			reply(nil, protocol.Errorf(protocol.CodeStaleEpoch, "no"))
			return
		}
		reply(body, nil)
	})
	const all = 1 << 30
	whole, leftA, leftB := c.hold(a, b, toB, all, all)
	c.judge(whole, seen, true, "whole")
	lengths := [2]int{all - leftA, all - leftB}
	for way, length := range lengths {
		for cut := 0; cut <= length; cut += step {
			mu.Lock()
			clear(seen)
			mu.Unlock()
			cuts := [2]int{all, all}
			cuts[way] = cut
			r, _, _ := c.hold(a, b, toB, cuts[0], cuts[1])
			made := r.done[0] > 0
			c.judge(r, seen, made, fmt.Sprintf("way %d, byte %d of %d", way, cut, length))
			for _, err := range r.errs {
				var e *protocol.Error
				switch {
				case !made:
					outcomes["not connected"]++
				case errors.As(err, &e):
					outcomes[e.Code.Name]++
				default:
					outcomes["answered"]++
				}
			}
		}
	}
	return outcomes
}

// Wherever a connection ends, each call is answered once, and truly.
func TestCutAtEveryByte(t *testing.T) {
	c := conversation{t: t, sizes: []int{0, 10, 300, 5000, 20}, bad: 1}
	step := 1
	if testing.Short() {
		step = 7
	}
	outcomes := c.run([2]*certs.NodeFiles{}, step)
	t.Log(outcomes)
	for _, want := range []string{"not connected", "answered", "stale_epoch", "outcome_unknown"} {
		assert.Greater(t, outcomes[want], 100, want)
	}
}

func TestCutWithTLS(t *testing.T) {
	ca := certstest.New(t)
	var files [2]*certs.NodeFiles
	for i := range files {
		cert, key := ca.Issue(identity(NodeID(i + 1)).Name)
		files[i] = &certs.NodeFiles{Cert: cert, Key: key, CA: ca.PEM}
	}
	step := 3
	if testing.Short() {
		step = 31
	}
	outcomes := conversation{t: t, sizes: []int{0, 3000, 20}, bad: 2}.run(files, step)
	t.Log(outcomes)
	for _, want := range []string{"not connected", "answered", "outcome_unknown"} {
		assert.Greater(t, outcomes[want], 10, want)
	}
}
