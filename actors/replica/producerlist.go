package replica

import (
	"runtime"
	"sync/atomic"
	"time"

	"ottla/protocol"
)

// Bounds of a partition's table of producers; keytable.go has those of Idempotency-Keys.
const (
	producerRetention = 15 * time.Minute // a producer is remembered after its last record
	maxProducers      = 50_000
	maxProducerBytes  = 5 << 20 // in a checkpoint
)

// KeyBudget bounds the Idempotency-Keys that all replicas of a process remember together.
type KeyBudget struct {
	max  int64
	used atomic.Int64
}

// NewKeyBudget makes a budget of that many keys, replicas counted one by one; 0: any number.
func NewKeyBudget(keys int64) *KeyBudget { return &KeyBudget{max: keys} }

// Used is how many keys are remembered.
func (b *KeyBudget) Used() int64 { return b.used.Load() }

func (b *KeyBudget) spent() bool { return b != nil && b.max > 0 && b.used.Load() >= b.max }

// keyCount is a table's part of a budget.
type keyCount struct {
	budget *KeyBudget
	n      atomic.Int64
}

func (c *keyCount) add(n int64) {
	if c.budget != nil {
		c.n.Add(n)
		c.budget.used.Add(n)
	}
}

// end gives everything back.
func (c *keyCount) end() {
	if c.budget != nil {
		c.budget.used.Add(-c.n.Swap(0))
	}
}

// countIn has the table take its keys from a budget. They are given back by ended, or when
// nobody has the table any more: a replica that has panicked does not say that it ends.
func (t *producerTable) countIn(b *KeyBudget) {
	t.count = &keyCount{budget: b}
	t.count.add(int64(t.keys.len()))
	runtime.AddCleanup(t, (*keyCount).end, t.count)
}

func (t *producerTable) ended() {
	t.count.end()
	t.count = &keyCount{}
}

// producerList is a list of producers, the one heard of least recently first.
type producerList struct {
	front, back *producerState
	n           int
	retention   int64 // milliseconds
	most        int
	bytes       int // of what they take in a checkpoint
	mostBytes   int
}

// About what an entry takes in a checkpoint besides its id.
const (
	producerEntryBytes  = 54 // its epoch and sequence may have any value
	earlierRequestBytes = 24
)

// encodedBytes is about what a producer takes in a checkpoint.
func (s *producerState) encodedBytes() int {
	return len(s.id) + producerEntryBytes + len(s.earlier)*earlierRequestBytes
}

func (l *producerList) push(s *producerState) {
	s.older, s.newer = l.back, nil
	if l.back != nil {
		l.back.newer = s
	} else {
		l.front = s
	}
	l.back = s
	l.n++
	l.bytes += s.encodedBytes()
}

func (l *producerList) remove(s *producerState) {
	if s.older != nil {
		s.older.newer = s.newer
	} else {
		l.front = s.newer
	}
	if s.newer != nil {
		s.newer.older = s.older
	} else {
		l.back = s.older
	}
	s.older, s.newer = nil, nil
	l.n--
	l.bytes -= s.encodedBytes()
}

// full reports whether no further producer of that kind can be entered at that append time. The
// oldest has to be older than it is remembered, where there are too many.
func (t *producerTable) full(id string, now int64) bool {
	if !isKey(id) {
		l := &t.others
		return (l.n >= l.most || l.bytes >= l.mostBytes) && l.front.at >= now-l.retention
	}
	most, mostBytes := t.keys.most, maxKeyBytes
	if t.count.budget.spent() {
		most = keyFloor
	}
	if t.keepsIDs() {
		mostBytes = maxKeyTextBytes
	}
	return (t.keys.len() >= most || t.keys.bytes >= mostBytes) && t.keys.oldest().at >= now-t.keys.retention
}

// errFull refuses a producer, or a key, for which there is no room.
func (t *producerTable) errFull(id string) *protocol.Error {
	if isKey(id) {
		return t.keys.errFull()
	}
	return errFull(t.others.n, "producers", "use fewer producer ids", t.others.retention)
}

func errFull(n int, what, instead string, retentionMs int64) *protocol.Error {
	return protocol.Errorf(protocol.CodeTooManyProducers,
		"the partition remembers %d %s, as many as it can: %s, or wait until it has forgotten those not heard of for %v",
		n, what, instead, time.Duration(retentionMs)*time.Millisecond).
		With("limit", n)
}
