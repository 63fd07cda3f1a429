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

func (s *State) say(now int64, w *Word, r *Receipt) Verdict {
	switch {
	case r.Created != s.cfg.CreatedAt:
		return Stale
	case !s.sealed(r):
		return Invalid
	}
	p := s.parts[r.ID]
	if p == nil || !p.began {
		return Stale
	}
	if p.isEnded(r.Offset) {
		how, known := p.endings.of[r.Offset]
		switch {
		case !known && w.Verb == Ack: // it was given once, or that is forgotten
			return Done
		case known && int(how.count) == r.Count && (w.Verb == Ack && !how.dead || w.Verb == Nack && how.dead):
			return Done
		}
		return Stale
	}
	e := p.find(r.Offset)
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
		if e.count == 1 {
			it := e.item
			s.leave(p, e)
			s.offer(p, it)
			continue
		}
		e.count--
		s.move(p, e, waiting, now)
	}
	s.Tick(now)
	return s.flush(now)
}
