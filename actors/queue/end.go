package queue

import (
	"slices"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Verb is what a worker says of deliveries.
type Verb uint8

// The verbs.
const (
	Ack    Verb = iota // the record is ended
	Nack               // it is to be given again, or dies
	Extend             // the worker needs longer
)

// Word is what a worker says of deliveries. Times are in milliseconds.
type Word struct {
	Verb    Verb
	DelayMs *int64 // of a nack: until the record is given again; nil: by the settings
	Dead    bool   // of a nack: it goes to the dead letters
	Reason  string // of a nack
	WaitMs  int64  // of an extension: from now on
}

// Verdict is what came of one receipt.
type Verdict uint8

// The verdicts.
const (
	Done    Verdict = iota // it is as the worker has said, perhaps since an earlier time
	Stale                  // the record was given again, or is ended otherwise
	Invalid                // the queue has not made this receipt
)

// Say does what a worker says of deliveries. What is done is durable when the records
// are committed.
func (s *State) Say(now int64, w *Word, receipts []*Receipt) ([]Verdict, []metarecord.Record) {
	verdicts := make([]Verdict, len(receipts))
	for i, r := range receipts {
		verdicts[i] = s.say(now, w, r)
	}
	return verdicts, s.flush(now)
}

// say does what one receipt says. A worker that has had no answer says the same again,
// perhaps to the next coordinator, and is to hear the same: so what is so already is Done.
// But only if the receipt is of the delivery that has ended the record, or an ack that came
// too late would pass for one that was in time.
func (s *State) say(now int64, w *Word, r *Receipt) Verdict {
	switch {
	case r.Created != s.cfg.CreatedAt:
		return Stale
	// After the age of the queue: a deleted one had another secret, and its receipts are
	// old, not forged.
	case !s.seal.sealed(r):
		return Invalid
	}
	p := s.parts[r.ID]
	if p == nil || !p.began {
		return Stale
	}
	if p.isEnded(r.Offset) {
		how, known := p.endings.of[r.Offset]
		switch {
		case !known && w.Verb == Ack && r.Offset >= p.endings.forgotten: // it was given once, or it is forgotten which delivery has ended it
			return Done
		case known && int(how.count) == r.Count && (w.Verb == Ack && !how.dead || w.Verb == Nack && how.dead):
			return Done
		}
		return Stale
	}
	e := p.find(r.Offset)
	// It was given to somebody else since, or taken back undelivered.
	if e == nil || e.count != r.Count {
		return Stale
	}
	if e.kind != given {
		if w.Verb == Nack && (e.kind == dying || !w.Dead) {
			return Done // said before
		}
		return Stale
	}
	switch w.Verb {
	case Ack:
		s.finish(now, p, r.Offset, false)
	case Extend:
		s.move(p, e, given, now+w.WaitMs)
	case Nack:
		s.nack(now, p, e, w)
	}
	return Done
}

// nack gives a record back, or has it die if it was given too often. With no delay it is
// ready at once, before the answer, so that a worker that polls next may get it.
func (s *State) nack(now int64, p *partition, e *entry, w *Word) {
	if w.Dead || e.count >= s.cfg.MaxDeliveries {
		s.die(now, p, e, w.Reason)
		return
	}
	delay := s.cfg.backoff(e.count)
	if w.DelayMs != nil {
		delay = *w.DelayMs
	}
	s.move(p, e, waiting, now+delay)
	if delay <= 0 {
		s.Tick(now)
	}
}

// move gives an entry another kind and time.
func (s *State) move(p *partition, e *entry, k kind, until int64) {
	// Counts are by kind, and whether its time is over: taken off before either changes.
	s.uncount(p, e)
	p.touch(nodeOf(0, e.offset))
	e.kind, e.until, e.ready = k, until, false
	s.await(p, e)
}

// Ref names a delivery within its queue.
type Ref struct {
	ID     protocol.PartitionID
	Offset int64
	Count  int
}

// Return takes back what was not delivered to its worker after all: it counts as not
// given. Gone are records that are not in the log any more.
func (s *State) Return(now int64, back, gone []Ref) []metarecord.Record {
	// A reference counts only if the delivery is still that one: its deadline may have
	// passed meanwhile, and the record be with somebody else.
	for _, ref := range slices.Concat(back, gone) {
		p := s.parts[ref.ID]
		if p == nil {
			continue
		}
		e := p.find(ref.Offset)
		if e == nil || e.count != ref.Count || e.kind != given {
			continue
		}
		if slices.Contains(gone, ref) {
			s.finish(now, p, ref.Offset, false)
			continue
		}
		// It was never given to anybody, so nothing of it need be durable any more.
		if e.count == 1 {
			it, read := e.item, e.read
			s.leave(p, e)
			// Else a former coordinator gave it. What it is will be known when the log is read
			// again, or when it is the first of its key.
			if read {
				s.offer(p, it)
			}
			continue
		}
		e.count--
		s.move(p, e, waiting, now)
	}
	s.Tick(now)
	return s.flush(now)
}

// die has a record go to the dead letters. Its number, which grows within the
// partition, lets whoever writes it there do so once: see Dying.
func (s *State) die(now int64, p *partition, e *entry, reason string) {
	s.uncount(p, e)
	p.touch(nodeOf(0, e.offset))
	// Ascending, and kept in the record of the position, so that a number is never used for
	// two records, whichever coordinator writes.
	p.seq++
	p.baseDirty = true
	e.kind, e.until, e.ready, e.seq, e.reason = dying, now, false, p.seq, reason
	p.dying = append(p.dying, e.offset)
}

// Dying is a record that is to be written to the dead letters.
type Dying struct {
	Topic  string
	To     string // the topic of the dead letters
	ID     protocol.PartitionID
	Offset int64
	Count  int // deliveries
	Seq    int64
	Since  int64 // milliseconds since 1970
	Reason string
}

// Dying lists records that die: of each partition the one with the lowest number.
// The next one follows when that is Buried. So whoever writes them needs to remember
// one number for each partition to write every record once.
func (s *State) Dying() []Dying {
	var list []Dying
	for _, p := range s.list() {
		first := p.firstDying()
		t := s.cfg.topic(p.id.TopicID)
		// Dead letters of a topic that is no longer the queue's are dropped with the
		// partition.
		if first == nil || t == nil {
			continue
		}
		list = append(list, Dying{
			Topic: t.Name, To: s.cfg.DeadLettersOf(t.Name), ID: p.id, Offset: first.offset,
			Count: first.count, Seq: first.seq, Since: first.until, Reason: first.reason,
		})
	}
	return list
}

// firstDying is the entry with the lowest number of those that die; nil: there is none.
func (p *partition) firstDying() *entry {
	for len(p.dying) > 0 {
		if e := p.find(p.dying[0]); e != nil && e.kind == dying {
			return e
		}
		p.dying = p.dying[1:]
	}
	return nil
}

// Work reports whether there is something to be read, or to be written to the dead
// letters.
func (s *State) Work() bool {
	if s.cfg == nil {
		return false
	}
	for _, p := range s.list() {
		if len(p.readable) < lookAhead && (len(p.again) > 0 || p.scanned < p.end) || p.firstDying() != nil {
			return true
		}
	}
	return false
}

// Buried ends a record that was written to the dead letters, or that was not in its
// log any more.
func (s *State) Buried(now int64, id protocol.PartitionID, offset, seq int64, written bool) []metarecord.Record {
	p := s.parts[id]
	if p == nil {
		return nil
	}
	e := p.find(offset)
	// It was told before. The writer tells again when it has had no answer.
	if e == nil || e.kind != dying || e.seq != seq {
		return nil
	}
	s.finish(now, p, offset, true)
	if written {
		p.dead++
	} else {
		p.lost++
	}
	p.baseDirty = true
	return s.flush(now)
}

// Flush returns the records of what Tick has changed.
func (s *State) Flush(now int64) []metarecord.Record { return s.flush(now) }
