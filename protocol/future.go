package protocol

import (
	"sync"
	"time"
)

// Future is a reply slot: one actor puts one value, one caller waits for it.
// Make it with NewFuture; never reuse it, because an answer may still come
// after the caller gave up.
type Future[T any] struct {
	ch   chan T
	then func() // after each Put, when not nil
}

// NewFuture returns an empty reply slot.
func NewFuture[T any]() Future[T] { return Future[T]{ch: make(chan T, 1)} }

// Then returns the same slot for somebody who does not wait: f is called after
// every Put, on whatever goroutine, and must not block.
func (f Future[T]) Then(then func()) Future[T] { return Future[T]{f.ch, then} }

// Put stores the answer. It never blocks; of several answers the first stays.
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

// Wait returns the answer, or false when the deadline passes first.
func (f Future[T]) Wait(deadline time.Time) (T, bool) {
	select {
	case v := <-f.ch:
		return v, true
	default:
	}
	e := expiries.Get().(*expiry)
	e.begin(deadline, f)
	v := <-f.ch
	averted := e.end()
	expiries.Put(e)
	return v, averted
}

// expire ends a wait without an answer.
func (f Future[T]) expire() {
	var none T
	f.Put(none)
}

// expiry ends a wait at its deadline by an empty answer in the caller's own
// slot: receiving from one channel costs a third less than selecting between it
// and a timer's, and every produce request waits once.
//
// Its timer goes on when a wait ends, because nearly all do before their
// deadlines: it finds the next wait, or none, when it fires. So a wait costs a
// lock taken twice, and no change among the runtime's timers.
type expiry struct {
	mu       sync.Mutex
	timer    *time.Timer
	armed    time.Time             // when the timer fires, zero: it does not
	slot     interface{ expire() } // nil: nobody waits
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

// arm has the timer fire at the deadline; mu is held.
func (e *expiry) arm() {
	e.armed = e.deadline
	if e.timer == nil {
		e.timer = time.AfterFunc(time.Until(e.deadline), e.fired)
		return
	}
	e.timer.Reset(time.Until(e.deadline))
}

// fired may come late, when a later wait has armed the timer again: that one
// then sees it twice.
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

// end ends the wait and reports whether it had not expired.
func (e *expiry) end() (averted bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.slot = nil
	return !e.expired
}

// Waiter is registered with one or more partitions, and perhaps with a group,
// and is told when there may be something new. Registrations are compared by
// the pointer.
type Waiter struct{ wake func() }

// NewWaiter returns a waiter whose every Wake calls wake, on whatever goroutine;
// wake must not block.
func NewWaiter(wake func()) *Waiter { return &Waiter{wake} }

// Wake says that there may be something new. It does not block.
func (w *Waiter) Wake() { w.wake() }
