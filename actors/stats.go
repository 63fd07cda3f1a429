package actors

import (
	"math/bits"
	"sync/atomic"
	"time"

	"ottla/protocol"
)

// nodeStats is what a node counts as it goes; the zero value is ready. The
// hot path pays an atomic addition or two per request or entry.
type nodeStats struct {
	disk           diskStats
	elections      atomic.Uint64
	damageNotFound atomic.Uint64 // of replicas that were to be mended
	lostDirs       atomic.Uint64 // directories of brokers that were replaced, by reason
	outdatedDirs   atomic.Uint64
	batchRecords   histogram
	batchBytes     histogram
}

func (s *nodeStats) directoryReplaced(reason string) {
	if reason == directoryOutdated {
		s.outdatedDirs.Add(1)
		return
	}
	s.lostDirs.Add(1)
}

// entry counts one entry that a leader of a topic has proposed.
func (s *nodeStats) entry(records, bytes int) {
	s.batchRecords.observe(uint64(records))
	s.batchBytes.observe(uint64(bytes))
}

// partitionStats is what clients did with one partition.
type partitionStats struct {
	producedRecords, producedBytes atomic.Uint64
	fetchedRecords, fetchedBytes   atomic.Uint64
}

func (s *partitionStats) produced(l *protocol.Lines) {
	s.producedRecords.Add(uint64(l.Len()))
	s.producedBytes.Add(uint64(len(l.Buf)))
}

func (s *partitionStats) fetched(records, bytes int) {
	s.fetchedRecords.Add(uint64(records))
	s.fetchedBytes.Add(uint64(bytes))
}

// histogram counts values by their magnitude: bucket i holds those above
// 2^(i-1) and up to 2^i, the first one those up to 1, the last one all that
// are larger. Counting takes no loop, no lock and no float.
type histogram struct {
	counts [histogramBuckets + 1]atomic.Uint64
	sum    atomic.Uint64
}

const histogramBuckets = 24

func (h *histogram) observe(v uint64) {
	i := 0
	if v > 1 {
		i = min(bits.Len64(v-1), histogramBuckets)
	}
	h.counts[i].Add(1)
	h.sum.Add(v)
}

// observeTime counts a duration in microseconds.
func (h *histogram) observeTime(d time.Duration) { h.observe(uint64(max(d, 0) / time.Microsecond)) }

// snapshot reads the buckets from first to last, those below joined into the
// first; unit is what 1 stands for.
func (h *histogram) snapshot(first, last int, unit float64) protocol.Histogram {
	out := protocol.Histogram{Sum: float64(h.sum.Load()) * unit}
	var below, above uint64
	for i := range h.counts {
		n := h.counts[i].Load()
		switch {
		case i < first:
			below += n
		case i <= last && i < histogramBuckets:
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
