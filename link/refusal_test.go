package link

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/certs"
	"ottla/certs/certstest"
)

// logBuffer is what a node has logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// knock asks a node for its identity, as somebody else.
func knock(t *testing.T, as Config, target *testNode) error {
	t.Helper()
	n := startNode(t, as)
	errs := make(chan error, 1)
	n.CallAddress(target.Addr().String(), 1, time.Now().Add(time.Minute), func(_ Identity, _ []byte, err error) { errs <- err })
	return <-errs
}

// A node that is wrong hears what is wrong, and harms nobody.
func TestRefusals(t *testing.T) {
	nodes := fleet(t, 2, Config{Timings: Timings{Suspect: time.Minute}}) // nobody is down because the machine is slow
	a := nodes[0]
	peers := []Peer{a.peer(), nodes[1].peer()}
	retiredPeer := []string{"retired"}
	a.SetPeers(peers, retiredPeer)
	for _, c := range []struct {
		name   string
		change func(*Identity)
		reason Reason
		says   string
	}{
		{"another fleet", func(i *Identity) { i.Fleet = "g" }, ReasonFleet, `node "wrong" belongs to fleet g, this node, "node1", to fleet f`},
		{"a copy of a directory", func(i *Identity) { i.UUID = "uuid-1" }, ReasonUUID, "one of them runs on a copy"},
		{"a name that is taken", func(i *Identity) { i.Name = "node2" }, ReasonName, `node 2 of the fleet is named "node2", too`},
		{"the name of the node itself", func(i *Identity) { i.Name = "node1" }, ReasonName, `this node is named "node1", too`},
		{"newer formats only", func(i *Identity) { i.MinFormat, i.MaxFormat = 2, 3 }, ReasonFormat, "can use formats 2 to 3, this node"},
		{"older formats only", func(i *Identity) { i.MinFormat, i.MaxFormat = 0, 0 }, ReasonFormat, "no format is common to both"},
		{"a retired node", func(i *Identity) { i.UUID = "retired" }, ReasonRetired, "has left the fleet for good"},
	} {
		wrong := Identity{Fleet: "f", Node: 9, UUID: "wrong", Name: "wrong", MinFormat: 1, MaxFormat: 1}
		c.change(&wrong)
		err := knock(t, Config{Self: wrong}, a)
		assert.ErrorIs(t, err, &Refusal{Reason: c.reason}, c.name)
		assert.ErrorContains(t, err, c.says, c.name)

		// It is refused as a member, too, and says why.
		member := startNode(t, Config{Self: wrong})
		member.SetPeers([]Peer{a.peer()}, nil)
		assert.Eventually(t, func() bool { return member.Stats()[0].LastError != "" }, time.Minute, ms)
		assert.Contains(t, member.Stats()[0].LastError, c.says, c.name)
	}
	stranger := startNode(t, Config{Self: Identity{Fleet: "f", Node: 9, UUID: "u9", Name: "n9", MinFormat: 1, MaxFormat: 1}})
	stranger.SetPeers([]Peer{a.peer()}, nil)
	assert.Eventually(t, func() bool { return stranger.Stats()[0].LastError != "" }, time.Minute, ms)
	assert.Contains(t, stranger.Stats()[0].LastError, `node "n9", number 9, is no member of the fleet as far as node "node1" knows`)

	a.recorder.mu.Lock()
	defer a.recorder.mu.Unlock()
	for _, e := range a.events {
		assert.NotEqual(t, "down", e.what)
	}
	assert.True(t, a.Alive(2))
}

// A wiped node has the number and the name of a member, and another data directory.
func TestWipedNodeIsNotTheOldOne(t *testing.T) {
	nodes := fleet(t, 2, Config{})
	a, b := nodes[0], nodes[1]
	b.Close()
	a.wait(t, received{what: "down", from: 2}, 1)
	wiped := identity(2)
	wiped.UUID = "fresh"
	n := startNode(t, Config{Self: wiped, Listen: b.Addr().String()})
	n.SetPeers([]Peer{a.peer()}, nil)
	for _, l := range []*testNode{n, a} {
		assert.Eventually(t, func() bool {
			return bytes.Contains([]byte(l.Stats()[0].LastError), []byte("uuid-2"))
		}, time.Minute, ms, l.Stats())
	}
	assert.False(t, a.Alive(2))
}

// Two processes with one identity: the one that was there first stays, the other
// one gets in when the first is silent.
func TestCopyOfANode(t *testing.T) {
	nodes := fleet(t, 2, Config{})
	a, b := nodes[0], nodes[1]
	twin := startNode(t, Config{Self: identity(2)})
	twin.SetPeers([]Peer{a.peer()}, nil)
	assert.Eventually(t, func() bool { return twin.Stats()[0].LastError != "" }, time.Minute, ms)
	assert.Contains(t, twin.Stats()[0].LastError, `another process with the data directory of node 2 "node2" was heard a moment ago`)
	assert.True(t, a.Alive(2))
	assert.False(t, twin.Alive(1))

	a.SetPeers([]Peer{twin.peer()}, nil)
	b.Close() // with its goodbye there is nothing to wait for
	a.wait(t, received{what: "down", from: 2}, 1)
	a.wait(t, received{what: "up", from: 2}, 2)
	twin.wait(t, received{what: "up", from: 1}, 1)
}

func TestTLSBetweenNodes(t *testing.T) {
	ca, other := certstest.New(t), certstest.New(t)
	with := func(id Identity, by *certstest.Authority, name string, log *logBuffer) Config {
		cert, key := by.Issue(name)
		return Config{Self: id, TLS: &certs.NodeFiles{Cert: cert, Key: key, CA: by.PEM}, Log: slog.New(slog.NewTextHandler(log, nil))}
	}
	var logs [4]logBuffer
	a := startNode(t, with(identity(1), ca, "node1", &logs[0]))
	b := startNode(t, with(identity(2), ca, "node2", &logs[1]))
	foreign := startNode(t, with(identity(3), other, "node3", &logs[2]))
	impostor := startNode(t, with(identity(4), ca, "mallory", &logs[3]))
	plain := startNode(t, Config{Self: identity(5)})
	all := []Peer{a.peer(), b.peer(), foreign.peer(), impostor.peer(), plain.peer()}
	for _, n := range []*testNode{a, b, foreign, impostor, plain} {
		n.SetPeers(all, nil)
	}
	a.wait(t, received{what: "up", from: 2}, 1)
	b.wait(t, received{what: "up", from: 1}, 1)
	body, err := ask(a.Links, 2, Bulk, 1, time.Minute, bytes.Repeat([]byte("x"), 1<<20))
	require.NoError(t, err)
	assert.Len(t, body, 1<<20+len("1 bulk: "))

	says := func(n *testNode, of NodeID) string {
		for _, s := range n.Stats() {
			if s.Peer.ID == of {
				return s.LastError
			}
		}
		return ""
	}
	for _, c := range []struct {
		node *testNode
		of   NodeID
		says string
	}{
		{foreign, 1, "certificate is not one of the fleet's authority"},
		{a, 3, "certificate is not one of the fleet's authority"},
		{impostor, 1, `the certificate of node "node4" is not for that name`},
		{a, 4, `the certificate of node "node4" is not for that name`},
		{plain, 1, ""},
		{a, 5, "TLS"},
	} {
		assert.Eventually(t, func() bool {
			text := says(c.node, c.of)
			return text != "" && bytes.Contains([]byte(text), []byte(c.says))
		}, time.Minute, ms, "%d of %d: %q", c.node.id.Node, c.of, says(c.node, c.of))
	}
	assert.Eventually(t, func() bool { return bytes.Contains([]byte(logs[0].String()), []byte("is not for that name")) }, time.Minute, ms)
	for _, of := range []NodeID{3, 4, 5} {
		assert.False(t, a.Alive(of))
	}
	assert.True(t, a.Alive(2))
}

func TestOpenRefuses(t *testing.T) {
	good := Config{Self: identity(1), Listen: "127.0.0.1:0", Handler: newRecorder()}
	for name, change := range map[string]func(*Config){
		"not loopback":     func(c *Config) { c.Listen = "0.0.0.0:0" },
		"no address":       func(c *Config) { c.Listen = "somewhere" },
		"no uuid":          func(c *Config) { c.Self.UUID = "" },
		"half a member":    func(c *Config) { c.Self.Node = 0 },
		"no files":         func(c *Config) { c.TLS = &certs.NodeFiles{Cert: "none"} },
		"suspect too soon": func(c *Config) { c.Timings.Suspect = 500 * ms },
		"fence too short":  func(c *Config) { c.Timings.Fence = 150 * ms },
		"negative":         func(c *Config) { c.Timings.Dial = -1 },
	} {
		cfg := good
		change(&cfg)
		_, err := Open(cfg)
		assert.Error(t, err, name)
	}
	insecure := good
	insecure.Listen, insecure.Insecure = "0.0.0.0:0", true
	l, err := Open(insecure)
	require.NoError(t, err)
	l.Close()
	assert.ErrorContains(t, startNode(t, good).allowed("10.0.0.1:7070"), "is not loopback")
}

// A node whose certificate the others do not take hears that, though it would take
// theirs.
func TestRefusedCertificate(t *testing.T) {
	ca, other := certstest.New(t), certstest.New(t)
	both := filepath.Join(t.TempDir(), "both.pem")
	var roots []byte
	for _, file := range []string{ca.PEM, other.PEM} {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		roots = append(roots, b...)
	}
	require.NoError(t, os.WriteFile(both, roots, 0o600))
	cert, key := ca.Issue("node1")
	a := startNode(t, Config{Self: identity(1), TLS: &certs.NodeFiles{Cert: cert, Key: key, CA: ca.PEM}})
	cert, key = other.Issue("node2")
	wrong := Config{Self: identity(2), TLS: &certs.NodeFiles{Cert: cert, Key: key, CA: both}}
	assert.ErrorContains(t, knock(t, wrong, a), "the other node refuses the certificate of this one")
}
