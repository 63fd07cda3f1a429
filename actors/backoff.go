package actors

import "time"

// backoff says how long something that failed rests before it is tried again: a
// second at first, then twice as long each time, a minute at most. After a long
// time without a failure it begins anew. The zero value is ready.
type backoff struct {
	tries int       // since the last calm
	calm  time.Time // no failure is known of since then; zero: it is failing
}

const (
	backoffFirst     = time.Second
	backoffMost      = time.Minute
	backoffForgotten = 10 * time.Minute
)

// next counts a failure that is noticed now and returns how long to rest.
func (b *backoff) next(now time.Time) time.Duration {
	b.failed(now)
	pause := min(backoffFirst<<min(b.tries, 10), backoffMost)
	b.tries++
	return pause
}

// works notes that what failed before works again since now.
func (b *backoff) works(now time.Time) { b.calm = now }

// failed notes a failure. It reports whether the one before is so long ago that
// this one is another story.
func (b *backoff) failed(now time.Time) (forgotten bool) {
	forgotten = !b.calm.IsZero() && now.Sub(b.calm) > backoffForgotten
	if forgotten {
		b.tries = 0
	}
	b.calm = time.Time{}
	return forgotten
}

// isWorking reports whether it has worked since the last failure.
func (b *backoff) isWorking() bool { return !b.calm.IsZero() }
