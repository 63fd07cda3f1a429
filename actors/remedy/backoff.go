package remedy

import "time"

// Backoff says how long something that failed rests before it is tried again: a
// second at first, then twice as long each time, a minute at most. After a long
// time without a failure it begins anew. The zero value is ready.
type Backoff struct {
	Tries int       // since the last calm
	calm  time.Time // no failure is known of since then; zero: it is failing
}

const (
	firstPause   = time.Second
	longestPause = time.Minute
)

// ForgottenAfter is how long something has worked when its failures are forgotten.
const ForgottenAfter = 10 * time.Minute

// Next counts a failure that is noticed now and returns how long to rest.
func (b *Backoff) Next(now time.Time) time.Duration {
	b.Fails(now)
	pause := min(firstPause<<min(b.Tries, 10), longestPause)
	b.Tries++
	return pause
}

// Works notes that what failed before works again since now.
func (b *Backoff) Works(now time.Time) { b.calm = now }

// Fails notes a failure. It reports whether the one before is so long ago that
// this one is another story.
func (b *Backoff) Fails(now time.Time) (forgotten bool) {
	forgotten = !b.calm.IsZero() && now.Sub(b.calm) > ForgottenAfter
	if forgotten {
		b.Tries = 0
	}
	b.calm = time.Time{}
	return forgotten
}

// Working reports whether it has worked since the last failure.
func (b *Backoff) Working() bool { return !b.calm.IsZero() }
