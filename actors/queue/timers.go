package queue

import (
	"container/heap"
	"slices"
)

// timer is something that is due at a time.
type timer struct {
	at   int64
	p    *partition
	what timerKind
	item item // of an entry: only its offset; of a block: its number is the offset
}

type timerKind uint8

const (
	entryDue timerKind = iota // a deadline, or the end of a wait
	itemDue                   // a record's deliver_at
	blockDue                  // the earliest deliver_at of records that are on disk only
)

// timerHeap has the earliest timer first.
type timerHeap []timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *timerHeap) Push(x any) { *h = append(*h, x.(timer)) }

// Pop implements heap.Interface.
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = timer{}
	*h = (*h)[:last]
	return t
}

// itemHeap has the lowest offset first.
type itemHeap []item

func (h itemHeap) Len() int           { return len(h) }
func (h itemHeap) Less(i, j int) bool { return h[i].offset < h[j].offset }
func (h itemHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *itemHeap) Push(x any) { *h = append(*h, x.(item)) }

// Pop implements heap.Interface.
func (h *itemHeap) Pop() any {
	last := len(*h) - 1
	it := (*h)[last]
	*h = (*h)[:last]
	return it
}

// minSweep is the least number of timers of which some may be of no use any more.
const minSweep = 4096

// setTimer adds a timer. Most timers are of no use long before they are due, because
// their records are ended: they are dropped each time that there are twice as many as
// those that were left the last time.
func (s *State) setTimer(t timer) {
	if s.sweep = max(s.sweep, minSweep); len(s.timers) >= s.sweep {
		s.timers = slices.DeleteFunc(s.timers, func(t timer) bool { return !s.useful(&t) })
		heap.Init(&s.timers)
		s.sweep = 2*len(s.timers) + minSweep
	}
	heap.Push(&s.timers, t)
}

// useful reports whether a timer will have something to do.
func (s *State) useful(t *timer) bool {
	if s.parts[t.p.id] != t.p {
		return false
	}
	switch t.what {
	case entryDue:
		e := t.p.find(t.item.offset)
		return e != nil && e.timer == t.at
	case itemDue:
		if t.p.isEnded(t.item.offset) || t.p.find(t.item.offset) != nil {
			t.p.delayed--
			return false
		}
		return true
	}
	_, known := t.p.blocks[t.item.offset]
	return known
}

// await counts an entry, and sets the timer of its time, unless one is due earlier.
func (s *State) await(p *partition, e *entry) {
	s.count(p, e)
	s.arm(p, e)
}

// arm sets a timer for an entry. One for each counts (e.timer), and others do nothing
// when they fire. The one that counts sets the next if it fires before the entry's time, so
// that prolonging a delivery costs nothing.
func (s *State) arm(p *partition, e *entry) {
	if e.kind == dying || e.timer != 0 && e.timer <= e.until {
		return
	}
	e.timer = e.until
	s.setTimer(timer{at: e.until, p: p, what: entryDue, item: item{offset: e.offset}})
}

// NextTick is when Tick is to be called next, in milliseconds since 1970; 0: there is
// nothing to wait for.
func (s *State) NextTick() int64 {
	if len(s.timers) == 0 {
		return 0
	}
	return s.timers[0].at
}

// Tick does what is due. Call Flush afterwards: a record that was given too often is
// to die.
func (s *State) Tick(now int64) {
	for len(s.timers) > 0 && s.timers[0].at <= now {
		t := heap.Pop(&s.timers).(timer)
		if s.parts[t.p.id] != t.p {
			continue // it was dropped
		}
		switch t.what {
		case entryDue:
			if e := t.p.find(t.item.offset); e != nil && e.timer == t.at {
				e.timer = 0
				switch {
				case e.kind == dying, e.ready:
				case e.until <= now:
					s.due(now, t.p, e)
				default:
					s.arm(t.p, e)
				}
			}
		case itemDue:
			t.p.delayed--
			if !t.p.isEnded(t.item.offset) && t.p.find(t.item.offset) == nil {
				s.offer(t.p, t.item)
			}
		case blockDue:
			if at, known := t.p.blocks[t.item.offset]; known && at <= now {
				delete(t.p.blocks, t.item.offset)
				t.p.again = append(t.p.again, span{t.item.offset << blockBits, (t.item.offset + 1) << blockBits})
			}
		}
	}
}

// due makes an entry ready whose time is over, or has it die.
func (s *State) due(now int64, p *partition, e *entry) {
	if e.kind == given && e.count >= s.cfg.MaxDeliveries {
		s.die(now, p, e, "it was not acknowledged in time")
		return
	}
	s.uncount(p, e)
	e.ready = true
	if e.read {
		e.item.since = e.until
		s.offerEntry(p, e)
	}
}

// offerEntry is offer for a record with an entry.
func (s *State) offerEntry(p *partition, e *entry) {
	if !e.offered {
		e.offered = true
		s.offer(p, e.item)
	}
}

// offer makes a record one that may be given.
func (s *State) offer(p *partition, it item) { heap.Push(&p.readable, it) }
