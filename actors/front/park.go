package front

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// parker parks a read that has to wait. No goroutine waits with it: whatever
// may end the wait has the caller of the read go on. Three words are used:
//
//	park    the read waits, and its caller has been promised a call
//	wake    there may be records, or an answer: the read goes on
//	nudge   time, topics, client or process: the read looks whether it is concerned
//
// The steps of a read are taken one at a time. It parks by setTimer and park, and the first
// thing that it does afterwards is unpark. Wakes and nudges may come at any time.
//
// Flags is what all of it turns on. A cause that comes while the read runs is left in it,
// and is found when the read parks: none is lost between the look and the wait. Armed is
// taken by exactly one cause, which then calls resume, so that is called once for each
// park, however many causes there are.
type parker struct {
	parked bool          // from park until unpark
	flags  atomic.Uint32 // armed, and what has happened since unpark
	resume func()        // of the caller
	timer  *time.Timer   // nudges; nil until the read parks for the first time
}

// The flags of a parker.
const (
	armed  uint32 = 1 << iota // the next cause calls resume
	woken                     // a leader or the group has woken the read
	nudged                    // the read has to look by itself
)

// wake ends the wait.
func (p *parker) wake() { p.end(woken) }

// Nudge implements protocol.Pending.
func (p *parker) Nudge() { p.end(nudged) }

// end notes a cause, and has the read go on if it waits. It may be called from any
// goroutine, also long after the read is over; then nobody is armed.
func (p *parker) end(cause uint32) {
	for {
		old := p.flags.Load()
		if !p.flags.CompareAndSwap(old, (old|cause)&^armed) {
			continue
		}
		if old&armed != 0 {
			p.resume()
		}
		return
	}
}

// setTimer has the read nudged at a time.
func (p *parker) setTimer(until time.Time) {
	if p.timer == nil {
		p.timer = time.AfterFunc(time.Until(until), p.Nudge)
	} else {
		p.timer.Reset(time.Until(until))
	}
}

// park has resume called once: by the next wake or nudge, or at once if one has
// come already. The same goes for the channels in over, which are closed before
// a nudge that may have come too early to count. After park another goroutine
// may take the next step of the read.
func (p *parker) park(resume func(), over ...<-chan struct{}) {
	// Before armed is set: whoever takes it calls resume at once.
	p.parked, p.resume = true, resume
	for {
		if p.flags.Load() != 0 {
			resume()
			return
		}
		if p.flags.CompareAndSwap(0, armed) {
			break
		}
	}
	if slices.ContainsFunc(over, closed) {
		p.Nudge()
	}
}

// unpark ends the wait, and reports whether it was ended by a wake.
func (p *parker) unpark() (wasWoken bool) {
	p.parked = false
	// It may have fired already. Then a nudge is in the flags, or will be, and has the next
	// wait look once in vain.
	p.timer.Stop()
	return p.flags.Swap(0)&woken != 0
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// parkedReads are the reads of a node that wait for records. All are nudged
// when something happens that may concern any of them.
type parkedReads struct {
	mu      sync.Mutex
	all     map[*parker]struct{}
	watched map[<-chan struct{}]bool // front ends
}

// add adds a read that ends with its front end, done, or its node, stopped.
func (r *parkedReads) add(p *parker, done, stopped <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all, r.watched = map[*parker]struct{}{}, map[<-chan struct{}]bool{}
	}
	r.all[p] = struct{}{}
	// One goroutine watches for all reads of a front end.
	if !r.watched[done] {
		r.watched[done] = true
		go r.watch(done, stopped)
	}
}

// remove takes a read out that goes on. A nudge may be on its way to it all the same.
func (r *parkedReads) remove(p *parker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, p)
}

// watch nudges all reads at the end of a front end or of the node.
func (r *parkedReads) watch(done, stopped <-chan struct{}) {
	select {
	case <-done:
	case <-stopped:
	}
	r.mu.Lock()
	delete(r.watched, done)
	r.mu.Unlock()
	r.nudge()
}

// nudge has all parked reads look whether they are concerned.
func (r *parkedReads) nudge() {
	r.mu.Lock()
	all := slices.Collect(maps.Keys(r.all))
	r.mu.Unlock()
	// Without the lock, because resume may go on with the read, which removes itself.
	for _, p := range all {
		p.Nudge()
	}
}
