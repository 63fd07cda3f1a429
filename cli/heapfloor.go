package cli

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapFloor is the size of the heap, in bytes, below which no garbage is
// collected. The live heap of a broker under load is a tenth of that. With Go's
// default, a collection at twice the live heap, there would be some 20
// collections per second, each with assists that slow down requests. See
// bench/README.md.
const heapFloor = 48 << 20

// defaultGCPercent is Go's default.
const defaultGCPercent = 100

// gcPercentFor returns the GOGC with which a process with a live heap of that many
// bytes collects at the floor, or at twice the live heap if that is more.
func gcPercentFor(live, floor uint64) int {
	percent := math.Inf(1)
	if live > 0 {
		percent = float64(floor)/float64(live)*100 - 100
	}
	// Far above what is needed; it bounds the heap if live grows suddenly.
	const most = 1600
	return int(min(max(percent, defaultGCPercent), most))
}

// keepHeapFloor makes the garbage collector respect heapFloor, and adapts GOGC
// after each collection. If GOGC is set in the environment, it does nothing.
func keepHeapFloor() {
	if os.Getenv("GOGC") != "" {
		return
	}
	(&heapTuner{floor: heapFloor}).afterCollection()
}

// heapTuner sets GOGC after each collection according to the live heap.
type heapTuner struct {
	floor   uint64
	percent int         // as last set, 0 at first
	set     chan<- int  // receives each percentage that is set; for tests, may be nil
	ended   func() bool // reports whether to stop; for tests, may be nil
}

// sentinel becomes garbage at once, so that its finalizer runs after the next
// collection. It has a pointer so that it is not allocated in a block that it
// shares with other small objects.
type sentinel struct{ _ *sentinel }

func (t *heapTuner) afterCollection() {
	if t.ended != nil && t.ended() {
		return
	}
	// Setting GOGC stops the world for some microseconds, so small changes are skipped.
	if p := gcPercentFor(keptBytes(), t.floor); t.percent == 0 || 10*abs(p-t.percent) > t.percent {
		debug.SetGCPercent(p)
		t.percent = p
	}
	if t.set != nil {
		t.set <- t.percent
	}
	runtime.AddCleanup(&sentinel{}, (*heapTuner).afterCollection, t)
}

func abs(n int) int { return max(n, -n) }

// keptBytes is the live heap after the last collection, with what else GOGC counts.
func keptBytes() uint64 {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}
	metrics.Read(samples)
	var sum uint64
	for _, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			sum += s.Value.Uint64()
		}
	}
	return sum
}
