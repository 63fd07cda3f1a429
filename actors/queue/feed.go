package queue

import (
	"slices"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Scan says what is to be read of a partition, from From on, up to but without To
// unless that is 0.
type Scan struct {
	Topic   string
	ID      protocol.PartitionID
	From    int64 // -1: from where the log begins
	To      int64
	Records int // at most
	Again   bool
}

// Read is what was read of a partition: the records from From up to Next. Those that
// are missing do not exist any more.
type Read struct {
	Scan
	Next          int64
	Earliest, End int64 // of the log
	Records       []ReadRecord
}

// ReadRecord is what a queue has to know of a record.
type ReadRecord struct {
	Offset    int64
	Key       uint64 // hash of its key; 0: it has none
	Size      int    // bytes
	Timestamp int64  // milliseconds since 1970
	DeliverAt int64  // likewise; 0: at once
}

// scanRecords is how many records are read at once.
const scanRecords = 1000

// Scans lists what is to be read. Partitions says how many partitions a topic has; those
// that the queue does not know yet are begun. How much is read ahead is bounded in three
// ways: records that are ready (lookAhead), records that wait for others with their key, and
// blocks of records whose time has not come. Records that may be given again are kept by
// their entries, whatever the bounds say.
func (s *State) Scans(partitions func(Topic) int) []Scan {
	var scans []Scan
	if s.cfg == nil {
		return nil
	}
	for _, t := range s.cfg.Topics {
		for n := range partitions(t) {
			p := s.partitionOf(protocol.PartitionID{TopicID: t.ID, Partition: n})
			scan := Scan{Topic: t.Name, ID: p.id, Records: scanRecords}
			switch {
			case !p.began:
				scan.From = -1
			// There is enough to give. More is read when some of it is given.
			case len(p.readable) >= lookAhead:
				continue
			// Before anything new: these are due. Only up to what was read once, because the
			// rest comes anyway.
			case len(p.again) > 0:
				scan.From, scan.To, scan.Again = max(p.again[0].from, p.position), min(p.again[0].to, p.scanned), true
				if scan.From >= scan.To {
					p.again = p.again[1:]
					scan.From, scan.To, scan.Again = p.scanned, 0, false
				}
			case p.held >= s.room() || len(p.blocks) >= maxBlocks:
				continue
			default:
				scan.From = p.scanned
			}
			scans = append(scans, scan)
		}
	}
	return scans
}

// Feed takes what was read. It returns how many records retention has removed that
// were not ended. What does not follow what is known is ignored.
func (s *State) Feed(now int64, r *Read) (lost int64, recs []metarecord.Record) {
	if s.cfg == nil || s.cfg.topic(r.ID.TopicID) == nil {
		return 0, nil
	}
	p := s.partitionOf(r.ID)
	if !p.began {
		p.begin(r)
	}
	p.end = max(p.end, r.End)
	// Before the records: retention may have removed some that are still waited for.
	if r.Earliest > p.position {
		lost = s.lose(now, p, r.Earliest)
	}
	switch {
	case r.Again && len(p.again) > 0 && r.From >= p.again[0].from && r.Next > r.From && r.Next <= p.scanned:
		if p.again[0].from = r.Next; r.Next >= p.again[0].to || r.Next >= p.scanned {
			p.again = p.again[1:]
		}
		s.take(now, p, r)
	// Only what follows what is known. Two goroutines may have read the same, or one for a
	// coordinator before this one.
	case !r.Again && r.From == p.scanned && r.Next > r.From:
		p.scanned = r.Next
		s.take(now, p, r)
	}
	return lost, s.flush(now)
}

// begin takes the queue's first position on a partition.
func (p *partition) begin(r *Read) {
	p.began, p.baseDirty = true, true
	p.position, p.scanned = r.Earliest, r.Earliest
}

// Begin has the queue begin on a partition at an offset, where it has not begun yet.
func (s *State) Begin(now int64, id protocol.PartitionID, offset int64) []metarecord.Record {
	if s.cfg == nil || s.cfg.topic(id.TopicID) == nil {
		return nil
	}
	if p := s.partitionOf(id); !p.began {
		p.begin(&Read{Earliest: offset})
	}
	return s.flush(now)
}

// take takes the records of a range, and ends what is missing in it.
func (s *State) take(now int64, p *partition, r *Read) {
	next := r.From
	for i := range r.Records {
		rec := &r.Records[i]
		// A log has no gaps but those of compaction, so what is not there will never be.
		s.missing(p, next, rec.Offset)
		next = rec.Offset + 1
		if p.isEnded(rec.Offset) {
			continue
		}
		it := item{offset: rec.Offset, size: rec.Size, since: max(rec.Timestamp, rec.DeliverAt), due: rec.DeliverAt}
		if s.cfg.Order == protocol.OrderKey {
			it.key = rec.Key
		}
		s.takeItem(now, p, it)
	}
	s.missing(p, next, r.Next)
	p.advance()
}

// missing ends records that compaction has removed.
func (s *State) missing(p *partition, from, to int64) {
	for o := max(from, p.position); o < to; o++ {
		if e := p.find(o); e != nil {
			s.vanish(p, e)
			s.leave(p, e)
		}
		if !p.isEnded(o) {
			p.setEnded(o)
		}
	}
}

// vanish remembers of a record that is not in its log any more what its workers may still
// say: an ack is good of the one that has it.
func (s *State) vanish(p *partition, e *entry) {
	if e.count > 1 || e.kind != given {
		s.remember(p, e.offset, e.count, e.kind != given)
	}
}

// takeItem takes a record that is not ended. One that waits for others with its key
// is looked at when those are ended.
func (s *State) takeItem(now int64, p *partition, it item) {
	if it.key != 0 {
		p.keys[it.key] = append(p.keys[it.key], it)
		p.held++
		// It is not the first of its key. It is considered when all before it are ended,
		// which is what order by key promises.
		if len(p.keys[it.key]) > 1 {
			if e := p.find(it.offset); e != nil {
				e.item = it // it is read when it is its turn
			}
			return
		}
	}
	s.consider(now, p, it)
}

// consider makes a record ready, or has it wait for its time.
func (s *State) consider(now int64, p *partition, it item) {
	if e := p.find(it.offset); e != nil {
		e.read, e.item = true, it
		if e.ready {
			s.offerEntry(p, e)
		}
		return
	}
	if it.due <= now {
		s.offer(p, it)
		return
	}
	// There is no room to remember each by itself. The whole block is read again when the
	// first of it is due. A record with a key is remembered in any case: those behind it
	// wait for it.
	if it.key == 0 && p.delayed >= s.room() {
		block := it.offset >> blockBits
		if at, known := p.blocks[block]; !known || it.due < at {
			p.blocks[block] = it.due
			s.setTimer(timer{at: it.due, p: p, what: blockDue, item: item{offset: block}})
		}
		return
	}
	p.delayed++
	s.setTimer(timer{at: it.due, p: p, what: itemDue, item: it})
}

// unlock takes an ended record out of those with its key, and looks at the next.
func (s *State) unlock(now int64, p *partition, key uint64, offset int64) {
	if key == 0 {
		return
	}
	list := p.keys[key]
	i := slices.IndexFunc(list, func(it item) bool { return it.offset == offset })
	if i < 0 {
		return
	}
	if p.held--; i == 0 {
		list = list[1:] // a key may have very many records
	} else {
		list = slices.Delete(list, i, i+1)
	}
	if len(list) == 0 {
		delete(p.keys, key)
		return
	}
	p.keys[key] = list
	if i == 0 {
		s.consider(now, p, list[0])
	}
}

// lose follows retention. It returns how many records it has removed that were not
// ended.
func (s *State) lose(now int64, p *partition, earliest int64) int64 {
	lost, gone := p.lose(earliest)
	p.lost += lost
	p.scanned = max(p.scanned, p.position)
	for i := range gone {
		s.vanish(p, &gone[i])
		s.uncount(p, &gone[i])
		s.tracked--
	}
	// The ones that are gone keep nobody waiting any more.
	for key, list := range p.keys {
		n := 0
		for n < len(list) && list[n].offset < p.position {
			n++
		}
		if n == 0 {
			continue
		}
		if p.held -= n; n == len(list) {
			delete(p.keys, key)
			continue
		}
		p.keys[key] = list[n:]
		s.consider(now, p, list[n])
	}
	return lost
}
