package webhook

import (
	"time"

	"ottla/protocol"
)

const (
	concurrency  = 8  // deliveries of one subscription at the same time
	singles      = 64 // units that a lane knows ahead where each is one record
	batches      = concurrency
	readBytes    = 1 << 20 // in which records are planned, and so the size of a delivery
	maxReadCount = 10_000
)

// unitState says where a unit is.
type unitState int

const (
	waiting unitState = iota
	sending
	done
)

// unit is what goes out in one delivery. It has no records: they are read when it is
// sent.
type unit struct {
	from, to protocol.Offset
	keys     []uint64 // hashes of its keys
	bytes    int      // about how many its records take
	attempts int      // that failed
	saved    int      // attempts as they are committed; unsaved: not even its end is
	due      time.Time
	state    unitState
}

const unsaved = -1

// recordFacts is what planning needs to know of a record.
type recordFacts struct {
	offset protocol.Offset
	key    uint64 // hash, if keyed
	keyed  bool
	bytes  int
}

// lane is one partition of a subscription: its units in the order of the log, and what
// is committed. It has no goroutine, no clock and no records.
type lane struct {
	topic     string
	partition int
	topicID   string

	batch int
	order protocol.Order
	max   int // deliveries of a unit

	committed protocol.Offset
	next      protocol.Offset // where planning goes on
	units     []*unit         // from the first that is not done on, without gaps
	cuts      []protocol.DeliveryUnit
	note      protocol.DeliveryNote // without Units
	dirty     bool                  // the note is to be committed

	pending protocol.PendingFetch // a read that is under way, to plan more
	retryAt time.Time             // not before: the last read failed
}

// newLane takes up a partition where its group is, as the note of the one before says.
func newLane(sub *protocol.Subscription, at protocol.TopicPartition, topicID string, committed protocol.Offset, metadata string) *lane {
	l := &lane{
		topic: at.Topic, partition: at.Partition, topicID: topicID,
		batch: sub.Batch, order: sub.Order, max: sub.MaxDeliveries,
		committed: committed, next: committed, note: protocol.ParseDeliveryNote(metadata),
	}
	for _, u := range l.note.Units {
		if u.End <= committed {
			continue
		}
		if n := len(l.cuts); n > 0 && l.cuts[n-1].End >= u.End {
			break
		}
		l.cuts = append(l.cuts, u)
	}
	l.note.Units = nil
	return l
}

// room is how many more units may be planned, and how many records that takes.
func (l *lane) room() (units, records int) {
	units = singles
	switch {
	case l.batch == 1:
	case l.order == protocol.OrderPartition:
		units = 1 // the later it is planned the more records it has
	default:
		units = batches
	}
	units = max(0, units-len(l.units))
	if units == 0 {
		return 0, 0
	}
	records = min(units*l.batch, maxReadCount)
	if len(l.cuts) > 0 {
		records = max(records, int(min(l.cuts[0].End-l.next, maxReadCount)))
	}
	return units, records
}

// plan divides what was read from next on into units. Reading goes on at after.
func (l *lane) plan(records []recordFacts, after protocol.Offset) {
	units, _ := l.room()
	for first := true; units > 0 && len(records) > 0; first = false {
		u := &unit{from: l.next, saved: unsaved}
		n := 0
		if len(l.cuts) > 0 {
			if n = l.cut(u, records, after, first); n < 0 {
				return // the next read has all of it
			}
		} else {
			n = min(l.batch, len(records))
			u.to = records[n-1].offset + 1
		}
		if n == 0 {
			u.state = done // compaction has left nothing of it
		}
		u.note(records[:n])
		records = records[n:]
		l.units, l.next = append(l.units, u), u.to
		units--
	}
	if len(records) == 0 {
		l.next = max(l.next, after)
		for len(l.cuts) > 0 && l.cuts[0].End <= l.next {
			l.cuts = l.cuts[1:]
		}
	}
}

// cut makes u as the note has it, and returns how many records are its; below 0 if it is
// not the first of a read that has only a part of it. A delivery of one record is never
// one of several: where it was, because the subscription was changed, each has failed so often.
func (l *lane) cut(u *unit, records []recordFacts, after protocol.Offset, first bool) (n int) {
	cut := l.cuts[0]
	for n < len(records) && records[n].offset < cut.End {
		n++
	}
	whole := l.batch > 1 || cut.Attempts == protocol.Delivered
	if n == len(records) && after < cut.End && !first && whole {
		return -1
	}
	u.attempts, u.saved, u.to = cut.Attempts, cut.Attempts, cut.End
	if cut.Attempts == protocol.Delivered {
		u.state, u.attempts, u.saved = done, 0, 0
	}
	switch {
	case !whole && n > 1:
		n, u.to = 1, records[0].offset+1
	case n == len(records) && after < u.to:
		u.to = after // it does not fit into one read any more
	}
	if whole || u.to == cut.End {
		l.cuts = l.cuts[1:]
	}
	return n
}

func (u *unit) note(records []recordFacts) {
	for _, r := range records {
		u.bytes += r.bytes
		if r.keyed {
			u.keys = append(u.keys, r.key)
		}
	}
}

// exhausted reports whether a unit is not to be delivered any more.
func (l *lane) exhausted(u *unit) bool { return u.attempts >= l.max }

// ready returns the units that may go out now, n at most, in order. Those in front of
// which another has to go first are not among them.
func (l *lane) ready(now time.Time, n int) (ready []*unit) {
	l.each(func(u *unit) bool {
		if len(ready) == n {
			return false
		}
		if u.state == waiting && !u.due.After(now) && l.committedEnough(u) {
			ready = append(ready, u)
		}
		return true
	})
	return ready
}

// nextDue is when the next unit is due that waits for nothing but time; zero: none does.
func (l *lane) nextDue() (at time.Time) {
	l.each(func(u *unit) bool {
		if u.state == waiting && l.committedEnough(u) && (at.IsZero() || u.due.Before(at)) {
			at = u.due
		}
		return true
	})
	return at
}

// committedEnough reports whether whoever takes over would go on with the unit as it is:
// its end, where it can have several records, and that it is exhausted.
func (l *lane) committedEnough(u *unit) bool {
	return (l.batch == 1 && !l.exhausted(u)) || u.saved != unsaved && (!l.exhausted(u) || u.saved >= l.max)
}

// each calls f with the units that are not done and need not wait for one in front of
// them, until it returns false.
func (l *lane) each(f func(u *unit) bool) {
	var busy map[uint64]bool
	for _, u := range l.units {
		if u.state == done {
			continue
		}
		blocked := false
		if l.order == protocol.OrderKey {
			for _, key := range u.keys {
				blocked = blocked || busy[key]
			}
			for _, key := range u.keys {
				if busy == nil {
					busy = map[uint64]bool{}
				}
				busy[key] = true
			}
		}
		if !blocked && !f(u) {
			return
		}
		if l.order == protocol.OrderPartition {
			return
		}
	}
}

// has reports whether a unit still is the lane's.
func (l *lane) has(u *unit) bool {
	for _, x := range l.units {
		if x == u {
			return true
		}
	}
	return false
}

// settle notes how the delivery of a unit went, and when it is due again.
func (l *lane) settle(u *unit, a attempt) {
	l.note.Status, l.note.At, l.note.Error = a.status, a.at.UnixMilli(), a.reason
	l.dirty = true
	if a.verdict == delivered {
		l.note.FailingSince = 0
		u.state = done
		return
	}
	if l.note.FailingSince == 0 {
		l.note.FailingSince = l.note.At
	}
	u.state = waiting
	if a.verdict == failed {
		u.attempts++
		u.due = a.at
		if !l.exhausted(u) {
			u.due = a.at.Add(max(pause(u.attempts), a.after))
		}
	}
}

// later puts a unit off that could not be sent, for reasons that are not the receiver's.
func (l *lane) later(u *unit, until time.Time) {
	u.state, u.due = waiting, until
}

// buried notes that the records of a unit are dead letters now, or are gone.
func (l *lane) buried(u *unit) {
	u.state, l.dirty = done, true
}

// skip goes on behind records that retention has removed. What follows them stays as it is
// planned, and what is under way or done, because it has its records. No unit of which a
// part was removed changes: another goroutine may look at it.
func (l *lane) skip(earliest protocol.Offset, now time.Time, why string) {
	n := 0
	for n < len(l.units) && l.units[n].to <= earliest {
		n++
	}
	l.units = l.units[n:]
	if len(l.units) > 0 && l.units[0].from < earliest && l.units[0].state == waiting {
		rest := *l.units[0]
		rest.from = earliest
		l.units = append([]*unit{&rest}, l.units[1:]...)
	}
	for len(l.cuts) > 0 && l.cuts[0].End <= earliest {
		l.cuts = l.cuts[1:]
	}
	l.next = max(l.next, earliest)
	l.note.Error, l.note.At, l.dirty = why, now.UnixMilli(), true
}

// progress drops what is done at the front. It returns what is to be committed; due is
// false when that is what is committed already.
func (l *lane) progress() (at protocol.Offset, note protocol.DeliveryNote, due bool) {
	n := 0
	for n < len(l.units) && l.units[n].state == done {
		n++
	}
	l.units = l.units[n:]
	at = l.next
	if len(l.units) > 0 {
		at = l.units[0].from
	}
	note = l.note
	due = l.dirty || at != l.committed
	last := 0
	for i, u := range l.units {
		if l.batch > 1 || u.attempts > 0 || u.state == done {
			last = i + 1
		}
		due = due || l.batch > 1 && u.saved == unsaved
	}
	if len(l.cuts) > 0 {
		last = len(l.units)
	}
	for _, u := range l.units[:last] {
		attempts := u.attempts
		if u.state == done {
			attempts = protocol.Delivered
		}
		note.Units = append(note.Units, protocol.DeliveryUnit{End: u.to, Attempts: attempts})
	}
	// What nobody has planned yet stays as it is.
	note.Units = append(note.Units, l.cuts...)
	return at, note, due
}

// saving returns what to do when what progress said is committed.
func (l *lane) saving(at protocol.Offset) func() {
	l.dirty = false
	type state struct {
		u        *unit
		attempts int
	}
	states := make([]state, len(l.units))
	for i, u := range l.units {
		states[i] = state{u, u.attempts}
	}
	return func() {
		l.committed = at
		for _, s := range states {
			s.u.saved = s.attempts
		}
	}
}
