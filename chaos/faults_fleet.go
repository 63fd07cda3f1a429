package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// nodeFaults are faults of the nodes of a fleet, and between them.
type nodeFaults struct{ *world }

var (
	faultNodeKill   = &fault{"a node killed", 0, 0, on(func(w nodeFaults) error { return w.killNodes(1) })}
	faultMostKilled = &fault{"most nodes killed", 0, 0, on(func(w nodeFaults) error { return w.killNodes(len(w.nodes)/2 + 1) })}
	faultAllKilled  = &fault{"all nodes killed", 0, 0, on(func(w nodeFaults) error { return w.killNodes(len(w.nodes)) })}
	faultNodePause  = &fault{"nodes paused", 0, 0, on(nodeFaults.pauseNodes)}
	faultRoll       = &fault{"nodes restarted in turn", 0, 0, on(nodeFaults.rollNodes)}
	faultOneWay     = &fault{"one way cut", 0, 0, on(func(w nodeFaults) error { return w.cut(w.pair(false)) })}
	faultPair       = &fault{"a pair cut", 0, 0, on(func(w nodeFaults) error { return w.cut(w.pair(true)) })}
	faultAlone      = &fault{"a node cut off", 0, 0, on(func(w nodeFaults) error { return w.cut(w.around(w.rnd.Perm(len(w.nodes))[:1])) })}
	faultHalves     = &fault{"halves", 0, 0, on(func(w nodeFaults) error { return w.cut(w.around(w.rnd.Perm(len(w.nodes))[:len(w.nodes)/2])) })}
	faultBridge     = &fault{"bridge", 0, 0, on(func(w nodeFaults) error { return w.cut(w.bridge()) })}
	faultRing       = &fault{"ring", 0, 0, on(func(w nodeFaults) error { return w.cut(w.ring()) })}
	faultFlap       = &fault{"flapping", 0, 0, on(nodeFaults.flap)}
	faultDelay      = &fault{"slow network", 0, 0, on(nodeFaults.slowNetwork)}
	faultReset      = &fault{"connections reset", 0, 0, on(nodeFaults.resetConnections)}
)

// killNodes kills some nodes, one right after the other, and starts them again after a
// while, in another order.
func (w nodeFaults) killNodes(n int) error {
	victims := w.rnd.Perm(len(w.nodes))[:n]
	for _, i := range victims {
		if err := w.nodes[i].kill(); err != nil {
			return err
		}
		pause(context.Background(), w.between(0, 50*time.Millisecond))
	}
	down := w.between(0, 2*time.Second)
	if w.rnd.Intn(5) == 0 {
		down = w.between(2*time.Second, 6*time.Second)
	}
	pause(context.Background(), down)
	w.rnd.Shuffle(n, func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	for _, i := range victims {
		if err := w.nodes[i].launch(); err != nil {
			return err
		}
		pause(context.Background(), w.between(0, 100*time.Millisecond))
	}
	return nil
}

// pauseNodes stops one node, or several one after the other, for 0.1 to 10 s.
func (w nodeFaults) pauseNodes() error {
	n := 1
	if w.rnd.Intn(4) == 0 {
		n = 1 + w.rnd.Intn(len(w.nodes))
	}
	span := w.between(100*time.Millisecond, 3*time.Second)
	if w.rnd.Intn(5) == 0 {
		span = w.between(3*time.Second, 10*time.Second)
	}
	victims := w.rnd.Perm(len(w.nodes))[:n]
	for _, i := range victims {
		if err := w.nodes[i].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
	}
	pause(context.Background(), span)
	for _, i := range victims {
		if err := w.nodes[i].cmd.Process.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		pause(context.Background(), w.between(0, 500*time.Millisecond)/time.Duration(n))
	}
	return nil
}

// rollNodes restarts all nodes in turn, each once the one before is ready.
func (w nodeFaults) rollNodes() error {
	for _, i := range w.rnd.Perm(len(w.nodes)) {
		s, began := w.nodes[i], time.Now()
		if err := s.stop(); err != nil {
			return err
		}
		stopped := time.Now()
		pause(context.Background(), w.between(0, 300*time.Millisecond))
		if err := s.start(); err != nil {
			return err
		}
		fmt.Fprintf(w.s.log, "chaos: node %d took %s to stop and %s to be ready\n", i+1, stopped.Sub(began), time.Since(s.launched))
		pause(context.Background(), w.between(0, 300*time.Millisecond))
	}
	return nil
}

// cut holds back what goes some ways, for a while.
func (w nodeFaults) cut(ways []way) error {
	span := w.between(50*time.Millisecond, 4*time.Second)
	w.net.hold(ways...)
	if w.rnd.Intn(3) == 0 {
		cut := map[way]bool{}
		for _, x := range ways {
			cut[x] = true
		}
		w.net.reset(func(x way) bool { return cut[x] })
	}
	pause(context.Background(), span)
	w.net.heal()
	return nil
}

// pair is the way between two nodes, or both ways.
func (w nodeFaults) pair(both bool) []way {
	two := w.rnd.Perm(len(w.nodes))[:2]
	ways := []way{{two[0], two[1]}}
	if both {
		ways = append(ways, way{two[1], two[0]})
	}
	return ways
}

// around are all ways between some nodes and the others.
func (w nodeFaults) around(some []int) []way {
	in := map[int]bool{}
	for _, i := range some {
		in[i] = true
	}
	return w.ways(func(a, b int) bool { return in[a] != in[b] })
}

func (w nodeFaults) ways(match func(a, b int) bool) (list []way) {
	for a := range w.nodes {
		for b := range w.nodes {
			if a != b && match(a, b) {
				list = append(list, way{a, b})
			}
		}
	}
	return list
}

// bridge leaves two halves that only one node of both can see.
func (w nodeFaults) bridge() []way {
	order := w.rnd.Perm(len(w.nodes))
	side := map[int]int{}
	for k, i := range order[1:] {
		side[i] = 1 + k%2
	}
	return w.ways(func(a, b int) bool { return side[a]+side[b] == 3 && side[a] > 0 && side[b] > 0 })
}

// ring leaves each node two neighbors. With three nodes, a way each to one of them.
func (w nodeFaults) ring() []way {
	place, n := w.rnd.Perm(len(w.nodes)), len(w.nodes)
	if n == 3 {
		return w.ways(func(a, b int) bool { return (place[a]+1)%n == place[b] })
	}
	return w.ways(func(a, b int) bool { d := (place[a] - place[b] + n) % n; return d != 1 && d != n-1 })
}

// flap cuts and heals the same ways again and again.
func (w nodeFaults) flap() error {
	ways := w.pair(w.rnd.Intn(2) == 0)
	if w.rnd.Intn(2) == 0 {
		ways = w.around(w.rnd.Perm(len(w.nodes))[:1])
	}
	for end := time.Now().Add(w.between(time.Second, 4*time.Second)); time.Now().Before(end); {
		w.net.hold(ways...)
		pause(context.Background(), w.between(50*time.Millisecond, 500*time.Millisecond))
		w.net.heal()
		pause(context.Background(), w.between(50*time.Millisecond, 500*time.Millisecond))
	}
	return nil
}

// slowNetwork delays what goes some ways.
func (w nodeFaults) slowNetwork() error {
	for _, x := range w.ways(func(int, int) bool { return w.rnd.Intn(2) == 0 }) {
		w.net.delay(w.between(time.Millisecond, 150*time.Millisecond), x)
	}
	pause(context.Background(), w.between(time.Second, 4*time.Second))
	w.net.heal()
	return nil
}

// resetConnections ends connections again and again.
func (w nodeFaults) resetConnections() error {
	for range 1 + w.rnd.Intn(10) {
		of := w.rnd.Intn(len(w.nodes))
		w.net.reset(func(x way) bool { return x.from == of })
		pause(context.Background(), w.between(0, 400*time.Millisecond))
	}
	return nil
}
