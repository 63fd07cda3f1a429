package remedy

import (
	"time"

	"ottla/actors/replica"
)

// PanicTries is how often a replica that panics is opened again. One that cannot be opened,
// because the disk is full for example, is tried again for ever: that may pass by itself,
// while a panic on the same bytes will most likely come again.
const PanicTries = 6

// Retry says when a replica that does not run is tried again. It is kept while the replica
// runs again if another fault of the same kind must be counted with the earlier ones. The
// zero value is that of a replica that has not failed.
type Retry struct {
	Fault        replica.Fault // the last one
	At           time.Time     // of the next try; zero: there is none
	NothingFound bool          // the last mending found no damage
	Backoff      Backoff       // calm since it runs again
}

// Schedule sets the time of the next try, if there is to be one.
func (r *Retry) Schedule(now time.Time) {
	r.At = time.Time{}
	if r.Fault != replica.FaultPanic || r.Backoff.Tries < PanicTries {
		r.At = now.Add(r.Backoff.Next(now))
	}
}

// Down notes a fault. What earlier mendings found is forgotten if the replica has worked
// for long since: this one is another story.
func (r *Retry) Down(now time.Time, fault replica.Fault) {
	if r.Backoff.Fails(now) {
		r.NothingFound = false
	}
	r.Fault = fault
}

// Up notes that the replica runs. It reports whether the next fault must be counted with
// the earlier ones: another panic, or damage that is not found when it is looked for, which
// failing memory or a failing disk can cause. Without a growing pause such a replica would
// be opened, or mended, in an endless loop.
func (r *Retry) Up(now time.Time) (again bool) {
	r.At = time.Time{}
	r.Backoff.Works(now)
	return r.Fault == replica.FaultPanic || r.Fault == replica.FaultDamage && r.NothingFound
}

// Mend schedules a mending that is asked for now. It is due at once, also after one that
// failed, because the cluster asks again when circumstances have changed.
func (r *Retry) Mend(now time.Time) {
	switch {
	case !r.NothingFound:
		r.At = now
	case r.At.IsZero(): // looking at once for damage that was not found is of no use
		r.Schedule(now)
	}
}
