package metric

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestHistogramBuckets(t *testing.T) {
	var h Histogram
	for _, v := range []uint64{0, 1, 2, 3, 4, 5, 8, 9, 1 << 40} {
		h.Observe(v)
	}
	got := h.Snapshot(1, 3, 10)
	assert.Equal(t, []float64{20, 40, 80}, got.Bounds)
	assert.Equal(t, []uint64{3, 2, 2, 2}, got.Counts, "up to 2, 4, 8, and above")
	assert.InDelta(t, 10*(0+1+2+3+4+5+8+9+1<<40), got.Sum, 1)

	var d Histogram
	d.ObserveTime(-time.Second)
	d.ObserveTime(3 * time.Microsecond)
	assert.EqualValues(t, 1, d.counts[0].Load())
	assert.EqualValues(t, 1, d.counts[2].Load())
	assert.Zero(t, testing.AllocsPerRun(10, func() { d.Observe(7) }))
}
