package replica

import (
	"fmt"
	"slices"
	"time"

	"ottla/protocol"
)

// leading is what a replica has only while it leads: gathered proposals, the
// entries in flight, linearizable reads. It is data and decisions: it does not
// know raft, the log or its Replica, which calls it and carries out what it
// returns. Losing the leadership ends it (stepDown); the next term begins with
// a new one.
//
// Group commit needs no timer. The first proposal of an idle partition is
// proposed at once, and whatever arrives while that entry is on its way to a
// majority's disks becomes the next entry.
type leading struct {
	term          uint64
	maxBatchBytes int
	serving       bool // an entry of this term is committed; nothing is answered before

	queue    proposalQueue
	flush    flushRequest
	placing  placing
	pending  []PendingEntry              // in flight, in order of index, at most maxEntriesInFlight
	inFlight map[string]*inFlightRequest // of pending, by producer id
	latency  commitLatency

	recentMax int    // greatest number of proposals in a recent entry, decaying by a quarter with each entry
	accepted  uint64 // proposals that ever entered the queue and were not handed back by a hand-over
	answered  uint64 // of these, in order: the first so many

	reads     readQueue
	handOver  handOver
	narrowing uint64         // index of the entry that leaves this replica alone; nothing is proposed until it is applied
	proof     membersProof   // of the present membership
	snapshots map[uint64]int // ticks for which a follower has owed the answer to a snapshot
}

// flushRequest says how far the owner is with calling Flush. Flush resets it.
type flushRequest struct {
	asked  bool // Effects.Flush was set: what arrives from now on is part of it
	yields int  // how often postponeFlush has put it off
}

// handOver is an attempt to give the leadership away. While one is active
// nothing is gathered or proposed.
type handOver struct {
	active bool
	to     uint64 // the transferee until raft is told, then 0
	now    bool   // nothing in flight is waited for
	ticks  int    // since it began; after an election timeout it has failed
}

const maxEntriesInFlight = 2

// secondEntryBytes is how much must have gathered before a second entry may be
// proposed while the first is in flight. Entries of a few small records cost
// more than the disk; big ones overlap the network and encoding with the disk.
const secondEntryBytes = 64 << 10

// maxQueuedBytes bounds what clients may have gathered at one leader beyond its
// entries in flight. The front end bounds what is in flight for those who wait,
// but not what nobody waits for any more, on a disk that hardly moves.
const maxQueuedBytes = 64 << 20

// maxYields bounds for how long PostponeFlush may put a flush off: for
// microseconds when nothing else runs.
const maxYields = 10

// errQueueFull refuses a client's records; nothing happened.
var errQueueFull = protocol.Errorf(protocol.CodeOverloaded,
	"the partition's disk does not keep up: %d MiB wait for it already", maxQueuedBytes>>20)

func newLeading(term uint64, maxBatchBytes int) *leading {
	return &leading{term: term, maxBatchBytes: maxBatchBytes}
}

// gather puts p in the queue, or answers it with a refusal. It reports whether
// the owner has to be asked to flush.
func (l *leading) gather(p Proposal) (flush bool) {
	if l.handOver.active {
		p.Answer(protocol.ProduceResult{Err: protocol.ErrNotLeader})
		return false
	}
	if p.Request != nil && len(l.queue.items) > 0 && l.queue.bytes+p.size() > maxQueuedBytes {
		p.Answer(protocol.ProduceResult{Err: errQueueFull})
		return false
	}
	if p.Request != nil && p.Request.NoAck {
		p.Answer(protocol.ProduceResult{BaseOffset: -1}) // answered now; the answer that follows the commit is ignored
	}
	l.queue.push(p, l.recentMax)
	l.accepted++
	return l.askFlush()
}

// gatheredRecords is how many records are gathered and not proposed yet.
func (l *leading) gatheredRecords() (n int64) {
	for i := range l.queue.items {
		if lines := l.queue.items[i].Lines; lines != nil {
			n += int64(lines.Len())
		}
	}
	return n
}

// askFlush notes that a flush is wanted, and reports whether nobody had asked
// for one yet.
func (l *leading) askFlush() bool {
	if l.flush.asked {
		return false
	}
	l.flush.asked = true
	return true
}

// postponeFlush decides for Replica.PostponeFlush, and counts how often it did.
func (l *leading) postponeFlush() bool {
	if len(l.pending) > 0 || len(l.queue.items)*2 >= l.recentMax || l.flush.yields >= maxYields {
		return false
	}
	l.flush.yields++
	return true
}

// mayPropose reports whether there is something to propose and the entries in
// flight leave room for it.
func (l *leading) mayPropose() bool {
	if len(l.queue.items) == 0 || !l.serving || l.narrowing > 0 {
		return false
	}
	n := len(l.pending)
	return n == 0 || n < maxEntriesInFlight && l.queue.bytes >= secondEntryBytes
}

// nextEntry makes an entry of the oldest proposals: at most maxBatchBytes, or
// a single one that is larger. Its records begin at offset base. They stay in
// the queue until the caller says by proposed, postponed or refused what raft
// made of the entry. Data is nil when there is nothing to propose: everything
// was answered, or has to wait for an entry in flight.
func (l *leading) nextEntry(now time.Time, appendTime, base int64, known *producerTable) (e PendingEntry, data []byte) {
	l.dropLate(now)
	n, size := l.admitted(known, appendTime)
	if n == 0 {
		return e, nil
	}
	e = PendingEntry{term: l.term, base: base, bytes: size, proposals: l.queue.items[:n:n], began: now}
	for i := range e.proposals {
		if p := &e.proposals[i]; p.Lines != nil {
			e.records += p.Lines.Len()
		}
	}
	return e, l.encode(&e, appendTime, known)
}

// proposed notes that raft has taken the entry of nextEntry, at an index.
func (l *leading) proposed(e PendingEntry, index uint64) {
	e.index = index
	l.queue.drop(len(e.proposals), e.bytes)
	l.recentMax = max(len(e.proposals), l.recentMax*3/4)
	l.pending = append(l.pending, e)
}

// postponed notes that raft did not take the entry of nextEntry, but may when
// one in flight has ended: its proposals stay gathered.
func (l *leading) postponed(e *PendingEntry) { l.forgetInFlight(e.proposals) }

// refused notes that raft did not take the entry of nextEntry and will not. Its
// proposals are refused; nothing happened to them.
func (l *leading) refused(e *PendingEntry) {
	l.forgetInFlight(e.proposals)
	l.queue.drop(len(e.proposals), e.bytes)
	l.answered += uint64(len(e.proposals))
	failAll(e.proposals, protocol.ErrNotLeader)
}

// admitted returns how many of the oldest proposals, and how many bytes, make
// the next entry, after it has answered those that are not new. Now is its append time,
// in milliseconds since 1970.
func (l *leading) admitted(known *producerTable, now int64) (n, size int) {
	for n < len(l.queue.items) && l.fits(n, size) {
		if l.queue.items[n].producer() != "" {
			return l.admittedOnce(known, now, n, size)
		}
		size += l.queue.items[n].size()
		n++
	}
	return n, size
}

// fits reports whether proposal n of the queue may go into an entry with all
// before it, which have that size. A control entry stands alone.
func (l *leading) fits(n, size int) bool {
	p := &l.queue.items[n]
	return n == 0 || p.control == nil && l.queue.items[0].control == nil && size+p.size() <= l.maxBatchBytes
}

// admittedOnce goes on for admitted where proposals of producers are among the
// oldest. Those that are not new are answered and leave the queue. A producer
// has one request in flight: a further one stays in the queue, with all behind
// it, until that one is committed.
func (l *leading) admittedOnce(known *producerTable, now int64, n, size int) (int, int) {
	seen := map[string]bool{}
	for n < len(l.queue.items) && l.fits(n, size) {
		p := &l.queue.items[n]
		if id := p.producer(); id != "" {
			if seen[id] {
				break
			}
			switch l.admit(known, now, p) {
			case admitWait:
				return n, size
			case admitAnswered:
				l.answered++
				l.queue.remove(n)
				continue
			}
			seen[id] = true
		}
		size += p.size()
		n++
	}
	return n, size
}

// startServing notes that an entry of that term was applied. It reports whether
// that is the first of the leader's own term: from then on the leader knows
// everything that is committed, and may answer.
func (l *leading) startServing(term uint64) (started bool) {
	if l.serving || term != l.term {
		return false
	}
	l.serving = true
	return true
}

// committed appends to dst what is to be answered now that the entry of that
// index and term is applied. Only the pending entry of exactly this index and
// term is in the log. One that should stand at or before this index but does
// not has lost its place to another term's.
func (l *leading) committed(dst []PendingEntry, index, term uint64, now time.Time) []PendingEntry {
	for len(l.pending) > 0 && l.pending[0].index <= index {
		e := l.pending[0]
		l.pending[0] = PendingEntry{}
		l.pending = l.pending[1:]
		l.answered += uint64(len(e.proposals))
		if e.index != index || e.term != term {
			failAll(e.proposals, protocol.Unknownf("another entry took the place of this one"))
			continue
		}
		l.latency.note(e.began, now)
		dst = append(dst, e)
		for i := range e.proposals {
			if p := &e.proposals[i]; p.producer() != "" {
				l.requestCommitted(&dst[len(dst)-1], p.Request)
			}
		}
	}
	return dst
}

// isAnswered reports whether the first upTo proposals have been answered.
func (l *leading) isAnswered(upTo uint64) bool {
	return l.answered >= upTo || len(l.pending)+len(l.queue.items) == 0
}

// idle reports whether nobody waits for anything.
func (l *leading) idle() bool {
	return len(l.queue.items)+len(l.pending)+len(l.reads.waiting) == 0
}

// beginHandOver stops gathering in favour of another replica. What was only
// gathered is refused with outcome none, so that it can be asked of the next
// leader; what is in flight is waited for.
func (l *leading) beginHandOver(to uint64) {
	l.handOver = handOver{active: true, to: to}
	l.accepted -= uint64(len(l.queue.items)) // as if they had never come: those before them are still under way
	gathered := l.queue.clear()
	failAll(gathered, protocol.ErrNotLeader)
}

// nextTransfer returns the replica that raft is to hand the leadership to now
// that no entry is in flight. It does so once for an attempt, and returns 0
// otherwise.
func (l *leading) nextTransfer() (to uint64) {
	if l.handOver.active && (len(l.pending) == 0 || l.handOver.now) {
		to, l.handOver.to = l.handOver.to, 0
	}
	return to
}

// handOverTick ends an attempt to hand over that came to nothing.
func (l *leading) handOverTick(electionTicks int) {
	if !l.handOver.active {
		return
	}
	if l.handOver.ticks++; l.handOver.ticks > electionTicks {
		l.handOver = handOver{}
	}
}

// stepDown answers everyone: what was proposed may or may not survive, what
// was only gathered did not happen. Entries up to committed were committed, by others,
// while this replica led: they are what it has proposed, and only its own disk, which may hang,
// had kept them from being applied. They are returned, to be answered when nobody reads here
// any more, where they are not to be seen yet.
func (l *leading) stepDown(committed uint64, unknown *protocol.Error) (others []PendingEntry) {
	for i := range l.pending {
		if e := &l.pending[i]; e.index <= committed {
			for j := range e.proposals {
				if req := e.proposals[j].Request; req != nil && e.proposals[j].producer() != "" {
					l.requestCommitted(e, req)
				}
			}
			others = append(others, *e)
			continue
		}
		failAll(l.pending[i].proposals, unknown)
	}
	l.dropInFlight(unknown)
	gathered := l.queue.clear()
	failAll(gathered, protocol.ErrNotLeader)
	l.reads.fail(protocol.ErrNotLeader)
	l.pending = nil
	return others
}

// String helps in test failures.
func (l *leading) String() string {
	return fmt.Sprintf("leading(term=%d serving=%v queued=%d in flight=%d)", l.term, l.serving, len(l.queue.items), len(l.pending))
}

// proposalQueue holds the proposals that are in no entry yet, oldest first.
type proposalQueue struct {
	items []Proposal // nil when empty: the array belongs to the entry that took the last of it
	bytes int        // sum of the items' sizes
}

// push adds p. Capacity is how many proposals are likely to come.
func (q *proposalQueue) push(p Proposal, capacity int) {
	if q.items == nil {
		q.items = make([]Proposal, 0, capacity)
	}
	q.items = append(q.items, p)
	q.bytes += p.size()
}

// drop removes the n oldest proposals, which have that size together.
func (q *proposalQueue) drop(n, size int) {
	q.items = q.items[n:]
	q.bytes -= size
	q.release()
}

// remove takes out the proposal at place i. It moves those behind it, so it
// must not be called while an entry under construction shares the array.
func (q *proposalQueue) remove(i int) {
	q.bytes -= q.items[i].size()
	q.items = slices.Delete(q.items, i, i+1)
	q.release()
}

func (q *proposalQueue) release() {
	if len(q.items) == 0 {
		*q = proposalQueue{}
	}
}

// clear empties the queue and returns what was in it.
func (q *proposalQueue) clear() []Proposal {
	items := q.items
	*q = proposalQueue{}
	return items
}
