package clock

import (
	"sync"
	"sync/atomic"
	"time"
)

// Clock is safe for concurrent use.
type Clock struct {
	wall   func() time.Time     // what may be set
	steady func() time.Duration // since the clock was made, by a clock that nobody sets
	bound  time.Duration
	jumped func(ahead time.Duration, believed bool)

	judged atomic.Pointer[judgement] // the latest

	mu     sync.Mutex
	began  time.Time     // wall, as it would have been when the clock was made, by what is believed
	ahead  bool          // wall is ahead of it by more than bound
	since  time.Duration // by steady
	others others
}

// New makes a clock that does not believe jumps of more than bound, which is not
// negative; with 0 it believes everything. Jumped is called when wall is ahead by more,
// and again when that is believed.
func New(wall func() time.Time, steady func() time.Duration, bound time.Duration, jumped func(ahead time.Duration, believed bool)) *Clock {
	return &Clock{wall: wall, steady: steady, bound: bound, jumped: jumped, began: wall().Round(0).Add(-steady())}
}

// Steady is a clock that goes on from what another says now, in milliseconds since 1970,
// whatever that is set to later: leases and back-offs stand on it. If the wall clock is set
// back, nobody who is gone keeps what is his for that much longer. This holds only if the
// times of now carry a monotonic reading, as those of time.Now do.
func Steady(now func() time.Time) func() int64 {
	began := now()
	return func() int64 { return began.Add(now().Sub(began)).UnixMilli() }
}

// Agreed is the time in milliseconds since 1970 as the fleet has it: that of the system's
// clock, unless most nodes say another one. Requests may ask for it.
func (c *Clock) Agreed() int64 {
	wall := c.wall().UnixNano()
	return (wall + int64(c.correction(wall-int64(c.steady())))) / int64(time.Millisecond)
}

// Millis is the time in milliseconds since 1970, as Agreed, but jumps ahead are not
// believed at once where no other nodes say what is right.
func (c *Clock) Millis() int64 {
	wall := c.wall().Round(0)
	steady := c.steady()
	correct := c.correction(wall.UnixNano() - int64(steady))
	if c.bound == 0 || correct != 0 {
		return wall.Add(correct).UnixMilli()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if j := c.judged.Load(); j != nil && j.agreed {
		c.ahead, c.began = false, wall.Add(-steady)
		return wall.UnixMilli()
	}
	ahead := wall.Sub(c.began.Add(steady))
	switch {
	case ahead <= c.bound:
		c.ahead = false
	case !c.ahead:
		c.ahead, c.since = true, steady
		c.jumped(ahead, false)
		return c.began.Add(steady).UnixMilli()
	case steady-c.since < c.bound:
		return c.began.Add(steady).UnixMilli()
	default:
		c.ahead = false
		c.jumped(ahead, true)
	}
	c.began = wall.Add(-steady)
	return wall.UnixMilli()
}
