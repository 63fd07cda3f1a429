package http

import "sync/atomic"

// budget bounds something that all requests share: bytes, or waiting reads.
type budget struct {
	limit int64
	used  atomic.Int64
}

func newBudget(limit int64) budget { return budget{limit: limit} }

// open is the part that is not the reserve.
func (b *budget) open() int64 { return b.limit - b.limit/reserveShare }

// takeOpen reserves n more than held, which the caller has already, of what is
// not the reserve, or nothing and returns false. Whoever is alone may have all.
func (b *budget) takeOpen(held, n int64) bool {
	for {
		used := b.used.Load()
		if used+n > b.limit || used+n > b.open() && used > held {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// take reserves n, or nothing and returns false when less than n is left.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) <= b.limit {
		return true
	}
	b.used.Add(-n)
	return false
}

func (b *budget) give(n int64) { b.used.Add(-n) }
