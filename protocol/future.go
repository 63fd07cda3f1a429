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
	e := expireAt(deadline, f)
	v := <-f.ch
	return v, e.averted()
}

// expire ends a wait without an answer.
func (f Future[T]) expire() {
	var none T
	f.Put(none)
}

// expiry ends a wait at its deadline by an empty answer in the caller's own
// slot: receiving from one channel costs a third less than selecting between it
// and a timer's, and every produce request waits once.
type expiry struct {
	timer *time.Timer
	slot  interface{ expire() }
}

var expiries sync.Pool

func expireAt(deadline time.Time, slot interface{ expire() }) *expiry {
	e, ok := expiries.Get().(*expiry)
	if !ok {
		e = &expiry{slot: slot}
		e.timer = time.AfterFunc(time.Until(deadline), func() { e.slot.expire() })
		return e
	}
	e.slot = slot
	e.timer.Reset(time.Until(deadline))
	return e
}

// averted ends the expiry and reports whether it had not happened. One that is
// happening just now still uses its slot and is left to the collector.
func (e *expiry) averted() bool {
	if !e.timer.Stop() {
		return false
	}
	e.slot = nil
	expiries.Put(e)
	return true
}

var timers sync.Pool

func acquireTimer(d time.Duration) *time.Timer {
	if t, ok := timers.Get().(*time.Timer); ok {
		t.Reset(d)
		return t
	}
	return time.NewTimer(d)
}

func releaseTimer(t *time.Timer) {
	t.Stop()
	timers.Put(t)
}

// Waiter is parked at one or more partitions (and at a group) until something
// wakes it. Wake never blocks, and any number of wakes count as one.
type Waiter struct {
	ch   chan struct{}
	call func() // instead of ch
}

// NewWaiter returns a waiter that nothing has woken yet.
func NewWaiter() *Waiter { return &Waiter{ch: make(chan struct{}, 1)} }

// NewCaller returns a waiter that nobody waits for: every Wake calls f, on
// whatever goroutine, and f must not block.
func NewCaller(f func()) *Waiter { return &Waiter{call: f} }

// Wake wakes the waiter.
func (w *Waiter) Wake() {
	if w.call != nil {
		w.call()
		return
	}
	select {
	case w.ch <- struct{}{}:
	default:
	}
}

// C receives once per wake.
func (w *Waiter) C() <-chan struct{} { return w.ch }

// Wait returns true when woken, false when the deadline passed first.
func (w *Waiter) Wait(deadline time.Time) bool {
	t := acquireTimer(time.Until(deadline))
	defer releaseTimer(t)
	select {
	case <-w.ch:
		return true
	case <-t.C:
		return false
	}
}
