package disk

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	slowAfter = time.Second      // of one write and sync: others would give a node up that says nothing for as long
	slowCalm  = 30 * time.Second // without that until leadership may come back
)

// Fitness says whether a filesystem is fit for leaders to be on it: it is not while a write
// and sync takes long, a while after that, and while it is full. In that while it works, and
// is better than one that does not. A nil one is fit.
type Fitness struct {
	space *Reserve
	now   func() time.Time

	mu    sync.Mutex
	slow  bool      // a round is slow right now
	until time.Time // from when on it is trusted again
	why   string    // while it is not
	said  bool      // that it is not fit was told
	told  bool      // and that it does not work

	reason atomic.Pointer[string]
	broken atomic.Bool // it does not work
}

// WatchFitness looks at a filesystem again and again until stopped is closed. Changed is called,
// one call after the other, with why it is not fit any more, or "" when it is again, and
// with turned false where it was not before either, but has begun or ceased to work.
func WatchFitness(space *Reserve, stopped <-chan struct{}, changed func(why string, turned bool)) *Fitness {
	f := &Fitness{space: space, now: time.Now}
	go func() {
		again := time.NewTicker(spaceInterval)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				if why, news, turned := f.look(); news {
					changed(why, turned)
				}
			case <-stopped:
				return
			}
		}
	}()
	return f
}

// Slow says that a round takes long, or with over that one that took long has ended. The
// reason is stored here, and not at the next look: partitions ask for it on their ticks.
func (f *Fitness) Slow(took time.Duration, over bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slow, f.until = !over, f.now().Add(slowCalm)
	f.broken.Store(!over)
	if over {
		f.why = fmt.Sprintf("the disk took %s to end a write and sync a moment ago", took.Round(time.Millisecond))
	} else {
		f.why = fmt.Sprintf("the disk has not ended a write and sync within %s", slowAfter)
	}
	why := f.why
	f.reason.Store(&why)
}

// look judges anew, and reports whether that is news, and whether it is fit now and was not,
// or the reverse.
func (f *Fitness) look() (why string, news, turned bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	full := f.space.Reason()
	if f.slow || f.now().Before(f.until) {
		why = f.why
	} else {
		if why = full; why != "" {
			f.until = f.now().Add(slowCalm) // space that comes and goes is not trusted either
		}
		f.why = why
	}
	f.reason.Store(&why)
	broken := f.slow || full != ""
	f.broken.Store(broken)
	turned = f.said != (why != "")
	news = turned || f.told != broken
	f.said, f.told = why != "", broken
	return why, news, turned
}

// Works reports whether it takes writes, though it may have hung or been full a while ago.
func (f *Fitness) Works() bool { return f == nil || !f.broken.Load() }

// Reason is why leaders should be elsewhere, "" if they need not. It may be called for each
// tick of each replica.
func (f *Fitness) Reason() string {
	if f == nil {
		return ""
	}
	if why := f.reason.Load(); why != nil {
		return *why
	}
	return ""
}
