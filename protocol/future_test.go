package protocol

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

// The timers of waits are reused. The timer of one wait must never end another one.
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

type countingSlot struct{ expired int }

func (s *countingSlot) expire() { s.expired++ }

// A timer outlives its wait: whenever it fires, it ends only a wait whose
// deadline has passed, and none is left without a timer.
func TestExpiryTimerOutlivesItsWait(t *testing.T) {
	soon, later := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	slot := &countingSlot{}
	e := &expiry{}
	e.begin(soon, slot)
	assert.True(t, e.end())
	assert.Equal(t, soon, e.armed, "the timer goes on")

	e.fired()
	assert.Zero(t, e.armed, "nobody waits")
	e.begin(later, slot)
	assert.Equal(t, later, e.armed)
	e.fired() // that of the first wait
	assert.Equal(t, later, e.armed, "it is armed again for who waits")
	assert.True(t, e.end())

	e.begin(soon, slot)
	assert.Equal(t, soon, e.armed, "one that would be too late is moved")
	assert.True(t, e.end())
	e.begin(later, slot)
	assert.Equal(t, soon, e.armed, "one that is early stays")
	assert.Zero(t, slot.expired)

	e.deadline = time.Now().Add(-time.Second)
	e.fired()
	assert.Equal(t, 1, slot.expired)
	assert.False(t, e.end())
	e.begin(later, slot)
	assert.True(t, e.end(), "the next wait has an end of its own")
}

// With Then every answer calls back, and the slot still keeps the first one.
func TestFutureThenCallsBack(t *testing.T) {
	calls := 0
	f := NewFuture[string]()
	g := f.Then(func() { calls++ })
	g.Put("first")
	g.Put("second")
	assert.Equal(t, 2, calls)
	assert.Equal(t, "first", <-f.C(), "it is the same slot")
	f.Put("third")
	assert.Equal(t, 2, calls, "the original does not call")
}

// Of many answers at once, exactly one arrives.
func TestFutureKeepsOneOfManyAnswers(t *testing.T) {
	f := NewFuture[int]()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() { f.Put(i + 1) })
	}
	v, ok := f.Wait(time.Now().Add(time.Minute))
	assert.True(t, ok)
	wg.Wait()
	assert.NotZero(t, v)
	select {
	case v := <-f.C():
		// An answer that came after the first one was received.
		assert.NotZero(t, v)
	default:
	}
}

func TestWaiterCallsForEveryWake(t *testing.T) {
	woken := 0
	w, other := NewWaiter(func() { woken++ }), NewWaiter(func() { woken += 100 })
	w.Wake()
	w.Wake()
	assert.Equal(t, 2, woken)
	registered := map[*Waiter]bool{w: true, other: true}
	delete(registered, w)
	for left := range registered {
		left.Wake()
	}
	assert.Equal(t, 102, woken, "waiters are told apart by their pointers")
}

func TestCounterHandsOutEachNumberOnce(t *testing.T) {
	const each = 1000
	var c Counter
	seen := make([][]uint64, 4)
	var wg sync.WaitGroup
	for i := range seen {
		wg.Go(func() {
			for range each {
				seen[i] = append(seen[i], c.Next())
			}
		})
	}
	wg.Wait()
	all := map[uint64]bool{}
	for _, list := range seen {
		for j, n := range list {
			all[n] = true
			assert.True(t, j == 0 || n > list[j-1], "who asks again gets a higher one")
		}
	}
	assert.Len(t, all, len(seen)*each)
	assert.True(t, all[0] && all[uint64(len(seen)*each-1)], "from 0, without a gap")
}

// However an answer and a deadline meet, the empty answer that ends a wait is never left
// in the slot, where it would pass for an answer.
func TestFutureIsEmptyAfterItsDeadline(t *testing.T) {
	late := 0
	for i := range 20_000 {
		f := NewFuture[int]()
		deadline := time.Now().Add(20 * time.Microsecond)
		timer := time.AfterFunc(time.Until(deadline)-time.Duration(i%20)*time.Microsecond, func() { f.Put(7) })
		v, ok := f.Wait(deadline)
		if ok {
			require.Equal(t, 7, v)
			continue
		}
		late++
		require.Zero(t, v)
		if timer.Stop() {
			select {
			case v := <-f.C():
				require.Fail(t, "nobody has answered", "%d", v)
			default:
			}
			continue
		}
		select { // the answer, if it was not taken out
		case v := <-f.C():
			require.Equal(t, 7, v)
		default:
		}
	}
	require.Positive(t, late)
}
