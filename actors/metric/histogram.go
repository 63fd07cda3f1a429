package metric

import (
	"math/bits"
	"sync/atomic"
	"time"

	"ottla/protocol"
)

// buckets is the number of bounded buckets of a Histogram.
const buckets = 24

// Histogram counts values by magnitude: bucket i holds those above 2^(i-1) and
// up to 2^i, the first bucket those up to 1, the last one all that are larger.
// Counting takes no loop, no lock and no float. The zero value is ready; it is
// safe for concurrent use.
type Histogram struct {
	counts [buckets + 1]atomic.Uint64
	sum    atomic.Uint64
}

// Observe counts v.
func (h *Histogram) Observe(v uint64) {
	i := 0
	if v > 1 {
		i = min(bits.Len64(v-1), buckets)
	}
	h.counts[i].Add(1)
	h.sum.Add(v)
}

// ObserveTime counts a duration in microseconds; a negative one counts as 0.
func (h *Histogram) ObserveTime(d time.Duration) { h.Observe(uint64(max(d, 0) / time.Microsecond)) }

// Snapshot reads the buckets from first to last; those below first are joined
// into it. Unit is what a counted 1 stands for, for example 1e-6 for
// microseconds reported in seconds.
func (h *Histogram) Snapshot(first, last int, unit float64) protocol.Histogram {
	out := protocol.Histogram{Sum: float64(h.sum.Load()) * unit}
	var below, above uint64
	for i := range h.counts {
		n := h.counts[i].Load()
		switch {
		case i < first:
			below += n
		case i <= last && i < buckets:
			out.Bounds = append(out.Bounds, float64(uint64(1)<<i)*unit)
			out.Counts = append(out.Counts, n+below)
			below = 0
		default:
			above += n
		}
	}
	out.Counts = append(out.Counts, above)
	return out
}
