package queue

import (
	"container/heap"
	"slices"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Ask is a worker's question for records.
type Ask struct {
	ClusterID  string
	Consumer   protocol.ConsumerID
	Topics     []string // ids
	MaxRecords int
	MaxBytes   int   // of their lines; one record is given in any case
	WaitMs     int64 // how long it waits for records,
	SessionMs  int64 // and how long it counts as a worker after that
}

// Given is a record that is given to a worker.
type Given struct {
	Topic    string
	ID       protocol.PartitionID
	Offset   int64
	Size     int // bytes, about
	Count    int
	Deadline int64 // milliseconds since 1970
	Receipt  string
}

// Give gives a worker records that are ready, by partition and ascending by offset. They are
// with the worker when the records are committed. Errors: not_allowed (a topic is none of
// the queue's).
//
// Each question begins with another partition (turn), so that one with many records does not
// keep the others waiting. What does not fit into the bytes that are asked for goes back to
// where it was, and ends the answer: otherwise a small record behind a large one would be
// given first, over and over.
func (s *State) Give(now int64, a *Ask) ([]Given, []metarecord.Record, *protocol.Error) {
	wanted := map[string]bool{}
	for _, id := range a.Topics {
		if s.cfg.topic(id) == nil {
			return nil, nil, protocol.Errorf(protocol.CodeNotAllowed, "queue %q does not give out the records of this topic: PATCH its topics", s.group).With("field", "topic")
		}
		wanted[id] = true
	}
	s.see(now, a)
	s.Tick(now)
	var list []Given
	all := s.list()
	room, chunks := s.cfg.MaxInFlight-s.inFlight(), s.chunkCount()
	left, bytes := min(a.MaxRecords, room), a.MaxBytes
	for i := range all {
		p := all[(s.turn+i)%len(all)]
		if !wanted[p.id.TopicID] {
			continue
		}
		for left > 0 {
			it, ok := s.next(p, chunks)
			if !ok {
				break
			}
			if len(list) > 0 && it.size > bytes {
				s.putBack(p, it)
				left = 0
				break
			}
			list = append(list, s.give(now, a.ClusterID, p, it))
			left--
			bytes -= it.size
		}
	}
	s.turn++
	return list, s.flush(now), nil
}

// next takes the first record of a partition that may be given. While there is no
// room for more records, those that were given before go on.
func (s *State) next(p *partition, chunks int) (found item, ok bool) {
	var passed []item
	for len(p.readable) > 0 && !ok {
		it := heap.Pop(&p.readable).(item)
		e := p.find(it.offset)
		if e != nil {
			e.offered = false
		}
		switch {
		// It stood in the heap from before: it was ended meanwhile, or is with a worker
		// again.
		case p.isEnded(it.offset), e != nil && !e.ready:
		// A record that was given before has its room, and is not held up by those that have
		// none.
		case e == nil && !s.roomFor(p, it.offset, chunks):
			passed = append(passed, it)
		default:
			found, ok = it, true
		}
	}
	for _, it := range passed {
		s.offer(p, it)
	}
	return found, ok
}

// putBack undoes next.
func (s *State) putBack(p *partition, it item) {
	if e := p.find(it.offset); e != nil {
		s.offerEntry(p, e)
		return
	}
	s.offer(p, it)
}

// roomFor reports whether a record that was never given may be tracked. The chunk at the
// position is never refused for lack of chunks: else a queue that is full of ended records
// behind one that is not could never go on.
func (s *State) roomFor(p *partition, offset int64, chunks int) bool {
	chunk := nodeOf(0, offset)
	return s.tracked < s.room() && (chunks < maxChunks || p.nodes[chunk] != nil || chunk == nodeOf(0, p.position))
}

// give gives one record. The count goes up with each delivery and is in the receipt, which
// by that is of no use any more when the record is given again.
func (s *State) give(now int64, clusterID string, p *partition, it item) Given {
	deadline := now + s.cfg.AckWaitMs
	e := p.find(it.offset)
	if e == nil {
		e = s.enter(p, entry{offset: it.offset})
	}
	p.touch(nodeOf(0, it.offset))
	e.count++
	e.kind, e.until, e.ready, e.read, e.item = given, deadline, false, true, it
	s.await(p, e)
	return Given{
		Topic: s.cfg.topic(p.id.TopicID).Name, ID: p.id, Offset: it.offset, Size: it.size,
		Count: e.count, Deadline: deadline, Receipt: s.seal.receipt(clusterID, s.group, s.cfg.CreatedAt, p.id, it.offset, e.count),
	}
}

// Ready is how many records of topics may be given, n at most.
func (s *State) Ready(topics []string, n int) int {
	ready := 0
	for _, p := range s.list() {
		if slices.Contains(topics, p.id.TopicID) {
			ready += len(p.readable)
		}
	}
	return min(ready, n, max(0, s.cfg.MaxInFlight-s.inFlight()))
}

// Leave forgets a worker. Its deliveries go on.
func (s *State) Leave(id protocol.ConsumerID) { delete(s.workers, id) }

// see notes that a worker has asked.
func (s *State) see(now int64, a *Ask) {
	// Workers are numbers for people. When there are too many, those that have gone are
	// forgotten, and new ones are served without being counted.
	if len(s.workers) >= maxWorkers {
		for other, w := range s.workers {
			if w.until <= now {
				delete(s.workers, other)
			}
		}
	}
	if _, known := s.workers[a.Consumer]; known || len(s.workers) < maxWorkers {
		s.workers[a.Consumer] = worker{now + a.WaitMs + a.SessionMs, a.SessionMs}
	}
}
