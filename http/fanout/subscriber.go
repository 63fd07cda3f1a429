package fanout

import (
	"sync"
	"time"
)

// Output is where a stream is written.
type Output interface {
	// TryWrite writes as much of b as it can without waiting.
	TryWrite(b []byte) (n int, err error)
}

// Subscriber is a stream as its feed sees it.
type Subscriber struct {
	out  Output
	form Form
	may  func(size int, now time.Time) bool

	woken chan struct{} // has one element when the feed has detached it
	index int           // in Feed.attached; -1: it is not there. Guarded by Feed.mu

	mu     sync.Mutex
	active bool   // the feed may write to it
	next   uint64 // the number of the chunk that it gets next
	cursor string // the place behind all that it got
	rest   []byte // of that, what was not written
	last   time.Time
	sent   int // bytes since Detach was called last
	err    error
}

// NewSubscriber makes a subscriber that is not attached. may is asked before so many
// bytes are written, and counts them if it says yes. It is called by the feed's
// goroutine, so it must not wait.
func NewSubscriber(out Output, form Form, may func(size int, now time.Time) bool) *Subscriber {
	return &Subscriber{out: out, form: form, may: may, woken: make(chan struct{}, 1), index: -1}
}

// Woken gets an element when the feed has detached the stream.
func (s *Subscriber) Woken() <-chan struct{} { return s.woken }

// LastWrite is when the feed wrote to the stream last; zero: not since it was attached.
func (s *Subscriber) LastWrite() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// give writes a chunk if it is the next one, and reports whether it did.
func (s *Subscriber) give(c *chunk, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.active || s.next != c.number {
		return false
	}
	b := c.forms[s.form]
	if b == nil || !s.may(len(b), now) {
		s.detach()
		return false
	}
	n, err := s.out.TryWrite(b)
	s.next, s.cursor, s.last, s.err = c.number+1, c.end, now, err
	s.sent += len(b)
	if n < len(b) {
		s.rest = append([]byte(nil), b[n:]...) // the chunk is not kept for a slow reader
	}
	if n < len(b) || err != nil {
		s.detach()
	}
	return true
}

// wake detaches the stream whatever it waits for.
func (s *Subscriber) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active {
		s.detach()
	}
}

func (s *Subscriber) detach() {
	s.active = false
	select {
	case s.woken <- struct{}{}:
	default:
	}
}
