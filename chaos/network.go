package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// network is what lies between the nodes of a fleet: each is reached by way of a
// relay, which takes note of who dials, and holds back, delays or cuts off what goes
// from any node to any other.
type network struct {
	real   []string // where the nodes listen
	relays []net.Listener

	mu    sync.Mutex
	turns chan struct{} // closed and replaced when the rules change
	held  map[way]bool
	late  map[way]time.Duration
	conns map[*relayed]bool
}

// way is the direction from one node to another.
type way struct{ from, to int }

// relayed is a connection by way of a relay.
type relayed struct {
	way  way // who has dialed whom
	ends [2]net.Conn
}

func newNetwork(n int) (*network, error) {
	nw := &network{turns: make(chan struct{}), held: map[way]bool{}, late: map[way]time.Duration{}, conns: map[*relayed]bool{}}
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		addr, err := freeAddress()
		if err != nil {
			return nil, errors.Join(err, ln.Close())
		}
		nw.relays, nw.real = append(nw.relays, ln), append(nw.real, addr)
	}
	// Founders are numbered by their addresses.
	slices.SortFunc(nw.relays, func(a, b net.Listener) int {
		return bytes.Compare([]byte(a.Addr().String()), []byte(b.Addr().String()))
	})
	for i, ln := range nw.relays {
		go nw.accept(ln, i)
	}
	return nw, nil
}

func (nw *network) addresses() (list []string) {
	for _, ln := range nw.relays {
		list = append(list, ln.Addr().String())
	}
	return list
}

func (nw *network) close() {
	for _, ln := range nw.relays {
		_ = ln.Close() // it fails only if it is closed
	}
	nw.reset(func(way) bool { return true })
}

// rule changes what becomes of what is sent.
func (nw *network) rule(change func()) {
	nw.mu.Lock()
	defer nw.mu.Unlock()
	change()
	close(nw.turns)
	nw.turns = make(chan struct{})
}

// hold holds back all that is sent on the ways, until heal.
func (nw *network) hold(ways ...way) {
	nw.rule(func() {
		for _, w := range ways {
			nw.held[w] = true
		}
	})
}

func (nw *network) delay(d time.Duration, ways ...way) {
	nw.rule(func() {
		for _, w := range ways {
			nw.late[w] = d
		}
	})
}

// heal lets all go.
func (nw *network) heal() {
	nw.rule(func() {
		clear(nw.held)
		clear(nw.late)
	})
}

// reset ends the connections on ways that match, whoever has dialed.
func (nw *network) reset(match func(way) bool) {
	nw.mu.Lock()
	defer nw.mu.Unlock()
	for c := range nw.conns {
		if match(c.way) || match(way{c.way.to, c.way.from}) {
			c.close()
		}
	}
}

func (c *relayed) close() {
	for _, end := range c.ends {
		_ = end.Close() // it may have ended by itself
	}
}

func (nw *network) accept(ln net.Listener, to int) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go nw.relay(c, to)
	}
}

// said is where a node says its name, in the first frame.
var said = regexp.MustCompile(`"name":"n([1-9])`)

// relay carries one connection.
func (nw *network) relay(dialed net.Conn, to int) {
	defer func() { _ = dialed.Close() }()
	var first []byte
	buf := make([]byte, 64<<10)
	from := -1
	for from < 0 {
		n, err := dialed.Read(buf)
		if err != nil || len(first) > len(buf) {
			return
		}
		first = append(first, buf[:n]...)
		if m := said.FindSubmatch(first); m != nil {
			n, _ := strconv.Atoi(string(m[1])) // a digit
			from = n - 1
		}
	}
	target, err := net.Dial("tcp", nw.real[to])
	if err != nil {
		return
	}
	c := &relayed{way{from, to}, [2]net.Conn{dialed, target}}
	nw.mu.Lock()
	nw.conns[c] = true
	nw.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { nw.pump(c.way, io.MultiReader(bytes.NewReader(first), dialed), target); c.close() })
	wg.Go(func() { nw.pump(way{to, from}, target, dialed); c.close() })
	wg.Wait()
	nw.mu.Lock()
	delete(nw.conns, c)
	nw.mu.Unlock()
}

// pump carries what goes one way. What is held back waits, as in a network that loses
// everything for a while and whose ends send again.
func (nw *network) pump(w way, from io.Reader, to net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			nw.pass(w)
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			nw.pass(w) // nobody hears of an end, either
			return
		}
	}
}

// pass waits until something may go a way.
func (nw *network) pass(w way) {
	nw.mu.Lock()
	late := nw.late[w]
	nw.mu.Unlock()
	pause(context.Background(), late)
	for {
		nw.mu.Lock()
		held, turns := nw.held[w], nw.turns
		nw.mu.Unlock()
		if !held {
			return
		}
		<-turns
	}
}
