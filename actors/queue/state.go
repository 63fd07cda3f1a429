package queue

import (
	"cmp"
	"slices"

	"ottla/actors/level"
	"ottla/protocol"
)

// Bounds of what a queue keeps in memory.
const (
	lookAhead  = 2048   // records of a partition that are ready, and were read
	minTracked = 10_000 // records that were given, or wait for their time or key
	maxChunks  = 16_384 // of all partitions: chunks of which some records are ended, or given
	maxBlocks  = 65_536 // of a partition: see partition.blocks
	blockBits  = 10
	maxWorkers = 10_000
)

// kind is what became of a record that was given and is not ended.
type kind uint8

const (
	given   kind = iota // it is with a worker until its deadline
	waiting             // a worker has given it back, and it is to wait
	dying               // it goes to the dead letters
)

// entry is a record that was given at least once, and is not ended. The soft part is lost
// with the coordinator: nothing of it may get into a record.
type entry struct {
	offset int64
	count  int   // deliveries
	kind   kind  //
	until  int64 // given: its deadline; waiting: when it is ready; dying: since when

	// Of one that dies.
	seq    int64 // ascending in the partition
	reason string

	// Soft.
	ready   bool  // its time is over: it may be given again
	offered bool  // it is in readable
	read    bool  // item is known
	timer   int64 // when the earliest timer for it is due; 0: there is none
	item    item
}

// item is what a queue knows of a record's content.
type item struct {
	offset int64
	key    uint64 // hash of its key, with order by key; 0: it has none
	size   int    // bytes
	since  int64  // when it became ready, or was written
	due    int64  // when it is to be given at the earliest; 0: at once
}

// partition is the state of one partition of a topic of the queue. The soft part begins anew
// with each coordinator, and by reading the log again from the position.
type partition struct {
	id protocol.PartitionID

	// Durable.
	began    bool // the position is known
	position int64
	nodes    map[nodeID]*node
	seq      int64 // of the last record that died
	dead     int64 // records that have gone to the dead letters
	lost     int64 // records that retention has removed before they were ended
	endings  endings

	// Durable, but not yet in a record.
	dirty     map[nodeID]struct{}
	baseDirty bool
	stored    map[nodeID]struct{} // nodes that have a record
	chunks    int                 // of nodes

	// Soft.
	scanned  int64 // records below it were read
	end      int64 // of the log, as far as it is known
	readable itemHeap
	keys     map[uint64][]item // by key: records that were read and are not ended, ascending; with order by key
	held     int               // of keys
	delayed  int               // items whose time has not come, in timers
	blocks   map[int64]int64   // by offset>>blockBits: the earliest time of items that are not in timers, for lack of room
	again    []span            // to be read again: of blocks whose time has come
	dying    []int64           // of entries that die, by their numbers; some may be ended
	given    int               // entries that are with a worker
	waiting  int               // entries that wait for their time
}

// span is a range of offsets.
type span struct{ from, to int64 }

// State is a queue; the zero value is of no use, New makes it. It is not safe for
// concurrent use.
type State struct {
	// Level is that of the fleet, which what is written may not be above; nil:
	// level.Newest.
	Level func() int

	group  string
	cfg    *durableSettings // nil: the group is no queue
	parts  map[protocol.PartitionID]*partition
	sorted []*partition // of parts, ascending; nil: to be made
	turn   int          // which partition is first
	timers timerHeap
	sweep  int // of how many timers on those are dropped that are of no use any more

	tracked int // entries
	seal    *sealer
	workers map[protocol.ConsumerID]worker // who has asked lately

	pageEndings, maxPages int // in tests less than the constants
}

// New returns the state of a group that is no queue.
func New(group string) *State {
	return &State{group: group, parts: map[protocol.PartitionID]*partition{}, workers: map[protocol.ConsumerID]worker{}, pageEndings: pageEndings, maxPages: maxPages}
}

// worker is one that has asked. It counts as one until then, in milliseconds since
// 1970.
type worker struct {
	until     int64
	sessionMs int64
}

// partitionOf returns a partition, and makes it if need be.
func (s *State) partitionOf(id protocol.PartitionID) *partition {
	p := s.parts[id]
	if p == nil {
		p = &partition{
			id: id, nodes: map[nodeID]*node{}, endings: newEndings(s.pageEndings), dirty: map[nodeID]struct{}{}, stored: map[nodeID]struct{}{},
		}
		p.forget()
		s.parts[id], s.sorted = p, nil
	}
	return p
}

// forget begins the soft part anew.
func (p *partition) forget() {
	p.scanned, p.readable, p.keys, p.held, p.delayed = p.position, nil, map[uint64][]item{}, 0, 0
	p.blocks, p.again, p.dying, p.given, p.waiting = map[int64]int64{}, nil, nil, 0, 0
}

// list is all partitions, ascending. It may not be changed.
func (s *State) list() []*partition {
	if s.sorted == nil {
		s.sorted = make([]*partition, 0, len(s.parts))
		for _, p := range s.parts {
			s.sorted = append(s.sorted, p)
		}
		slices.SortFunc(s.sorted, func(a, b *partition) int { return protocol.ComparePartitionIDs(a.id, b.id) })
	}
	return s.sorted
}

// Resume begins the soft part anew: everything that is not ended is read again. Call Tick
// afterwards. It is called when the records are applied, and when the settings have changed.
func (s *State) Resume() {
	s.timers, s.sweep, s.tracked, s.seal = nil, 0, 0, nil
	if s.cfg != nil {
		s.seal = newSealer(s.cfg.Secret)
	}
	for _, p := range s.list() {
		p.normalize()
		p.forget()
		for id, n := range p.nodes {
			if id.level > 0 {
				continue
			}
			s.tracked += len(n.entries)
			for i := range n.entries {
				e := &n.entries[i]
				e.ready, e.offered, e.read, e.timer = false, false, false, 0
				s.await(p, e)
				if e.kind == dying {
					p.dying = append(p.dying, e.offset)
				}
			}
		}
		// By their numbers, in which they are written to the dead letters.
		slices.SortFunc(p.dying, func(a, b int64) int { return cmp.Compare(p.find(a).seq, p.find(b).seq) })
	}
}

// find returns a record's entry; nil if it has none. It is valid until an entry of
// the chunk is added or removed.
func (p *partition) find(offset int64) *entry {
	n := p.nodes[nodeOf(0, offset)]
	if n == nil {
		return nil
	}
	i, found := n.at(offset)
	if !found {
		return nil
	}
	return &n.entries[i]
}

func (n *node) at(offset int64) (int, bool) {
	return slices.BinarySearchFunc(n.entries, offset, func(e entry, o int64) int { return int(min(1, max(-1, e.offset-o))) })
}

// enter adds an entry for a record that has none.
func (s *State) enter(p *partition, e entry) *entry {
	n := p.touch(nodeOf(0, e.offset))
	i, _ := n.at(e.offset)
	n.entries = slices.Insert(n.entries, i, e)
	s.tracked++
	return &n.entries[i]
}

// leave removes an entry, and what is counted of it.
func (s *State) leave(p *partition, e *entry) {
	s.uncount(p, e)
	id := nodeOf(0, e.offset)
	n := p.touch(id)
	i, _ := n.at(e.offset)
	n.entries = slices.Delete(n.entries, i, i+1)
	s.tracked--
	p.tidy(id)
}

// count counts an entry whose time is not over, and uncount takes it back.
func (s *State) count(p *partition, e *entry) {
	switch {
	case e.ready:
	case e.kind == given:
		p.given++
	case e.kind == waiting:
		p.waiting++
	}
}

func (s *State) uncount(p *partition, e *entry) {
	switch {
	case e.ready:
	case e.kind == given:
		p.given--
	case e.kind == waiting:
		p.waiting--
	}
}

// remember notes how a record has ended. What has been known longest is forgotten when
// there is no room.
func (s *State) remember(p *partition, offset int64, count int, dead bool) {
	if p.endings.remember(offset, count, dead, s.Level == nil || s.Level() >= level.Endings.Level) {
		forgetEndings(s.list(), dead, s.maxPages)
	}
}

// finish ends a record, which may have an entry. How it ended is remembered before its entry
// goes, and the next record with its key is looked at last, when the position and the bits
// say that this one is ended.
func (s *State) finish(now int64, p *partition, offset int64, dead bool) {
	key := uint64(0)
	if e := p.find(offset); e != nil {
		key = e.item.key
		if _, known := p.endings.of[offset]; known || e.count > 1 || dead {
			s.remember(p, offset, e.count, dead)
		}
		s.leave(p, e)
	}
	p.setEnded(offset)
	p.advance()
	s.unlock(now, p, key, offset)
}

// inFlight is how many records are with workers.
func (s *State) inFlight() (n int) {
	for _, p := range s.parts {
		n += p.given
	}
	return n
}

// chunkCount is how many chunks there are.
func (s *State) chunkCount() (n int) {
	for _, p := range s.parts {
		n += p.chunks
	}
	return n
}

// room is how many records may be tracked.
func (s *State) room() int { return max(minTracked, 4*s.cfg.MaxInFlight) }
