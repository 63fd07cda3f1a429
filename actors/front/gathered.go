package front

import (
	"errors"
	"slices"

	"ottla/actors/catalog"
	"ottla/actors/queue"
	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// gathered is what the reads for one answer have brought. Bytes is what the memory of the
// answer is reckoned by, so everything that is added is noted, by whichever way it was
// read.
type gathered struct {
	sink    protocol.RecordSink // takes the records; nil: they stand in records
	records []protocol.Record
	count   int
	bytes   int             // by sizeOf
	last    protocol.Offset // of the last record

	waited *routing.Leadership // the leader that woke the read, and perhaps others for the same records; nil: it did not wait
}

// read adds up to maxRecords records from offset on.
func (g *gathered) read(v routing.LogView, topic string, partition int, offset int64, maxRecords, maxBytes int) *protocol.Error {
	var err error
	next := protocol.Record{Topic: topic, Partition: partition}
	// Many reads that one record has woken want the same bytes: they share what the first
	// has read. Internal topics are left out, as their values are changed for the reader.
	if g.sink != nil && g.waited != nil && !protocol.IsInternalTopic(topic) && g.readTail(g.waited, v, &next, offset, maxRecords, maxBytes) {
		return nil
	}
	if g.sink != nil {
		if g.count == 0 {
			g.sink.Expect(estimate(v, offset, maxRecords, maxBytes))
		}
		// What the sink gets is valid during the call only: it renders it at once, and
		// nothing is copied in between.
		err = v.Each(offset, maxRecords, maxBytes, func(r *logfile.Record) {
			g.take(&next, r)
			g.sink.Take(&next)
		})
	} else {
		var recs []logfile.Record
		recs, err = v.Read(nil, offset, maxRecords, maxBytes)
		g.records = slices.Grow(g.records, len(recs))
		for i := range recs {
			g.take(&next, &recs[i])
			g.records = append(g.records, next)
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, logfile.ErrBelowStart):
		return outOfRange(topic, partition, offset, v)
	case errors.Is(err, logfile.ErrStale):
		return errStaleView
	}
	return unreadable(topic, partition, err)
}

// estimate is about what a read brings, by sizeOf.
func estimate(v routing.LogView, offset int64, maxRecords, maxBytes int) int {
	n := min(int64(maxRecords), v.HighWatermark()-offset)
	return int(min(v.Estimate(offset, int(n)), int64(maxBytes)) + n*recordOverhead)
}

// take makes r the next record, and counts it.
func (g *gathered) take(next *protocol.Record, r *logfile.Record) {
	next.Offset, next.Timestamp = protocol.Offset(r.Offset), r.Timestamp
	next.Key, next.Value, next.Headers = r.Key, r.Value, r.Headers
	next.DeliverAt = 0
	// Actions with a time are longer than PRODUCE and TOMBSTONE, so most records are not
	// looked at any closer.
	if len(r.Action) > len(protocol.ActionTombstone) {
		next.DeliverAt = protocol.DeliverAt(r.Action)
	}
	if protocol.IsInternalTopic(next.Topic) {
		next.Value = withoutSecrets(next)
	}
	g.note(next)
}

// withoutSecrets is the value of a record of an internal topic as clients see it.
func withoutSecrets(r *protocol.Record) []byte {
	switch r.Topic {
	case protocol.MetadataTopic:
		return catalog.WithoutSecrets(r.Key, r.Value)
	case protocol.OffsetsTopic:
		return queue.WithoutSecret(r.Key, r.Value)
	}
	return r.Value
}

// note counts a record.
func (g *gathered) note(next *protocol.Record) {
	g.last = next.Offset
	g.count++
	g.bytes += sizeOf(next)
}

// forget drops what was read.
func (g *gathered) forget() {
	if g.sink != nil && g.count > 0 {
		g.sink.Forget()
	}
	*g = gathered{sink: g.sink}
}
