package front

import (
	"bytes"
	"math"

	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// Bounds of the tail that is kept of a partition. Each reader reads more than
// that by itself.
const (
	maxTailRecords = 256
	maxTailBytes   = 16 << 10
)

// sharedTail is the end of a partition as the first of those whom a commit woke
// has read it. All the others take it from here: otherwise a thousand consumers
// of one topic would read, check and parse the same few records. Records below a
// high watermark never change, so a tail is valid as long as that has not moved.
// Immutable.
type sharedTail struct {
	from, hw int64
	records  []protocol.Record // without topic and partition
	bytes    int               // by sizeOf; math.MaxInt if the tail is too large to be kept, which is more than any read takes
}

// readTail adds the records from offset on, taken from the shared tail. It
// returns false when they have to be read from the log.
func (g *gathered) readTail(leader *routing.Leadership, v routing.LogView, next *protocol.Record, offset int64, maxRecords, maxBytes int) bool {
	hw := v.HighWatermark()
	if offset < v.Earliest() || offset >= hw || hw-offset > maxTailRecords {
		return false
	}
	t := tailAt(leader)
	if t == nil || t.from != offset || t.hw != hw {
		if t = tailOf(v, offset); t == nil {
			return false
		}
		// Several may do this at once, each with the same records. The last one is kept; a
		// lock would have all wait for the first.
		leader.Memo.Store(t)
	}
	if len(t.records) > maxRecords || t.bytes > maxBytes {
		return false
	}
	if g.count == 0 {
		g.sink.Expect(t.bytes)
	}
	for i := range t.records {
		r := &t.records[i]
		next.Offset, next.Timestamp, next.Key, next.Value, next.Headers = r.Offset, r.Timestamp, r.Key, r.Value, r.Headers
		next.DeliverAt = r.DeliverAt
		g.note(next)
		g.sink.Take(next)
	}
	return true
}

// tailAt is the tail that is shared at a leader; nil if there is none.
func tailAt(leader *routing.Leadership) *sharedTail {
	t, _ := leader.Memo.Load().(*sharedTail)
	return t
}

// tailOf reads the tail from offset on; nil when it cannot be read.
func tailOf(v routing.LogView, offset int64) *sharedTail {
	t := &sharedTail{from: offset, hw: v.HighWatermark(), bytes: math.MaxInt}
	n := int(t.hw - offset)
	if v.Estimate(offset, n) > maxTailBytes {
		return t
	}
	var all []protocol.Record
	size := 0
	err := v.Each(offset, n, maxTailBytes, func(r *logfile.Record) {
		all = append(all, protocol.Record{
			DeliverAt: protocol.DeliverAt(r.Action), Offset: protocol.Offset(r.Offset), Timestamp: r.Timestamp,
			// It is kept, and what Each passes is valid only during the call.
			Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value), Headers: bytes.Clone(r.Headers),
		})
		size += sizeOf(&all[len(all)-1])
	})
	if err != nil {
		return nil
	}
	if len(all) == n { // there is none that was too large, or that compaction has removed
		t.records, t.bytes = all, size
	}
	return t
}
