package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// quick are timings for tests that wait until somebody is called down.
var quick = Timings{Ping: 10 * ms, Fence: 100 * ms, Suspect: 300 * ms}

// cable is a network in which each direction between two nodes can be cut: what is
// sent then gets lost without a word.
type cable struct {
	mu  sync.Mutex
	cut map[[2]NodeID]bool
}

func (c *cable) set(from, to NodeID, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut == nil {
		c.cut = map[[2]NodeID]bool{}
	}
	c.cut[[2]NodeID{from, to}] = cut
}

func (c *cable) isCut(from, to NodeID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut[[2]NodeID{from, to}]
}

// dialer is how a node dials; names says which node has which address.
func (c *cable) dialer(from NodeID, names *sync.Map) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		to, _ := names.Load(address)
		if c.isCut(from, to.(NodeID)) || c.isCut(to.(NodeID), from) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		nc, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		return &cableConn{nc, c, from, to.(NodeID)}, err
	}
}

type cableConn struct {
	net.Conn
	c        *cable
	from, to NodeID
}

func (c *cableConn) Write(b []byte) (int, error) {
	if c.c.isCut(c.from, c.to) {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *cableConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.c.isCut(c.to, c.from) {
			return n, err
		}
	}
}

// cabled is fleet in a network that can be cut.
func cabled(t *testing.T, n int) ([]*testNode, *cable) {
	t.Helper()
	c, names := &cable{}, &sync.Map{}
	var nodes []*testNode
	var peers []Peer
	for i := range n {
		id := NodeID(i + 1)
		node := startNode(t, Config{Self: identity(id), Timings: quick, Dial: c.dialer(id, names)})
		names.Store(node.Addr().String(), id)
		nodes, peers = append(nodes, node), append(peers, node.peer())
	}
	for _, node := range nodes {
		node.SetPeers(peers, nil)
	}
	for _, node := range nodes {
		for _, other := range nodes {
			if node != other {
				node.wait(t, received{what: "up", from: other.id.Node}, 1)
			}
		}
	}
	return nodes, c
}

func (r *recorder) count(what string, from NodeID) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.what == what && e.from == from {
			n++
		}
	}
	return n
}

// When one direction is cut, both nodes call each other down, calls end, and a
// third node relays; when it is whole again, both are up again.
func TestOneWayCut(t *testing.T) {
	for _, way := range [][2]NodeID{{1, 2}, {2, 1}} {
		nodes, c := cabled(t, 3)
		a, b := nodes[0], nodes[1]
		pending := make(answers, 1)
		b.answer(func(_ NodeID, kind uint16, body []byte, _ time.Duration, reply func([]byte, error)) {
			if kind == 1 {
				reply(body, nil)
			}
		})
		a.Links.Call(2, Bulk, 2, time.Now().Add(time.Hour), pending.done)
		_, err := ask(a.Links, 2, Bulk, 1, time.Minute)
		require.NoError(t, err)
		downA, downB := a.count("down", 2)+1, b.count("down", 1)+1
		upA, upB := a.count("up", 2)+1, b.count("up", 1)+1
		c.set(way[0], way[1], true)
		a.wait(t, received{what: "down", from: 2}, downA)
		b.wait(t, received{what: "down", from: 1}, downB)
		_, outcome := pending.outcome(t)
		assert.Equal(t, protocol.OutcomeUnknown, outcome)
		assert.Eventually(t, func() bool {
			body, err := ask(a.Links, 2, Bulk, 1, time.Minute, []byte("around"))
			return err == nil && string(body) == "around"
		}, time.Minute, 10*ms)

		c.set(way[0], way[1], false)
		a.wait(t, received{what: "up", from: 2}, upA)
		b.wait(t, received{what: "up", from: 1}, upB)
	}
}

// A relayed call that was handed on and got lost is unknown; there is no second
// hop.
func TestRelayOutcomes(t *testing.T) {
	nodes, c := cabled(t, 3)
	a, b := nodes[0], nodes[1]
	downs := a.count("down", 3) + 1
	c.set(1, 3, true)
	a.wait(t, received{what: "down", from: 3}, downs)
	asked := make(chan time.Duration, 1)
	nodes[2].answer(func(from NodeID, kind uint16, _ []byte, left time.Duration, reply func([]byte, error)) {
		assert.Equal(t, NodeID(1), from)
		if kind == 2 {
			reply(nil, protocol.ErrNotLeader)
			return
		}
		asked <- left
	})
	assert.Eventually(t, func() bool {
		_, err := ask(a.Links, 3, Control, 2, time.Minute)
		return errors.Is(err, protocol.ErrNotLeader)
	}, time.Minute, 10*ms)
	pending := make(answers, 1)
	a.Links.Call(3, Control, 1, time.Now().Add(time.Minute), pending.done)
	left := <-asked
	assert.Greater(t, left, 30*time.Second)
	assert.LessOrEqual(t, left, time.Minute)
	b.Close()
	_, outcome := pending.outcome(t)
	assert.Equal(t, protocol.OutcomeUnknown, outcome)

	// Node 3 is asked to relay to one that it does not know.
	conn := nodes[1].newConn(nil, nil, nil, Identity{}, Control, nil, false)
	conn.peer = &peer{id: 1}
	conn.relay(9, header{typ: typeRelay, call: 5}, nil)
	frames := conn.out.close()
	require.Len(t, frames, 1)
	assert.Equal(t, typeFailure, frames[0].typ)
	said := decodeError(frames[0].parts[0])
	assert.Equal(t, protocol.OutcomeNone, said.Outcome)
	assert.ErrorIs(t, said, protocol.Errorf(protocol.CodeNodeUnreachable, ""))
}

// Messages of a lane come in order, whatever is sent beside them.
func TestOrder(t *testing.T) {
	nodes := fleet(t, 2, Config{})
	a, b := nodes[0], nodes[1]
	const n = 5000
	var senders sync.WaitGroup
	for lane := range lanes {
		a.wait(t, received{what: "connected", from: 2, lane: lane}, 1)
		senders.Go(func() {
			for i := range uint32(n) {
				body := make([]byte, 4+rand.IntN(1<<(i%14)))
				binary.LittleEndian.PutUint32(body, i)
				assert.True(t, a.Send(2, lane, 1, body[:2], body[2:]))
			}
			assert.True(t, a.Send(2, lane, 2))
		})
	}
	senders.Wait()
	for lane := range lanes {
		b.wait(t, received{what: "message", from: 1, lane: lane, kind: 2}, 1)
	}
	b.recorder.mu.Lock()
	defer b.recorder.mu.Unlock()
	var next [Lanes]uint32
	for _, e := range b.events {
		if e.what == "message" && e.kind == 1 {
			require.Equal(t, next[e.lane], binary.LittleEndian.Uint32([]byte(e.body)))
			next[e.lane]++
		}
	}
	assert.Equal(t, [Lanes]uint32{n, n, n}, next)
}

// Under calls from all sides connections end, again and again: each call is
// answered once, and what has outcome none was never seen.
func TestCallsWhileConnectionsEnd(t *testing.T) {
	nodes, _ := cabled(t, 3)
	var mu sync.Mutex
	seen := map[string]int{}
	for _, n := range nodes {
		n.answer(func(_ NodeID, _ uint16, body []byte, _ time.Duration, reply func([]byte, error)) {
			mu.Lock()
			seen[string(body)]++
			mu.Unlock()
			reply(body, nil)
		})
	}
	var callers, pending sync.WaitGroup
	var ended atomic.Int64
	var outcomes sync.Map
	for w := range 6 {
		callers.Go(func() {
			from, to := nodes[w%3], NodeID((w+1)%3+1)
			for i := range 3000 {
				body := fmt.Sprintf("%d/%d", w, i)
				pending.Add(1)
				var once atomic.Int32
				from.Links.Call(to, Lane(i%Lanes), 1, time.Now().Add(time.Duration(1+i%50)*10*ms), func(_ []byte, err error) {
					assert.Equal(t, int32(1), once.Add(1))
					outcomes.Store(body, err)
					pending.Done()
				}, []byte(body))
				if i%500 != 250 {
					continue
				}
				peers := from.snapshot()
				peers[rand.IntN(len(peers))].disconnect(errDown)
				ended.Add(1)
				for lane := range lanes { // until it is connected again
					for {
						if _, err := ask(from.Links, to, lane, 1, time.Minute, []byte("x")); err == nil {
							break
						}
						<-time.After(5 * ms)
					}
				}
			}
		})
	}
	callers.Wait()
	pending.Wait()
	counts := map[string]int{}
	mu.Lock()
	defer mu.Unlock()
	outcomes.Range(func(body, err any) bool {
		var e *protocol.Error
		switch {
		case err == nil:
			counts["answered"]++
			assert.Equal(t, 1, seen[body.(string)])
		case errors.As(err.(error), &e) && e.Outcome == protocol.OutcomeNone:
			counts["none"]++
			assert.Zero(t, seen[body.(string)])
		default:
			counts["unknown"]++
			assert.LessOrEqual(t, seen[body.(string)], 1)
		}
		return true
	})
	t.Log(counts, ended.Load())
	assert.Equal(t, 18000, counts["answered"]+counts["none"]+counts["unknown"])
	assert.Greater(t, counts["answered"], 1000)
}

// A node that moves to another address is found there.
func TestAddressChanges(t *testing.T) {
	nodes := fleet(t, 2, Config{Timings: quick})
	a, b := nodes[0], nodes[1]
	ups := a.count("up", 2)
	b.Close()
	a.wait(t, received{what: "down", from: 2}, 1)
	moved := startNode(t, Config{Self: identity(2), Timings: quick})
	moved.SetPeers([]Peer{a.peer()}, nil)
	a.SetPeers([]Peer{moved.peer()}, nil)
	a.wait(t, received{what: "up", from: 2}, ups+1)
	moved.wait(t, received{what: "up", from: 1}, 1)
	body, err := ask(a.Links, 2, Control, 1, time.Minute, []byte("there?"))
	require.NoError(t, err)
	assert.Equal(t, "1 control: there?", string(body))
}

// A node that moves says so itself, before anybody else names its new address.
func TestMovedNodeSaysWhereItIs(t *testing.T) {
	nodes := fleet(t, 2, Config{Timings: quick})
	a, b := nodes[0], nodes[1]
	ups := a.count("up", 2)
	b.Close()
	a.wait(t, received{what: "down", from: 2}, 1)
	self := identity(2)
	moved := startNode(t, Config{Self: self, Timings: quick})
	self.AdvertiseLink = moved.Addr().String()
	moved.SetIdentity(self)
	moved.SetPeers([]Peer{a.peer()}, nil)
	a.wait(t, received{what: "up", from: 2}, ups+1)
	a.SetPeers([]Peer{b.peer()}, nil) // the old news does not send it back
	assert.Equal(t, moved.Addr().String(), a.Stats()[0].Peer.Address)
}
