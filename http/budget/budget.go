package budget

import "sync/atomic"

// reserveShare makes one part in so many of a budget its reserve, which only
// small requests may take. Without a reserve a few large ones would keep
// everybody out.
const reserveShare = 8

// Budget counts something up to a limit. It is an atomic counter, and not a
// semaphore.Weighted with its lock, because it is used several times for each
// request and nothing waits for it.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// New returns a budget of limit, all of it unused.
func New(limit int64) *Budget { return &Budget{limit: limit} }

// Limit is how much may be used at the same time.
func (b *Budget) Limit() int64 { return b.limit }

// Used is how much is in use.
func (b *Budget) Used() int64 { return b.used.Load() }

// Open is the part of the limit that is not the reserve.
func (b *Budget) Open() int64 { return openPart(b.limit) }

func openPart(limit int64) int64 { return limit - limit/reserveShare }

// Take reserves n, the reserve included. It returns false, and takes nothing,
// when less than n is left.
func (b *Budget) Take(n int64) bool {
	if b.used.Add(n) <= b.limit {
		return true
	}
	b.used.Add(-n)
	return false
}

// TakeOpen reserves n in addition to held, which the caller has taken before,
// and leaves the reserve to others. It returns false, and takes nothing, when
// less than n is left. If nothing else is taken, the reserve is included.
func (b *Budget) TakeOpen(held, n int64) bool {
	for {
		used := b.used.Load()
		if used+n > b.limit || used+n > b.Open() && used > held {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// Give returns n, which was taken before.
func (b *Budget) Give(n int64) { b.used.Add(-n) }
