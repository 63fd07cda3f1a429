package budget

import (
	"slices"
	"sync"
	"time"
)

const (
	// SmallAnswer is the size, in bytes, up to which an answer may take of the
	// reserve. It waits for nobody.
	SmallAnswer = 16 << 10
	// ordinaryAnswer is the size, in bytes, up to which an answer waits rather than
	// being cut short at once. It is the default of max_bytes.
	ordinaryAnswer = 1 << 20
	// answerShare bounds an answer of more than ordinary size to one part in so
	// many of what is left.
	answerShare = 8
	// muchReturned is how many bytes must be returned at once to show that clients
	// take their answers: more than an answer has that was cut short.
	muchReturned = 4 * SmallAnswer
	// maxUnderestimate is by how many bytes a read may exceed its estimate and
	// still take the difference of the reserve. For a small budget it is less.
	maxUnderestimate = 128 << 10

	// maxWait is how long an answer waits for others to be sent, and standstill is
	// how long it waits while none is: then clients do not read their answers.
	maxWait    = 2 * time.Second
	standstill = 250 * time.Millisecond
)

// Answers bounds the bytes of answers in memory, over all connections: a client
// may ask for megabytes and then not read them. What one client may hold is bounded
// too, over all of its connections (see Account).
//
// An answer of up to ordinaryAnswer bytes gets what it needs; if others hold it,
// it waits in turn. So answers are as large as asked for as long as clients read
// them. Larger answers get a part of what is left, and so does an answer whose
// wait was in vain.
//
// semaphore.Weighted cannot do this: what an answer takes beyond its estimate is
// in memory already and has to be counted even if that exceeds the limit, and
// small answers take what is left while larger ones wait.
type Answers struct {
	maxWait, standstill time.Duration
	perClient           int64         // limit of each account
	stall               time.Duration // see NewAnswers

	mu       sync.Mutex
	all      pool                // what everybody holds together
	accounts map[string]*Account // of clients with connections
	others   *Account            // of who is no client; bounded by all only
	turns    []*Account          // those with waiting answers, in turn
	scarce   bool                // one whose turn it is waits for others, not only for itself
	holding  *Share              // those that hold something, linked
	watching bool                // a look for stalled answers is due
}

// pool counts bytes up to a limit.
type pool struct {
	limit    int64
	used     int64 // may exceed limit, see Share.Set
	returned int   // how often muchReturned bytes or more came back
	vain     int   // value of returned when a wait was last in vain; -1 at first
}

// open is the part of the limit that is not the reserve.
func (p *pool) open() int64 { return openPart(p.limit) }

// bound is up to where an answer may take: the reserve is for small ones.
func (p *pool) bound(reserve bool) int64 {
	if reserve {
		return p.limit
	}
	return p.open()
}

// waiter is an answer that waits for n bytes.
type waiter struct {
	n       int64
	granted chan struct{} // closed when it has them
	served  bool          // likewise
}

// NewAnswers returns a budget of limit bytes, all of it unused. Each client may hold
// perClient of them; 0 is half. When they become scarce, the connections of clients
// that have taken nothing of their answers for stall are ended.
func NewAnswers(limit, perClient int64, stall time.Duration) *Answers {
	if perClient == 0 {
		perClient = limit / 2
	}
	a := &Answers{
		all: pool{limit: limit, vain: -1}, perClient: min(perClient, limit), stall: stall,
		maxWait: maxWait, standstill: standstill, accounts: map[string]*Account{},
	}
	a.others = &Account{a: a, pool: pool{limit: limit, vain: -1}}
	return a
}

// Limit is how many bytes may be held at the same time.
func (a *Answers) Limit() int64 { return a.all.limit }

// PerClient is how many bytes one client may hold at the same time.
func (a *Answers) PerClient() int64 { return a.perClient }

// Open is the part of the limit that is not the reserve.
func (a *Answers) Open() int64 { return a.all.open() }

// Used is how many bytes are held.
func (a *Answers) Used() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all.used
}

// take reserves up to want bytes, and returns how many: 0 when not even a small
// answer finds room. It may wait. a.mu is held before and after.
func (ac *Account) take(want int64) int64 {
	if n := ac.takeNow(want); n > 0 {
		return n
	}
	if n := min(want, ac.ordinary()); ac.wait(n) {
		return n
	}
	if n := min(want, max(ac.left()/answerShare, SmallAnswer)); ac.takeWithin(n, true) {
		return n
	}
	return 0
}

// fits reports whether n bytes more are within both bounds.
func (ac *Account) fits(n int64, reserve bool) bool {
	return ac.fitsItself(n, reserve) && ac.a.all.used+n <= ac.a.all.bound(reserve)
}

func (ac *Account) fitsItself(n int64, reserve bool) bool {
	return ac.used+n <= ac.bound(reserve)
}

func (ac *Account) takeWithin(n int64, reserve bool) bool {
	if !ac.fits(n, reserve) {
		return false
	}
	ac.add(n)
	return true
}

// add counts n bytes more.
func (ac *Account) add(n int64) {
	ac.used += n
	ac.a.all.used += n
	if n > 0 && ac.pressed() {
		ac.a.watch()
	}
}

// left is what is left outside the reserve.
func (ac *Account) left() int64 { return min(ac.a.all.open()-ac.a.all.used, ac.open()-ac.used) }

// takeNow reserves what an answer of want bytes may have without waiting. It
// returns 0 if that is not free, or if others wait for it.
func (ac *Account) takeNow(want int64) int64 {
	n := min(want, max(ac.ordinary(), ac.left()/answerShare))
	reserve := n <= SmallAnswer
	if !reserve && (len(ac.queue) > 0 || ac.a.scarce) || !ac.takeWithin(n, reserve) {
		return 0
	}
	return n
}

func (ac *Account) ordinary() int64 { return min(ordinaryAnswer, ac.open()/answerShare) }

// wait waits until n bytes were reserved; a.mu is held before and after. It
// returns false if the wait was in vain. It does so at once if a wait was in vain
// before, and nothing was returned since.
func (ac *Account) wait(n int64) bool {
	a, p := ac.a, &ac.a.all
	if !ac.fitsItself(n, false) {
		p = &ac.pool
	}
	returned := p.returned
	if returned == p.vain {
		return false
	}
	w := &waiter{n: n, granted: make(chan struct{})}
	ac.enqueue(w)
	tick := time.NewTicker(a.standstill)
	defer tick.Stop()
	for until := time.Now().Add(a.maxWait); ; {
		a.mu.Unlock()
		select {
		case <-w.granted:
		case <-tick.C:
		}
		a.mu.Lock()
		if w.served {
			return true
		}
		before := returned
		if returned = p.returned; returned != before && time.Now().Before(until) {
			continue
		}
		if returned == before {
			p.vain = returned
		}
		ac.dequeue(w)
		a.serveQueue() // the next one may need less
		return false
	}
}

// give returns n bytes. A negative n is counted whether it fits or not.
func (ac *Account) give(n int64) {
	ac.add(-n)
	if n >= muchReturned {
		ac.returned++
		ac.a.all.returned++
	}
	ac.a.serveQueue()
}

// serveQueue lets those go on that wait, a client after the other. A client that waits
// for what it holds itself holds nobody up.
func (a *Answers) serveQueue() {
	a.scarce = false
	for i := 0; i < len(a.turns); {
		ac := a.turns[i]
		switch w := ac.queue[0]; {
		case !ac.fitsItself(w.n, false):
			i++
		case !ac.takeWithin(w.n, false):
			a.scarce = true
			return
		default:
			w.served = true
			close(w.granted)
			ac.queue[0] = nil
			ac.queue = ac.queue[1:]
			a.turns = slices.Delete(a.turns, i, i+1)
			if len(ac.queue) > 0 { // the others first
				a.turns = append(a.turns, ac)
			}
		}
	}
}

// grow reserves n bytes for an answer that holds held already. They may be part
// of the reserve if they are no more than small. If nothing else is held they are
// always granted, so that no record is too large to be read.
func (ac *Account) grow(held, n, small int64) bool {
	a := ac.a
	if ac.growsItself(held, n, small) && (a.all.used <= held || a.all.used+n <= a.all.bound(n <= small)) {
		ac.add(n)
		return true
	}
	return false
}

// growsItself reports whether that is within what the client may hold.
func (ac *Account) growsItself(held, n, small int64) bool {
	return ac.used <= held || ac.fitsItself(n, n <= small)
}
