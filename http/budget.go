package http

import "sync/atomic"

// budget bounds something that all requests share: bytes, or waiting reads.
type budget struct {
	limit int64
	used  atomic.Int64
}

func newBudget(limit int64) budget { return budget{limit: limit} }

// take reserves n, or nothing and returns false when less than n is left.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) <= b.limit {
		return true
	}
	b.used.Add(-n)
	return false
}

func (b *budget) give(n int64) { b.used.Add(-n) }
