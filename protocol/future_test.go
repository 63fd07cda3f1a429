package protocol

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestFutureWait(t *testing.T) {
	soon := func() time.Time { return time.Now().Add(time.Minute) }

	f := NewFuture[int]()
	f.Put(7)
	f.Put(8)
	v, ok := f.Wait(soon())
	assert.Equal(t, []any{7, true}, []any{v, ok}, "the first answer stays")

	f = NewFuture[int]()
	f.Put(7)
	v, ok = f.Wait(time.Time{})
	assert.Equal(t, []any{7, true}, []any{v, ok}, "an answer that is there wins over a deadline that has passed")

	v, ok = NewFuture[int]().Wait(time.Now().Add(-time.Second))
	assert.Equal(t, []any{0, false}, []any{v, ok})

	v, ok = NewFuture[int]().Wait(time.Now().Add(time.Millisecond))
	assert.Equal(t, []any{0, false}, []any{v, ok})
}

// The timers of waits are used again; one wait's must never end another's.
func TestFutureWaitsDoNotShareTheirEnd(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 2000 {
				f := NewFuture[int]()
				if n%10 == i%10 { // expires while others are answered
					v, ok := f.Wait(time.Now().Add(10 * time.Microsecond))
					assert.False(t, ok)
					assert.Zero(t, v)
					continue
				}
				go f.Put(n + 1)
				v, ok := f.Wait(time.Now().Add(time.Minute))
				assert.True(t, ok)
				assert.Equal(t, n+1, v)
			}
		})
	}
	wg.Wait()
}
