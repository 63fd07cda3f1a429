package disk

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestFitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Uint64
		free.Store(1 << 40)
		space := &Reserve{space: func() (uint64, uint64) { return free.Load(), 1 << 40 }}
		stopped := make(chan struct{})
		var told []string
		f := WatchFitness(space, stopped, func(why string, turned bool) {
			if turned {
				told = append(told, why)
			}
		})
		wait := func(d time.Duration) {
			<-time.After(d)
			synctest.Wait()
		}
		wait(time.Second)
		assert.Empty(t, f.Reason())
		f.Slow(1500*time.Millisecond, false)
		assert.Contains(t, f.Reason(), "has not ended", "at once")
		assert.False(t, f.Works())
		wait(2 * slowCalm)
		assert.NotEmpty(t, f.Reason(), "for as long as it hangs")
		f.Slow(70*time.Second, true)
		wait(slowCalm - time.Second)
		assert.Contains(t, f.Reason(), "took 1m10s", "and a while longer")
		assert.True(t, f.Works(), "though it works")
		wait(2 * time.Second)
		assert.Empty(t, f.Reason())
		free.Store(1000)
		wait(time.Second)
		assert.Contains(t, f.Reason(), "full")
		assert.False(t, f.Works())
		free.Store(1 << 39)
		wait(slowCalm - time.Second)
		assert.Contains(t, f.Reason(), "full", "space that comes and goes is not trusted")
		assert.True(t, f.Works())
		wait(2 * time.Second)
		assert.Empty(t, f.Reason())
		close(stopped)
		assert.Len(t, told, 4, "each change once: %q", told)
	})
	assert.Empty(t, (*Fitness)(nil).Reason())
}
