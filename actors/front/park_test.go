package front

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// What may end a wait, before and after it begins.
func TestParkedReadIsResumedOnce(t *testing.T) {
	closedChannel := make(chan struct{})
	close(closedChannel)
	for name, c := range map[string]struct {
		before, after func(*parker)
		over          chan struct{}
		wake          bool
	}{
		"woken":                {nil, (*parker).wake, nil, true},
		"woken before":         {(*parker).wake, nil, nil, true},
		"woken before and now": {(*parker).wake, (*parker).wake, nil, true},
		"nudged":               {nil, (*parker).Nudge, nil, false},
		"nudged before":        {(*parker).Nudge, nil, nil, false},
		"nudged, then woken":   {(*parker).Nudge, (*parker).wake, nil, true},
		"over before":          {nil, nil, closedChannel, false},
		"over and woken":       {nil, (*parker).wake, closedChannel, true},
	} {
		t.Run(name, func(t *testing.T) {
			var p parker
			if c.before != nil {
				c.before(&p)
			}
			var resumed atomic.Int32
			p.setTimer(time.Now().Add(time.Hour))
			p.park(func() { resumed.Add(1) }, c.over, nil)
			assert.True(t, p.parked)
			if c.after != nil {
				c.after(&p)
			}
			assert.EqualValues(t, 1, resumed.Load())
			assert.Equal(t, c.wake, p.unpark())
			assert.False(t, p.parked)
			assert.Zero(t, p.flags.Load())
		})
	}
}

func TestTimerNudges(t *testing.T) {
	var p parker
	for range 2 {
		resumed := make(chan struct{})
		p.setTimer(time.Now().Add(time.Millisecond))
		p.park(func() { close(resumed) })
		<-resumed
		assert.False(t, p.unpark())
	}
}

// A wake between two waits counts for the second one.
func TestWakeBetweenTwoWaits(t *testing.T) {
	var p parker
	p.setTimer(time.Now().Add(time.Hour))
	p.park(func() {})
	p.wake()
	p.unpark()
	p.wake()
	resumed := false
	p.park(func() { resumed = true })
	assert.True(t, resumed)
	assert.True(t, p.unpark())
}

func TestParkedReadsAreNudgedTogether(t *testing.T) {
	var all parkedReads
	first, second, stopped := make(chan struct{}), make(chan struct{}), make(chan struct{})
	reads := make([]*parker, 3)
	resumed := make(chan int, len(reads))
	for i := range reads {
		reads[i] = &parker{}
		reads[i].setTimer(time.Now().Add(time.Hour))
		done := first
		if i == 2 {
			done = second
		}
		all.add(reads[i], done, stopped)
		reads[i].park(func() { resumed <- i })
	}
	all.remove(reads[1])
	close(first) // all are nudged, and those of another front end go on waiting
	seen := map[int]bool{<-resumed: true, <-resumed: true}
	assert.Equal(t, map[int]bool{0: true, 2: true}, seen)
	reads[2].unpark()
	reads[2].park(func() { resumed <- 2 })
	all.remove(reads[0])
	close(stopped)
	assert.Equal(t, 2, <-resumed)
	assert.Empty(t, resumed, "one that was removed is not nudged")
}
