package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The clock of one node of a fleet is wrong, and all others go on: what is told to clients
// stays right at all of them.
var (
	faultClockSet   = &fault{"the clock of a node is set", 0, 0, on(nodeFaults.setClock)}
	faultClockStart = &fault{"a node starts with a wrong clock", 0, 0, on(nodeFaults.startWithClock)}
	faultClockJumps = &fault{"the clock of a node jumps", 0, 0, on(nodeFaults.jumpingClock)}
	faultClockKill  = &fault{"another node than the one with a wrong clock is killed", 0, 0, on(nodeFaults.killBesideClock)}
)

// simulateClocks gives each node a clock that can be set.
func (w nodeFaults) simulateClocks() error {
	for _, q := range w.queues {
		q.slack = clockSlack
	}
	for _, s := range w.nodes {
		s.clock = filepath.Join(filepath.Dir(s.log.Name()), "clock")
		s.env = append(s.env, "OTTLA_SIMULATED_CLOCK="+s.clock)
		if err := s.setClock(0); err != nil {
			return err
		}
	}
	return nil
}

// setClock sets the node's clock ahead of the right time.
func (s *server) setClock(ahead time.Duration) error {
	next := s.clock + ".next"
	if err := os.WriteFile(next, []byte(ahead.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(next, s.clock)
}

// wrongTime is how far a clock is ahead that is wrong: seconds, hours or years, or behind.
func (w nodeFaults) wrongTime() time.Duration {
	by := []time.Duration{time.Hour, time.Hour, w.between(3*time.Second, time.Minute), w.between(time.Minute, 24*time.Hour), 4 * 365 * 24 * time.Hour}[w.rnd.Intn(5)]
	if w.rnd.Intn(2) == 0 {
		return -by
	}
	return by
}

// setClock has a node's clock be wrong for a while.
func (w nodeFaults) setClock() error {
	i := w.rnd.Intn(len(w.nodes))
	s, by := w.nodes[i], w.wrongTime()
	if err := s.setClock(by); err != nil {
		return err
	}
	if err := w.othersServe(i, fmt.Sprintf("the clock of node %d is %s ahead", i+1, by), time.Now()); err != nil {
		return err
	}
	if w.rnd.Intn(2) == 0 {
		w.saysItsClock(i, by)
		pause(context.Background(), w.between(0, 4*time.Second))
	} else {
		pause(context.Background(), w.between(0, time.Second))
	}
	return s.setClock(0)
}

// saysItsClock waits until a node says what is wrong.
func (w nodeFaults) saysItsClock(i int, by time.Duration) {
	var body []byte
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); pause(context.Background(), 10*time.Millisecond) {
		if _, body = w.nodes[i].get("/readyz"); strings.Contains(string(body), "the clock of this node is ") {
			return
		}
	}
	w.rec.violate("clock", "node %d, whose clock is %s ahead, does not say so: %.500s", i+1, by, body)
}

// startWithClock kills a node and starts it with a wrong clock, which is put right while it
// runs.
func (w nodeFaults) startWithClock() error {
	i := w.rnd.Intn(len(w.nodes))
	s, by := w.nodes[i], w.wrongTime()
	if err := s.kill(); err != nil {
		return err
	}
	if err := s.setClock(by); err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return err
	}
	w.saysItsClock(i, by)
	pause(context.Background(), w.between(0, 2*time.Second))
	return s.setClock(0)
}

// jumpingClock sets a node's clock again and again.
func (w nodeFaults) jumpingClock() error {
	s := w.nodes[w.rnd.Intn(len(w.nodes))]
	for range 3 + w.rnd.Intn(10) {
		if err := s.setClock(w.wrongTime()); err != nil {
			return err
		}
		pause(context.Background(), w.between(20*time.Millisecond, 600*time.Millisecond))
	}
	return s.setClock(0)
}

// killBesideClock leaves two of three nodes, one of which is wrong, as both know.
func (w nodeFaults) killBesideClock() error {
	order := w.rnd.Perm(len(w.nodes))
	wrong, killed := w.nodes[order[0]], w.nodes[order[1]]
	by := w.wrongTime()
	if err := wrong.setClock(by); err != nil {
		return err
	}
	w.saysItsClock(order[0], by)
	if err := killed.kill(); err != nil {
		return err
	}
	pause(context.Background(), w.between(0, 3*time.Second))
	if err := killed.launch(); err != nil {
		return err
	}
	pause(context.Background(), w.between(0, time.Second))
	return wrong.setClock(0)
}
