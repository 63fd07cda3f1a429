package background

import (
	"context"
	"sync"
	"time"
)

// Budget bounds work that runs beside the load: compaction, and the copying of
// compacted records. One compaction runs at a time, and all of it together reads
// and writes at most budgetBytes per second.
type Budget struct {
	Slot chan struct{} // of the one compaction: whoever sends to it has it

	mu   sync.Mutex
	free time.Time // when the bytes granted so far are paid for
}

const (
	budgetBytes = 64 << 20               // per second
	budgetBurst = 100 * time.Millisecond // that may be taken in advance
)

// NewBudget returns a budget of which nothing is taken.
func NewBudget() *Budget { return &Budget{Slot: make(chan struct{}, 1)} }

// Pace returns a function that waits until n more bytes may be read or
// written, or fails when ctx ends.
func (b *Budget) Pace(ctx context.Context) func(n int) error {
	return func(n int) error {
		b.mu.Lock()
		now := time.Now()
		if b.free.Before(now) {
			b.free = now
		}
		b.free = b.free.Add(time.Duration(n) * time.Second / budgetBytes)
		wait := b.free.Sub(now) - budgetBurst
		b.mu.Unlock()
		if wait <= 0 {
			return ctx.Err()
		}
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
