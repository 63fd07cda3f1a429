package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"ottla/chaos/intercept"
)

// The disk of one node of a fleet hangs, is slow or fails, and the others go on: what they
// have on theirs is a majority.
var (
	faultDiskHangs = &fault{"the disk of a node hangs", needsIntercept, 0, on(func(w nodeFaults) error {
		return w.troubleDisk(func(*server) intercept.Rule { return nil })
	})}
	faultDiskSlow = &fault{"the disk of a node is slow", needsIntercept, 0, on(func(w nodeFaults) error {
		long := w.between(20*time.Millisecond, time.Second)
		return w.troubleDisk(func(s *server) intercept.Rule {
			return func(path string) (syscall.Errno, time.Duration) {
				if strings.HasPrefix(path, s.dir) {
					return 0, long
				}
				return 0, 0
			}
		})
	})}
	faultDiskFails = &fault{"the disk of a node fails", needsIntercept, 0, on(nodeFaults.failNodeDisk)}
)

// interceptAll has the syncs of all nodes pass through here.
func (w nodeFaults) interceptAll() error {
	if err := intercept.Available(); err != nil {
		return &missingError{"making syncs fail needs seccomp: " + err.Error()}
	}
	for _, s := range w.nodes {
		s.intercept = &intercept.Interceptor{}
	}
	return nil
}

// troubleDisk holds up the syncs of one node for a while, all of them where there is no
// rule. The others must serve meanwhile.
func (w nodeFaults) troubleDisk(rule func(*server) intercept.Rule) error {
	i := w.rnd.Intn(len(w.nodes))
	s := w.nodes[i]
	if r := rule(s); r != nil {
		s.intercept.Set(r)
		defer s.intercept.Set(nil)
	} else {
		defer s.intercept.Hold()()
	}
	began := time.Now()
	if err := w.othersServe(i, fmt.Sprintf("trouble with the disk of node %d", i+1), began); err != nil {
		return err
	}
	pause(context.Background(), w.between(0, 4*time.Second))
	return nil
}

// failNodeDisk makes syncs of one node fail, a few or all, and kills it then. What it has
// not synced it may not have acknowledged.
func (w nodeFaults) failNodeDisk() error {
	i, left := w.rnd.Intn(len(w.nodes)), 1+w.rnd.Intn(5)
	if w.rnd.Intn(2) == 0 {
		left = 1 << 30
	}
	s := w.nodes[i]
	s.intercept.Set(func(path string) (syscall.Errno, time.Duration) {
		if left > 0 && strings.HasPrefix(path, s.dir) {
			left--
			return syscall.EIO, 0
		}
		return 0, 0
	})
	if err := w.othersServe(i, fmt.Sprintf("failed syncs of node %d", i+1), time.Now()); err != nil {
		return err
	}
	pause(context.Background(), w.between(0, time.Second))
	if err := s.kill(); err != nil {
		return err
	}
	s.intercept.Set(nil)
	return s.launch()
}

// othersServe waits until records are acknowledged although one node is of no use.
func (w nodeFaults) othersServe(but int, what string, began time.Time) error {
	from := w.rec.acks.Load()
	for w.rec.acks.Load() < from+progressAcks {
		if time.Since(began) > progressLimit {
			err := fmt.Errorf("%s: nothing is acknowledged any more, although %d of %d nodes are well", what, len(w.nodes)-1, len(w.nodes))
			w.rec.violate("stuck", "%v", err)
			return err
		}
		pause(context.Background(), 2*time.Millisecond)
	}
	w.slowest = max(w.slowest, time.Since(began))
	fmt.Fprintf(w.nodes[but].log, "chaos: others served %s after %s\n", time.Since(began), what)
	return nil
}
