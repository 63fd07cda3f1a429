package queue

import (
	"ottla/actors/metarecord"
	"ottla/protocol"
)

// die has a record go to the dead letters. Its number, which grows within the
// partition, lets whoever writes it there do so once: see Dying.
func (s *State) die(now int64, p *partition, e *entry, reason string) {
	s.uncount(p, e)
	p.touch(nodeOf(0, e.offset))
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
