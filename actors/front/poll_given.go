package front

import (
	"bytes"
	"cmp"
	"slices"

	"ottla/actors/few"
	"ottla/actors/queue"
	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// readGiven reads the records, by partition and ascending. Missing are those that could
// not be read, gone those that do not exist any more.
func (l *pollLook) readGiven(lc *locator, topics *few.Map[string, *protocol.Topic], req *protocol.PollRequest, given []queue.Given) (missing, gone []queue.Given, err *protocol.Error) {
	slices.SortFunc(given, func(a, b queue.Given) int {
		return cmp.Or(protocol.ComparePartitionIDs(a.ID, b.ID), cmp.Compare(a.Offset, b.Offset))
	})
	need := 0
	for i := range given {
		need += given[i].Size + len(given[i].Receipt) + 2*recordOverhead
	}
	room, err := takeRoom(req.Room, need, max(need, req.MaxBytes))
	if err != nil {
		return nil, nil, err
	}
	for len(given) > 0 {
		n := 1
		// Records that are close together are read in one go; reading a few in between
		// costs less than another read.
		for n < len(given) && given[n].ID == given[0].ID && given[n].Offset-given[n-1].Offset <= maxRunGap {
			n++
		}
		run := given[:n]
		given = given[n:]
		// One record is delivered in any case, or a large one could never be.
		if l.got.count > 0 && l.got.bytes >= room {
			missing = append(missing, run...)
			continue
		}
		t := topics.At(run[0].ID.TopicID)
		if t == nil || run[0].ID.Partition >= t.Partitions {
			missing = append(missing, run...)
			continue
		}
		lost, ended := l.readRun(lc, t, run, room)
		missing, gone = append(missing, lost...), append(gone, ended...)
	}
	return missing, gone, nil
}

// maxRunGap is how far apart the offsets of two records may be that are read at once.
const maxRunGap = 16

// readRun reads records of one partition that are close together. Those that an error
// leaves unread are missing.
func (l *pollLook) readRun(lc *locator, t *protocol.Topic, run []queue.Given, room int) (missing, gone []queue.Given) {
	left := run
	// An error leaves the rest in left, so it is given back.
	_ = lc.withView(t, run[0].ID.Partition, func(v routing.LogView, _ *routing.Leadership) *protocol.Error {
		for len(left) > 0 {
			from, to := max(left[0].Offset, v.Earliest()), left[len(left)-1].Offset
			read := int64(-1)
			err := v.Each(from, int(to-from)+1, max(1, room-l.got.bytes), func(r *logfile.Record) {
				read = r.Offset
				for len(left) > 0 && left[0].Offset < r.Offset {
					gone, left = append(gone, left[0]), left[1:]
				}
				if len(left) > 0 && left[0].Offset == r.Offset && (l.got.count == 0 || l.got.bytes < room) {
					l.take(t, &left[0], r)
					left = left[1:]
				}
			})
			switch {
			case err != nil:
				return errStaleView
			case read < 0 && to < v.HighWatermark():
				gone, left = append(gone, left...), nil
			case read < 0, l.got.count > 0 && l.got.bytes >= room:
				return nil
			}
		}
		return nil
	})
	return left, gone
}

// take adds a record to the answer.
func (l *pollLook) take(t *protocol.Topic, g *queue.Given, r *logfile.Record) {
	got := &l.got
	next := protocol.Record{
		Topic: g.Topic, Partition: g.ID.Partition,
		Delivery: &protocol.Delivery{Receipt: g.Receipt, Count: g.Count, Deadline: g.Deadline},
	}
	if got.sink != nil && got.count == 0 {
		got.sink.Expect(g.Size + recordOverhead)
	}
	got.take(&next, r)
	got.bytes += len(g.Receipt) + recordOverhead
	if got.sink != nil {
		got.sink.Take(&next)
	} else { // what was read is only valid until the next record
		next.Key, next.Value, next.Headers = bytes.Clone(next.Key), bytes.Clone(next.Value), bytes.Clone(next.Headers)
		got.records = append(got.records, next)
	}
	countFetched(t, g.ID.Partition, 1, sizeOf(&next))
}
