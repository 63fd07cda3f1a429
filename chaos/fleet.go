package main

import (
	"context"
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	maxNodes = 9
	// fence is how old a read by way of any node may be.
	fence = 300 * time.Millisecond
	// nodeCallLimit is how long a client of a fleet waits for one node. It is less than
	// the broker's request_timeout, so that it asks another node while the first one
	// may still be at it.
	nodeCallLimit = 3 * time.Second
)

// newFleet prepares processes that reach each other by way of relays.
func (w *world) newFleet(n int) error {
	w.rec.fence = fence
	var err error
	if w.nodes, w.net, err = newNodes(w.o.binary, w.o.dir, n); err != nil {
		return err
	}
	w.s = w.nodes[0]
	if !w.o.kafka {
		return nil
	}
	if w.kafka, err = freeInARow(n); err != nil {
		return err
	}
	for i, s := range w.nodes {
		s.args = append(s.args, "--kafka", w.kafka[i])
	}
	return nil
}

func newNodes(binary, dir string, n int) ([]*server, *network, error) {
	net, err := newNetwork(n)
	if err != nil {
		return nil, nil, err
	}
	seeds := strings.Join(net.addresses(), ",")
	var nodes []*server
	for i := range n {
		home := filepath.Join(dir, fmt.Sprintf("node-%d", i+1))
		if err := os.MkdirAll(home, 0o755); err != nil {
			return nil, nil, err
		}
		s, err := newServer(binary, home)
		if err != nil {
			return nil, nil, err
		}
		s.args = []string{"--link", net.real[i], "--advertise-link", net.addresses()[i], "--seeds", seeds, "--node-name", nodeName(i)}
		s.env = append(s.env, leadersLogged)
		nodes = append(nodes, s)
	}
	return nodes, net, nil
}

// nodeName is the name by which relays know a node.
func nodeName(i int) string { return fmt.Sprintf("n%d", i+1) }

// anyNode is a client's way to a fleet: it stays with one node for a while, and asks
// another one when that gives no good answer.
type anyNode struct {
	nodes []*server
	at    int
	rnd   *rand.Rand
}

func (a *anyNode) call(ctx context.Context, method, path string, header http.Header, body []byte) (int, answer) {
	at := a.at // of a client's two goroutines, either may move on
	status, got := call(ctx, nodeCallLimit, method, a.nodes[at].url(path), header, body)
	if status == 0 || status >= http.StatusInternalServerError || rand.Intn(20) == 0 {
		a.at = (at + 1 + rand.Intn(len(a.nodes)-1)) % len(a.nodes)
	}
	return status, got
}
