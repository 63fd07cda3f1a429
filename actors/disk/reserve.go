package disk

import (
	"fmt"
	"sync/atomic"
	"time"
)

// The last of a filesystem's space is not for new records: what is under way is to find
// room, so that a record is refused before anything is done with it, and not taken and
// then stuck.
const (
	spaceInterval = 100 * time.Millisecond // while nobody asks
	spaceFresh    = 2 * time.Millisecond   // how old the last look may be when somebody asks
	mostReserve   = 64 << 20
	reserveShare  = 16 // of the whole filesystem, where that is less
)

// Reserve says whether a filesystem has no more than its reserve left.
type Reserve struct {
	space  func() (free, total uint64)
	full   atomic.Bool
	looked atomic.Int64 // when somebody asked and it was looked, in nanoseconds since 1970
	reason atomic.Pointer[string]
}

// WatchReserve looks at the filesystem of a directory again and again until stopped is
// closed.
func WatchReserve(dir string, stopped <-chan struct{}) *Reserve {
	r := &Reserve{space: func() (uint64, uint64) { return Space(dir) }}
	r.look()
	go func() {
		again := time.NewTicker(spaceInterval)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				r.look()
			case <-stopped:
				return
			}
		}
	}()
	return r
}

func (r *Reserve) look() {
	if r == nil {
		return
	}
	free, total := r.space()
	full := total > 0 && free < min(mostReserve, total/reserveShare)
	if full && !r.full.Load() {
		why := fmt.Sprintf("the disk is full: %d KiB of %d MiB are left", free>>10, total>>20)
		r.reason.Store(&why)
	}
	r.full.Store(full)
}

// Full reports whether there is no room for new records. It may be called for each.
func (r *Reserve) Full() bool {
	if r == nil {
		return false
	}
	if last, now := r.looked.Load(), time.Now().UnixNano(); now-last > int64(spaceFresh) && r.looked.CompareAndSwap(last, now) {
		r.look()
	}
	return r.full.Load()
}

// Reason is why new records are refused, "" if they are not.
func (r *Reserve) Reason() string {
	if !r.Full() {
		return ""
	}
	return *r.reason.Load()
}
