package replica

import (
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"ottla/protocol"
)

// Bounds of a partition's table of producers. Idempotency keys have their own: a client
// that has a key for each request does not take the place of producers, nor they that of
// its keys.
const (
	keyRetention      = 10 * time.Minute // an Idempotency-Key is remembered at least this long
	producerRetention = 15 * time.Minute // and a producer after its last record
	maxKeys           = 300_000          // 500 a second; a key takes about 200 bytes of memory
	maxProducers      = 50_000
	keyFloor          = 1000 // that a partition may have however many others have

	// What they take in a checkpoint. A snapshot has them all in base64, and is one message
	// between nodes, of at most link.MaxBody. There is room for as many that are under way
	// when the table gets full as a server has connections.
	maxKeyBytes      = 14 << 20 // 193,000 keys of 36 characters
	maxProducerBytes = 5 << 20
)

// keyPrefix begins the ids that are Idempotency-Keys; no Producer-Id begins so.
const keyPrefix = "key:"

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
	t.count.add(int64(t.keys.n))
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
	keyEntryBytes       = 36
	producerEntryBytes  = 54 // its epoch and sequence may have any value
	earlierRequestBytes = 24
)

// encodedBytes is about what a producer takes in a checkpoint.
func (s *producerState) encodedBytes() int {
	if strings.HasPrefix(s.id, keyPrefix) {
		return len(s.id) + keyEntryBytes
	}
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

// list is where a producer of that id is.
func (t *producerTable) list(id string) *producerList {
	if strings.HasPrefix(id, keyPrefix) {
		return &t.keys
	}
	return &t.others
}

// each calls fn with all producers, keys first, least recently heard of first.
func (t *producerTable) each(fn func(s *producerState)) {
	for _, l := range [...]*producerList{&t.keys, &t.others} {
		for s := l.front; s != nil; s = s.newer {
			fn(s)
		}
	}
}

// full reports whether no further producer of that kind can be entered at that append time. The
// oldest key has to be older than it is remembered, where there are too many.
func (t *producerTable) full(id string, now int64) bool {
	l := t.list(id)
	most := l.most
	if l == &t.keys && t.count.budget.spent() {
		most = keyFloor
	}
	return (l.n >= most || l.bytes >= l.mostBytes) && l.front.at >= now-l.retention
}

// errFull refuses a producer, or a key, for which there is no room.
func (t *producerTable) errFull(id string) *protocol.Error {
	l := t.list(id)
	what, instead := "producers", "use fewer producer ids"
	if l == &t.keys {
		what, instead = "idempotency keys", "use a Producer-Id with a sequence where there are many requests"
	}
	retention := time.Duration(l.retention) * time.Millisecond
	return protocol.Errorf(protocol.CodeTooManyProducers,
		"the partition remembers %d %s, as many as it can: %s, or wait until it has forgotten those not heard of for %v", l.n, what, instead, retention).
		With("limit", l.n)
}
