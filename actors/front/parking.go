package front

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// parking is the state of a read that waits. No goroutine waits with it:
// whatever may end the wait calls wake, which has the caller go on.
//
// The read's own steps are one at a time: it waits by armTimer and arm, and the
// first thing that it does when it goes on is woke.
type parking struct {
	parked bool          // until woke
	flags  atomic.Uint32 // what has happened since woke, and waitArmed
	resume func()
	timer  *time.Timer
}

// What may happen to a parked read.
const (
	waitArmed  uint32 = 1 << iota // resume is to be called for the next one
	waitWake                      // a partition or the group woke it
	waitNudged                    // time, topics, client or process: it looks by itself
)

// wake ends the wait, at any time and on whatever goroutine.
func (p *parking) wake(cause uint32) {
	for {
		old := p.flags.Load()
		if !p.flags.CompareAndSwap(old, (old|cause)&^waitArmed) {
			continue
		}
		if old&waitArmed != 0 {
			p.resume()
		}
		return
	}
}

// Nudge has a parked read look whether it is concerned by what happened.
func (p *parking) Nudge() { p.wake(waitNudged) }

// armTimer has it nudged then.
func (p *parking) armTimer(until time.Time) {
	if p.timer == nil {
		p.timer = time.AfterFunc(time.Until(until), p.Nudge)
	} else {
		p.timer.Reset(time.Until(until))
	}
}

// arm has whatever happens next call resume, also what has happened already: a
// wake, or that one of these is over, whose nudge may have come too early.
// Afterwards the read may be under way elsewhere.
func (p *parking) arm(resume func(), over ...<-chan struct{}) {
	p.parked, p.resume = true, resume
	for {
		if p.flags.Load() != 0 {
			resume()
			return
		}
		if p.flags.CompareAndSwap(0, waitArmed) {
			break
		}
	}
	if slices.ContainsFunc(over, closed) {
		p.Nudge()
	}
}

// woke is the end of a wait; woken says that there may be records.
func (p *parking) woke() (woken bool) {
	p.parked = false
	p.timer.Stop()
	return p.flags.Swap(0)&waitWake != 0
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// sleepers are the parked reads of a node, to be nudged when something happens
// that may concern any of them.
type sleepers struct {
	mu      sync.Mutex
	parked  map[*parking]struct{}
	watched map[<-chan struct{}]bool
}

// Add notes a read that ends with its front end, done, or its node, stopped.
func (a *sleepers) add(p *parking, done, stopped <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.parked == nil {
		a.parked, a.watched = map[*parking]struct{}{}, map[<-chan struct{}]bool{}
	}
	a.parked[p] = struct{}{}
	if !a.watched[done] {
		a.watched[done] = true
		go a.watch(done, stopped)
	}
}

func (a *sleepers) remove(p *parking) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.parked, p)
}

// watch nudges all at the end of a front end or of the node.
func (a *sleepers) watch(done, stopped <-chan struct{}) {
	select {
	case <-done:
	case <-stopped:
	}
	a.mu.Lock()
	delete(a.watched, done)
	a.mu.Unlock()
	a.nudge()
}

// nudge has all parked reads look whether they are concerned.
func (a *sleepers) nudge() {
	a.mu.Lock()
	all := slices.Collect(maps.Keys(a.parked))
	a.mu.Unlock()
	for _, p := range all {
		p.Nudge()
	}
}
