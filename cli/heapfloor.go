package cli

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapFloor is the size of the heap, in bytes, below which no garbage is
// collected. What a broker keeps under load is a tenth of that, so at Go's
// default, twice of what is kept, a collection would begin some 20 times a
// second, each with its assists in the middle of requests. See bench/README.md.
const heapFloor = 48 << 20

// defaultGCPercent is Go's default.
const defaultGCPercent = 100

// gcPercentFor returns the GOGC with which a process that keeps live bytes
// collects at the floor, or, if that is more, at twice of what it keeps.
func gcPercentFor(live, floor uint64) int {
	percent := math.Inf(1)
	if live > 0 {
		percent = float64(floor)/float64(live)*100 - 100
	}
	// Far above what is needed; it bounds the heap if live grows at once.
	const most = 1600
	return int(min(max(percent, defaultGCPercent), most))
}

// keepHeapFloor makes the garbage collector respect heapFloor from now on, and
// adapts it after each collection. Who sets GOGC decides alone.
func keepHeapFloor() {
	if os.Getenv("GOGC") != "" {
		return
	}
	(&heapTuner{floor: heapFloor}).afterCollection()
}

// heapTuner sets GOGC after each collection to what its result asks for.
type heapTuner struct {
	floor   uint64
	percent int         // as last set, 0 at first
	set     chan<- int  // told of each percentage set, by tests; may be nil
	ended   func() bool // no more; by tests, may be nil
}

// sentinel becomes garbage at once, so that the next collection finds it. It
// has a pointer so that it does not share its memory with other small objects.
type sentinel struct{ _ *sentinel }

func (t *heapTuner) afterCollection() {
	if t.ended != nil && t.ended() {
		return
	}
	// To set it stops the world for some microseconds, so small changes wait.
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

// keptBytes is what the last collection kept and what GOGC counts with it.
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
