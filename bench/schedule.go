package bench

import (
	"sync/atomic"
	"time"
)

// schedule defines when the requests of an open loop are due: evenly spaced,
// whatever became of earlier ones.
type schedule struct {
	rate  float64 // requests per second
	state atomic.Pointer[slots]
}

// slots are the times of a schedule from a given time on, each to be taken once.
type slots struct {
	start time.Time
	next  atomic.Int64
}

func newSchedule(rate float64, start time.Time) *schedule {
	s := &schedule{rate: rate}
	s.restart(start)
	return s
}

// restart begins again at start and drops overdue slots.
func (s *schedule) restart(start time.Time) { s.state.Store(&slots{start: start}) }

// at is when a slot is due.
func (s *schedule) at(st *slots, slot int64) time.Time {
	return st.start.Add(time.Duration(float64(slot) / s.rate * float64(time.Second)))
}

// take returns the next slot if it is due, else the time until it is.
func (s *schedule) take(now time.Time) (due time.Time, wait time.Duration) {
	st := s.state.Load()
	for {
		slot := st.next.Load()
		due = s.at(st, slot)
		if wait = due.Sub(now); wait > 0 {
			return due, wait
		}
		if st.next.CompareAndSwap(slot, slot+1) {
			return due, 0
		}
	}
}

// reserve returns the next slot, due or not.
func (s *schedule) reserve() time.Time {
	st := s.state.Load()
	return s.at(st, st.next.Add(1)-1)
}

// overdue counts slots that are due and were not taken.
func (s *schedule) overdue() int64 {
	st := s.state.Load()
	due := int64(time.Since(st.start).Seconds() * s.rate)
	return max(0, due-st.next.Load())
}
