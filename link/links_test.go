package link

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// received is what a handler was told.
type received struct {
	what string // message, up, down, connected
	from NodeID
	lane Lane
	kind uint16
	body string
}

// recorder is a handler that notes everything, and answers calls by kind.
type recorder struct {
	mu     sync.Mutex
	events []received
	more   chan struct{} // closed and replaced at each event
	onCall func(from NodeID, kind uint16, body []byte, left time.Duration, reply func([]byte, error))
}

func newRecorder() *recorder { return &recorder{more: make(chan struct{})} }

func (r *recorder) note(e received) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	close(r.more)
	r.more = make(chan struct{})
}

func (r *recorder) Message(from NodeID, lane Lane, kind uint16, body []byte) {
	r.note(received{"message", from, lane, kind, string(body)})
}

func (r *recorder) Call(from NodeID, lane Lane, kind uint16, body []byte, left time.Duration, reply func([]byte, error)) {
	r.mu.Lock()
	answer := r.onCall
	r.mu.Unlock()
	if answer != nil {
		answer(from, kind, body, left, reply)
		return
	}
	reply(append([]byte(fmt.Sprintf("%d %s: ", from, lane)), body...), nil)
}

// answer has calls answered by f.
func (r *recorder) answer(f func(from NodeID, kind uint16, body []byte, left time.Duration, reply func([]byte, error))) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onCall = f
}

func (r *recorder) Up(peer Identity) { r.note(received{what: "up", from: peer.Node}) }
func (r *recorder) Down(peer NodeID) { r.note(received{what: "down", from: peer}) }
func (r *recorder) Connected(peer NodeID, lane Lane) {
	r.note(received{what: "connected", from: peer, lane: lane})
}

// wait waits for the nth event (from 1) that is like this one.
func (r *recorder) wait(t *testing.T, e received, n int) {
	t.Helper()
	timeout := time.After(time.Minute)
	for found, looked := 0, 0; ; { // at each event once: there may be very many
		r.mu.Lock()
		events, more := r.events, r.more
		r.mu.Unlock()
		for _, have := range events[looked:] {
			if have == e {
				found++
			}
		}
		looked = len(events)
		if found >= n {
			return
		}
		select {
		case <-more:
		case <-timeout:
			require.Failf(t, "event missing", "%+v (%d) not in the last of %d: %+v", e, n, looked, events[max(0, looked-10):])
		}
	}
}

type testNode struct {
	*Links
	*recorder
	id Identity
}

func (n *testNode) peer() Peer {
	return Peer{ID: n.id.Node, UUID: n.id.UUID, Name: n.id.Name, Address: n.Addr().String()}
}

func identity(id NodeID) Identity {
	return Identity{Fleet: "f", Node: id, UUID: fmt.Sprintf("uuid-%d", id), Name: fmt.Sprintf("node%d", id), MinFormat: 1, MaxFormat: 1}
}

func startNode(t testing.TB, cfg Config) *testNode {
	t.Helper()
	r := newRecorder()
	cfg.Handler = r
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	l, err := Open(cfg)
	require.NoError(t, err)
	t.Cleanup(l.Close)
	return &testNode{l, r, cfg.Self}
}

// fleet starts nodes 1 to n that know each other, and waits until all are up.
func fleet(t *testing.T, n int, cfg Config) []*testNode {
	t.Helper()
	var nodes []*testNode
	var peers []Peer
	for id := range n {
		cfg.Self = identity(NodeID(id + 1))
		node := startNode(t, cfg)
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
	return nodes
}

// ask is Call that waits.
func ask(l *Links, to NodeID, lane Lane, kind uint16, timeout time.Duration, parts ...[]byte) ([]byte, error) {
	type answer struct {
		body []byte
		err  error
	}
	answers := make(chan answer, 1)
	l.Call(to, lane, kind, time.Now().Add(timeout), func(b []byte, err error) { answers <- answer{b, err} }, parts...)
	a := <-answers
	return a.body, a.err
}

func TestTwoNodesTalk(t *testing.T) {
	nodes := fleet(t, 2, Config{})
	a, b := nodes[0], nodes[1]
	big := bytes.Repeat([]byte("x"), 1<<20)
	for lane := range lanes {
		a.wait(t, received{what: "connected", from: 2, lane: lane}, 1)
		require.True(t, a.Send(2, lane, 7, []byte("two "), []byte("parts")))
		require.True(t, a.Send(2, lane, 8, big, []byte("!")))
		b.wait(t, received{"message", 1, lane, 7, "two parts"}, 1)
		b.wait(t, received{"message", 1, lane, 8, string(big) + "!"}, 1)
		body, err := ask(b.Links, 1, lane, 9, time.Minute, []byte("hello"))
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf("2 %s: hello", lane), string(body))
	}
	assert.True(t, a.Alive(2))
	assert.Eventually(t, func() bool {
		since, holds := a.Vouched(2)
		return holds && since > 0 && since <= a.Now()
	}, time.Minute, time.Millisecond)
	_, holds := a.Vouched(3)
	assert.False(t, holds)

	b.Close()
	a.wait(t, received{what: "down", from: 2}, 1)
	assert.False(t, a.Alive(2))
	_, err := ask(a.Links, 2, Bulk, 1, time.Minute)
	assert.ErrorIs(t, err, protocol.Errorf(protocol.CodeNodeUnreachable, ""))
}

func TestErrorsSurvive(t *testing.T) {
	nodes := fleet(t, 2, Config{})
	said := protocol.Errorf(protocol.CodeStaleSequence, "too old").WithOutcome(protocol.OutcomeApplied).With("offset", int64(1<<60)).With("share", 0.5)
	said.RetryAfter = 3 * time.Second
	nodes[1].answer(func(_ NodeID, kind uint16, _ []byte, _ time.Duration, reply func([]byte, error)) {
		if kind == 1 {
			reply(nil, fmt.Errorf("wrapped: %w", said))
		} else {
			reply(nil, errors.New("something"))
		}
	})
	_, err := ask(nodes[0].Links, 2, Control, 1, time.Minute)
	assert.Equal(t, said, err)
	_, err = ask(nodes[0].Links, 2, Control, 2, time.Minute)
	assert.Equal(t, protocol.Errorf(protocol.CodeInternal, "something").WithOutcome(protocol.OutcomeUnknown), err)
}

// A call reaches a node that is not connected by way of one that is.
func TestRelay(t *testing.T) {
	nodes := fleet(t, 3, Config{})
	a, c := nodes[0], nodes[2]
	peers := []Peer{nodes[1].peer(), {ID: 3, UUID: c.id.UUID, Address: "127.0.0.1:1"}}
	a.SetPeers(peers, nil)
	for _, p := range a.snapshot() {
		if p.id == 3 {
			p.disconnect(errDown)
		}
	}
	a.wait(t, received{what: "down", from: 3}, 1)
	assert.Eventually(t, func() bool {
		body, err := ask(a.Links, 3, Bulk, 5, time.Minute, []byte("by way of 2"))
		return err == nil && string(body) == "1 bulk: by way of 2"
	}, time.Minute, 10*time.Millisecond)
}

// Down comes after all calls have ended, also one that is just told that it is too late.
func TestDownWaitsForACallThatIsBeingTold(t *testing.T) {
	nodes := fleet(t, 2, Config{})
	a, b := nodes[0], nodes[1]
	b.answer(func(NodeID, uint16, []byte, time.Duration, func([]byte, error)) {}) // never
	telling, told := make(chan struct{}), make(chan struct{})
	a.Links.Call(2, Control, 1, time.Now().Add(20*time.Millisecond), func([]byte, error) { close(telling); <-told })
	<-telling
	go a.SetPeers(nil, nil)
	<-time.After(50 * time.Millisecond)
	a.recorder.mu.Lock()
	assert.NotContains(t, a.events, received{what: "down", from: 2}, "before the call has ended")
	a.recorder.mu.Unlock()
	close(told)
	a.wait(t, received{what: "down", from: 2}, 1)
}

func TestCallAddress(t *testing.T) {
	member := fleet(t, 2, Config{})[0]
	newcomer := startNode(t, Config{Self: Identity{UUID: "new", Name: "newcomer", MinFormat: 1, MaxFormat: 1}})
	type answer struct {
		peer Identity
		body string
		err  error
	}
	answers := make(chan answer, 1)
	call := func(l *Links, address string) answer {
		l.CallAddress(address, 4, time.Now().Add(time.Minute), func(peer Identity, b []byte, err error) {
			answers <- answer{peer, string(b), err}
		}, []byte("may I?"))
		return <-answers
	}
	got := call(newcomer.Links, member.Addr().String())
	require.NoError(t, got.err)
	assert.Equal(t, "0 control: may I?", got.body)
	assert.Equal(t, [2]any{NodeID(1), "f"}, [2]any{got.peer.Node, got.peer.Fleet})

	got = call(newcomer.Links, newcomer.Addr().String())
	assert.ErrorIs(t, got.err, &Refusal{Reason: ReasonSelf})
	stranger := identity(1)
	stranger.Fleet, stranger.UUID, stranger.Name = "other", "other", "other"
	got = call(startNode(t, Config{Self: stranger}).Links, member.Addr().String())
	assert.ErrorIs(t, got.err, &Refusal{Reason: ReasonFleet})
	assert.ErrorContains(t, got.err, `node "other" belongs to fleet other, this node, "node1", to fleet f`)
	got = call(newcomer.Links, "127.0.0.1:1")
	assert.ErrorIs(t, got.err, protocol.Errorf(protocol.CodeNodeUnreachable, ""))

	// The newcomer is let in.
	self := identity(3)
	self.UUID, self.Name = "new", "newcomer"
	newcomer.id = self
	newcomer.SetIdentity(self)
	newcomer.SetPeers([]Peer{member.peer()}, nil)
	member.SetPeers([]Peer{newcomer.peer()}, []string{"uuid-2"})
	member.wait(t, received{what: "down", from: 2}, 1)
	member.wait(t, received{what: "up", from: 3}, 1)
	newcomer.wait(t, received{what: "up", from: 1}, 1)
}

// The node that was asked at its address ends before it answers.
func TestCallAddressIsLost(t *testing.T) {
	asked := make(chan struct{})
	server := startNode(t, Config{Self: identity(1)})
	server.answer(func(NodeID, uint16, []byte, time.Duration, func([]byte, error)) { close(asked) })
	client := startNode(t, Config{Self: Identity{UUID: "new", Name: "newcomer", MinFormat: 1, MaxFormat: 1}})
	got := make(answers, 2)
	client.CallAddress(server.Addr().String(), 1, time.Now().Add(time.Minute), func(_ Identity, _ []byte, err error) { got <- err })
	<-asked
	server.Close()
	_, outcome := got.outcome(t)
	assert.Equal(t, protocol.OutcomeUnknown, outcome)
	client.Close()
	assert.Empty(t, got)
}
