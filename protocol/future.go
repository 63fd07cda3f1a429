package protocol

import (
	"sync"
	"time"
)

// Future is a reply slot: an actor puts a value, a caller waits for it. NewFuture
// makes it. It must not be reused, because an answer may still come after the
// caller has stopped waiting.
type Future[T any] struct {
	ch   chan T
	then func() // called after each Put, if not nil
}

// NewFuture returns an empty reply slot.
func NewFuture[T any]() Future[T] { return Future[T]{ch: make(chan T, 1)} }

// Then returns the same slot with a callback, for callers that do not wait: then is
// called after every Put, on any goroutine, and must not block.
func (f Future[T]) Then(then func()) Future[T] { return Future[T]{f.ch, then} }

// Called returns a slot for callers that do not wait: each answer is passed to take, on
// whatever goroutine puts it there. Take is called for a second answer too, and must not
// block.
func Called[T any](take func(T)) Future[T] {
	f := NewFuture[T]()
	return f.Then(func() {
		select {
		case v := <-f.ch:
			take(v)
		default: // two answers came at once, and the first was kept
		}
	})
}

// Put stores the answer. It never blocks. The first of several answers is kept.
func (f Future[T]) Put(v T) {
	select {
	case f.ch <- v:
	default:
	}
	if f.then != nil {
		f.then()
	}
}

// C is the channel on which the answer arrives.
func (f Future[T]) C() <-chan T { return f.ch }

// Wait returns the answer, or false if the deadline passes first. After that the slot is
// empty until an answer comes late.
func (f Future[T]) Wait(deadline time.Time) (T, bool) {
	select {
	case v := <-f.ch:
		return v, true
	default:
	}
	e := expiries.Get().(*expiry)
	e.begin(deadline, slot[T](f.ch))
	v := <-f.ch
	averted := e.end()
	expiries.Put(e)
	if averted {
		return v, true
	}
	// The answer may have come at the same moment. Then the empty one was put into the slot
	// when v had left it: who looked into the slot again would take it for an answer.
	var none T
	select {
	case <-f.ch:
	default:
	}
	return none, false
}

// slot is the channel of a Future alone: a single pointer, so that no wait has to
// allocate for the interface that an expiry keeps it in.
type slot[T any] chan T

// expire ends a wait without an answer.
func (s slot[T]) expire() {
	var none T
	select {
	case s <- none:
	default:
	}
}

// expiry ends a wait at its deadline by putting an empty answer into the caller's
// slot. Every produce request waits once, and receiving from one channel costs a
// third less than selecting between it and the channel of a timer.
//
// The timer keeps running when a wait ends, because nearly all waits end before
// their deadlines. When it fires, it finds a later wait, or none. So a wait costs
// two acquisitions of a lock, and no change to the runtime's timers.
type expiry struct {
	mu       sync.Mutex
	timer    *time.Timer
	armed    time.Time             // when the timer fires; zero: not at all
	slot     interface{ expire() } // nil: there is no wait
	deadline time.Time
	expired  bool
}

var expiries = sync.Pool{New: func() any { return &expiry{} }}

// begin expires slot at the deadline, unless end is called before.
func (e *expiry) begin(deadline time.Time, slot interface{ expire() }) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.slot, e.deadline, e.expired = slot, deadline, false
	if e.armed.IsZero() || deadline.Before(e.armed) {
		e.arm()
	}
}

// arm sets the timer to the deadline; mu must be held.
func (e *expiry) arm() {
	e.armed = e.deadline
	if e.timer == nil {
		e.timer = time.AfterFunc(time.Until(e.deadline), e.fired)
		return
	}
	e.timer.Reset(time.Until(e.deadline))
}

// fired may run late, after a later wait has set the timer again. That wait then
// sees it twice.
func (e *expiry) fired() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.armed = time.Time{}
	switch {
	case e.slot == nil:
	case time.Now().Before(e.deadline):
		e.arm()
	default:
		e.expired = true
		e.slot.expire()
	}
}

// end ends the wait and reports whether it had not expired before.
func (e *expiry) end() (averted bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.slot = nil
	return !e.expired
}

// Waiter can be registered with partitions and with a group, which wake it when
// there may be something new. A registration is identified by the pointer.
type Waiter struct{ wake func() }

// NewWaiter returns a waiter that calls wake for every Wake, on any goroutine. wake
// must not block.
func NewWaiter(wake func()) *Waiter { return &Waiter{wake} }

// Wake says that there may be something new. It does not block.
func (w *Waiter) Wake() { w.wake() }
