package front

import (
	"bytes"
	"math"

	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// Bounds of what is kept of a partition for those who wait for the same
// records: more than that is read by each for itself.
const (
	maxTailRecords = 256
	maxTailBytes   = 16 << 10
)

// sharedTail is the end of a partition as the first of those who were woken by
// a commit has read it, for all the others: a thousand consumers of one topic
// read, check and parse the same few records otherwise. Records below a high
// watermark never change, so it holds as long as that has not moved. Immutable.
type sharedTail struct {
	from, hw int64
	records  []protocol.Record // without topic and partition
	bytes    int               // by sizeOf; no read takes as many if they are too many to be kept
}

// readTail adds the records from offset on out of what is shared; false when
// they are to be read from the log.
func (g *gathered) readTail(leader *routing.Leadership, v *logfile.View, next *protocol.Record, offset int64, maxRecords, maxBytes int) bool {
	hw := v.HighWatermark()
	if offset < v.Earliest() || offset >= hw || hw-offset > maxTailRecords {
		return false
	}
	t := tailAt(leader)
	if t == nil || t.from != offset || t.hw != hw {
		if t = tailOf(v, offset); t == nil {
			return false
		}
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
		g.note(next)
		g.sink.Take(next)
	}
	return true
}

// tailAt is what is shared at a leader, nil if nothing is.
func tailAt(leader *routing.Leadership) *sharedTail {
	t, _ := leader.Memo.Load().(*sharedTail)
	return t
}

// tailOf reads what can be shared; nil when it cannot be read.
func tailOf(v *logfile.View, offset int64) *sharedTail {
	t := &sharedTail{from: offset, hw: v.HighWatermark(), bytes: math.MaxInt}
	n := int(t.hw - offset)
	if v.Estimate(offset, n) > maxTailBytes {
		return t
	}
	var all []protocol.Record
	size := 0
	err := v.Each(offset, n, maxTailBytes, func(r *logfile.Record) {
		all = append(all, protocol.Record{
			Offset: protocol.Offset(r.Offset), Timestamp: r.Timestamp,
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
