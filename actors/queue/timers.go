package queue

import "container/heap"

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

func (s *State) setTimer(t timer) { heap.Push(&s.timers, t) }

// await counts an entry, and sets the timer of its time.
func (s *State) await(p *partition, e *entry) {
	s.count(p, e)
	if e.kind != dying {
		s.setTimer(timer{at: e.until, p: p, what: entryDue, item: item{offset: e.offset}})
	}
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
			if e := t.p.find(t.item.offset); e != nil && e.kind != dying && !e.ready && e.until <= now {
				s.due(now, t.p, e)
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
		s.offer(p, e.item)
	}
}

// offer makes a record one that may be given.
func (s *State) offer(p *partition, it item) { heap.Push(&p.readable, it) }
