package budget

import (
	"slices"
	"sync"
	"time"

	"ottla/protocol"
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
// may ask for megabytes and then not read them.
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
	limit               int64
	maxWait, standstill time.Duration

	mu       sync.Mutex
	used     int64     // may exceed limit, see Share.Set
	queue    []*waiter // is served in order
	returned int       // how often muchReturned bytes or more came back
	vain     int       // value of returned when a wait was last in vain; -1 at first
}

// waiter is an answer that waits for n bytes.
type waiter struct {
	n       int64
	granted chan struct{} // closed when it has them
}

// NewAnswers returns a budget of limit bytes, all of it unused.
func NewAnswers(limit int64) *Answers {
	return &Answers{limit: limit, maxWait: maxWait, standstill: standstill, vain: -1}
}

// Limit is how many bytes may be held at the same time.
func (a *Answers) Limit() int64 { return a.limit }

// Open is the part of the limit that is not the reserve.
func (a *Answers) Open() int64 { return openPart(a.limit) }

// Used is how many bytes are held.
func (a *Answers) Used() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used
}

// tryTake reserves n bytes, the reserve included, or returns false.
func (a *Answers) tryTake(n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.takeWithin(n, a.limit)
}

func (a *Answers) takeWithin(n, bound int64) bool {
	if a.used+n > bound {
		return false
	}
	a.used += n
	return true
}

// take reserves up to want bytes, and returns how many: 0 when not even a small
// answer finds room. It may wait.
func (a *Answers) take(want int64) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := a.takeNow(want); n > 0 {
		return n
	}
	if n := min(want, a.ordinary()); a.wait(n) {
		return n
	}
	if n := min(want, max((a.Open()-a.used)/answerShare, SmallAnswer)); a.takeWithin(n, a.limit) {
		return n
	}
	return 0
}

// takeNow reserves what an answer of want bytes may have without waiting. It
// returns 0 if that is not free, or if others wait for it.
func (a *Answers) takeNow(want int64) int64 {
	n, bound := min(want, max(a.ordinary(), (a.Open()-a.used)/answerShare)), a.Open()
	switch {
	case n <= SmallAnswer:
		bound = a.limit
	case len(a.queue) > 0:
		return 0
	}
	if !a.takeWithin(n, bound) {
		return 0
	}
	return n
}

func (a *Answers) ordinary() int64 { return min(ordinaryAnswer, a.Open()/answerShare) }

// wait waits until n bytes were reserved; a.mu is held before and after. It
// returns false if the wait was in vain. It does so at once if a wait was in vain
// before, and nothing was returned since.
func (a *Answers) wait(n int64) bool {
	returned := a.returned
	if returned == a.vain {
		return false
	}
	w := &waiter{n: n, granted: make(chan struct{})}
	a.queue = append(a.queue, w)
	tick := time.NewTicker(a.standstill)
	defer tick.Stop()
	for until := time.Now().Add(a.maxWait); ; {
		a.mu.Unlock()
		select {
		case <-w.granted:
		case <-tick.C:
		}
		a.mu.Lock()
		i := slices.Index(a.queue, w)
		if i < 0 {
			return true
		}
		before := returned
		if returned = a.returned; returned != before && time.Now().Before(until) {
			continue
		}
		if returned == before {
			a.vain = returned
		}
		a.queue = slices.Delete(a.queue, i, i+1)
		a.serveQueue() // the next one may need less
		return false
	}
}

// give returns n bytes. A negative n is counted whether it fits or not.
func (a *Answers) give(n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used -= n
	if n >= muchReturned {
		a.returned++
	}
	a.serveQueue()
}

func (a *Answers) serveQueue() {
	for len(a.queue) > 0 && a.takeWithin(a.queue[0].n, a.Open()) {
		close(a.queue[0].granted)
		a.queue[0] = nil
		a.queue = a.queue[1:]
	}
}

// grow reserves n bytes for an answer that holds held already. They may be part
// of the reserve if they are no more than small. If nothing else is held they are
// always granted, so that no record is too large to be read.
func (a *Answers) grow(held, n, small int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	bound := a.Open()
	if n <= small {
		bound = a.limit
	}
	if a.used <= held {
		bound = a.used + n
	}
	return a.takeWithin(n, bound)
}

// Share is what one answer holds of Answers: from the read that makes it until
// it was sent. It implements protocol.Room.
type Share struct {
	a    *Answers
	held int64
	cut  bool // Take reserved less than was wanted
}

// Share returns a share that holds nothing.
func (a *Answers) Share() Share { return Share{a: a} }

// Take implements protocol.Room.
func (s *Share) Take(want int) (int, *protocol.Error) {
	s.Release()
	if s.held = s.a.take(int64(want)); s.held == 0 {
		return 0, s.overloaded()
	}
	s.cut = s.held < int64(want)
	return int(s.held), nil
}

// Keep implements protocol.Room.
func (s *Share) Keep(n int) *protocol.Error {
	small := int64(SmallAnswer)
	if !s.cut {
		small = max(small, min(maxUnderestimate, s.a.limit/reserveShare/8))
	}
	if more := int64(n) - s.held; more > 0 && !s.a.grow(s.held, more, small) {
		s.Release()
		return s.overloaded()
	} else if more > 0 {
		s.held += more
	}
	s.Set(int64(n))
	return nil
}

// Set makes the share hold n bytes, whether they fit or not: they are in memory
// already.
func (s *Share) Set(n int64) {
	if n != s.held {
		s.a.give(s.held - n)
		s.held = n
	}
}

// SetIfFree makes a share that holds nothing hold n bytes if they fit.
func (s *Share) SetIfFree(n int64) *protocol.Error {
	if !s.a.tryTake(n) {
		return s.overloaded()
	}
	s.held = n
	return nil
}

// Held is how many bytes the share holds.
func (s *Share) Held() int64 { return s.held }

// Release returns everything.
func (s *Share) Release() { s.Set(0) }

func (s *Share) overloaded() *protocol.Error {
	return protocol.Errorf(protocol.CodeOverloaded, "too many bytes of answers wait for their clients to read them").
		With("limit", s.a.limit)
}
