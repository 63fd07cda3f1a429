package client

import (
	"context"
	"sync"
	"sync/atomic"
)

// budget hands out a bounded number of bytes, first come, first served.
type budget struct {
	mu      sync.Mutex
	free    int64
	limit   int64
	waiting []*claim
	wanted  atomic.Bool // waiting is not empty
}

// claim is a caller that waits for bytes.
type claim struct {
	bytes   int64
	granted chan struct{}
}

func newBudget(limit int64) *budget { return &budget{free: limit, limit: limit} }

// try takes bytes if they are free and nobody waits for any.
func (b *budget) try(bytes int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tryLocked(min(bytes, b.limit))
}

func (b *budget) tryLocked(bytes int64) bool {
	if len(b.waiting) > 0 || b.free < bytes {
		return false
	}
	b.free -= bytes
	return true
}

// take waits for bytes. More than the whole budget counts as all of it, so that a
// single large record can still pass. It calls short after it has set wanted, so
// that those who hold bytes can give them back early.
func (b *budget) take(ctx context.Context, bytes int64, short func()) error {
	bytes = min(bytes, b.limit)
	b.mu.Lock()
	if b.tryLocked(bytes) {
		b.mu.Unlock()
		return nil
	}
	c := &claim{bytes: bytes, granted: make(chan struct{})}
	b.waiting = append(b.waiting, c)
	b.wanted.Store(true)
	b.mu.Unlock()
	short()
	select {
	case <-c.granted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, w := range b.waiting {
		if w == c {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			b.grant() // the next claim may be smaller
			return ctx.Err()
		}
	}
	return nil // it was granted at the same time
}

// give returns bytes.
func (b *budget) give(bytes int64) {
	b.mu.Lock()
	b.free += min(bytes, b.limit)
	b.grant()
	b.mu.Unlock()
}

func (b *budget) grant() {
	n := 0
	for n < len(b.waiting) && b.free >= b.waiting[n].bytes {
		b.free -= b.waiting[n].bytes
		close(b.waiting[n].granted)
		n++
	}
	if n > 0 {
		b.waiting = append(b.waiting[:0], b.waiting[n:]...)
	}
	b.wanted.Store(len(b.waiting) > 0)
}
