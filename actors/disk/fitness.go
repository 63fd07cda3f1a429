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
// and sync takes long, a while after that, and while it is full. A nil one is fit.
type Fitness struct {
	space *Reserve
	now   func() time.Time

	mu    sync.Mutex
	slow  bool      // a round is slow right now
	until time.Time // from when on it is trusted again
	why   string    // while it is not
	said  bool      // that it is not fit was told

	reason atomic.Pointer[string]
}

// WatchFitness looks at a filesystem again and again until stopped is closed. Changed is called,
// one call after the other, with why it is not fit any more, or "" when it is again.
func WatchFitness(space *Reserve, stopped <-chan struct{}, changed func(why string)) *Fitness {
	f := &Fitness{space: space, now: time.Now}
	go func() {
		again := time.NewTicker(spaceInterval)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				if why, news := f.look(); news {
					changed(why)
				}
			case <-stopped:
				return
			}
		}
	}()
	return f
}

// Slow says that a round takes long, or with over that one that took long has ended.
func (f *Fitness) Slow(took time.Duration, over bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slow, f.until = !over, f.now().Add(slowCalm)
	if over {
		f.why = fmt.Sprintf("the disk took %s to end a write and sync a moment ago", took.Round(time.Millisecond))
	} else {
		f.why = fmt.Sprintf("the disk has not ended a write and sync within %s", slowAfter)
	}
	why := f.why
	f.reason.Store(&why)
}

// look judges anew, and reports whether that is news.
func (f *Fitness) look() (why string, news bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.slow || f.now().Before(f.until) {
		why = f.why
	} else {
		if why = f.space.Reason(); why != "" {
			f.until = f.now().Add(slowCalm) // space that comes and goes is not trusted either
		}
		f.why = why
	}
	f.reason.Store(&why)
	news = f.said != (why != "")
	f.said = why != ""
	return why, news
}

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
