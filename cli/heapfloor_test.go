package cli

import (
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestGCPercentFor(t *testing.T) {
	const mb = 1 << 20
	for _, tt := range []struct {
		live uint64
		want int
	}{
		{0, 1600},
		{1 * mb, 1600},
		{8 * mb, 700},
		{16 * mb, 300},
		{32 * mb, 100},
		{33 * mb, 100},
		{10_000 * mb, 100},
	} {
		assert.Equal(t, tt.want, gcPercentFor(tt.live, 64*mb), "%d MB live", tt.live/mb)
	}
}

var kept []byte

func TestHeapFloorFollowsWhatIsKept(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	var ended atomic.Bool
	set := make(chan int, 1000)
	tuner := &heapTuner{floor: 256 << 20, set: set, ended: ended.Load}
	tuner.afterCollection()
	defer func() { ended.Store(true); kept = nil }()

	collectUntil := func(want func(percent int) bool) {
		t.Helper()
		for { // ends: each collection is followed by one adaptation
			runtime.GC()
			if want(<-set) {
				return
			}
		}
	}
	collectUntil(func(p int) bool { return p > 500 })
	kept = make([]byte, 300<<20)
	collectUntil(func(p int) bool { return p == 100 })
	kept = nil
	collectUntil(func(p int) bool { return p > 500 })
}

func TestHeapFloorLeavesGOGCAlone(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(123))
	t.Setenv("GOGC", "123")
	keepHeapFloor()
	runtime.GC()
	assert.Equal(t, 123, debug.SetGCPercent(123))
}
