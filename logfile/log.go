package logfile

import (
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"time"
)

const (
	defaultSegmentBytes  = 128 << 20
	defaultIndexInterval = 4096
	defaultClockJump     = 10 * time.Minute
)

// segment is one file of the log, a segment or a part. Once the segment is
// sealed all fields are constant, and only the file itself may be unlinked.
type segment struct {
	file    *File
	part    bool      // written by compaction: first and last count its frames, offsets have gaps
	base    int64     // offset of its first record, which is also its name
	first   uint64    // raft index of its first entry
	prev    TermStart // the entry before the first
	size    int64
	last    uint64 // raft index of its last entry, first-1 when empty
	next    int64  // offset after its last record
	lastAt  int64  // greatest append time of its entries
	endAt   int64  // append time of its last entry; lastAt where that is not known any more
	maxTime int64  // no record in the segment has a greater timestamp
}

// framePos is where a frame begins that may still be truncated.
type framePos struct {
	pos    int64
	offset int64 // its base offset
}

// Log is one replica's log, for one goroutine at a time. Its methods stage
// steps in a Batch and do no I/O unless they say so.
type Log struct {
	fsys FS
	dir  string
	id   Identity
	opt  Options
	sums checksums
	st   *state

	batches uint64
	sealed  []*segment // oldest first; copied before a change, since views share it
	active  segment
	index   *indexer    // of the active segment
	surveys []survey    // of what Append stages, for their memory
	terms   []TermStart // from before the first entry to the last

	logStart int64
	lastAt   int64 // append time of the last entry
	since    int64 // append time of the first records of the active segment, if it has any

	compacted  *CompactedSet // the generation that is read, nil if none; it hides what segments hold below its Next
	replaced   []*segment    // parts of older generations, still on disk
	compaction []byte        // for checkpoints; opaque

	hardTerm, vote uint64
	applied        uint64
	confState      []byte
	producers      []byte
	producersFrom  func() []byte // instead of producers, when set

	synced, marked uint64
	unmarked       bool // a hard state or a checkpoint stands after the last sync mark
	committed      uint64

	damaged func(error) // set by OnDamage
	recent  *recent     // nil: nothing is kept

	uncommittedFirst uint64     // raft index of uncommitted[0]
	uncommitted      []framePos // where every entry from there on begins
}

func newLog(fsys FS, dir string, id Identity, opt Options) *Log {
	if opt.SegmentBytes <= 0 {
		opt.SegmentBytes = defaultSegmentBytes
	}
	if opt.IndexInterval <= 0 {
		opt.IndexInterval = defaultIndexInterval
	}
	if opt.ClockJump <= 0 {
		opt.ClockJump = defaultClockJump
	}
	if opt.LargeBody <= 0 {
		opt.LargeBody = LargeBody
	}
	if opt.Cache == nil {
		opt.Cache = NewHandleCache(defaultHandles, defaultHandles)
	}
	return &Log{fsys: fsys, dir: dir, id: id, opt: opt, sums: newChecksums(id), st: &state{next: 1}, recent: opt.Recent.log()}
}

func (l *Log) newFile(base int64) *File {
	return &File{fsys: l.fsys, path: segmentPath(l.dir, base), st: l.st, cache: l.opt.Cache, changes: 1}
}

// segmentPath is the name of the segment that begins with an offset.
func segmentPath(dir string, base int64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d.log", base))
}

func indexPath(segment string) string { return segment[:len(segment)-len(".log")] + ".idx" }

// Identity is the identity that stands in the files.
func (l *Log) Identity() Identity { return l.id }

// FirstIndex is the raft index of the first entry present, or of the next one
// when there is none.
func (l *Log) FirstIndex() uint64 { return l.firstSegment().first }

// LastIndex is the raft index of the last entry staged.
func (l *Log) LastIndex() uint64 { return l.active.last }

// NextOffset is the offset after the last record staged.
func (l *Log) NextOffset() int64 { return l.active.next }

// LogStart is the offset of the first record that readers may see.
func (l *Log) LogStart() int64 { return l.logStart }

// LastAppendTime is the append time of the last entry staged, in milliseconds since
// 1970; 0 for an empty log.
func (l *Log) LastAppendTime() int64 { return l.lastAt }

// HardState is the term and vote staged last.
func (l *Log) HardState() (term, vote uint64) { return l.hardTerm, l.vote }

// Bytes is the size of all segments.
func (l *Log) Bytes() int64 {
	n := l.active.size
	for _, s := range append(l.parts(), l.sealed...) {
		n += s.size
	}
	return n
}

// SetSegmentBytes changes the size in bytes at which segments are rolled; 0 sets
// the default.
func (l *Log) SetSegmentBytes(n int64) {
	if n <= 0 {
		n = defaultSegmentBytes
	}
	l.opt.SegmentBytes = n
}

func (l *Log) firstSegment() *segment {
	if len(l.sealed) > 0 {
		return l.sealed[0]
	}
	return &l.active
}

// Term returns the term of an entry, FirstIndex-1 to LastIndex.
func (l *Log) Term(index uint64) (uint64, bool) {
	if index+1 < l.FirstIndex() || index > l.LastIndex() {
		return 0, false
	}
	i := sort.Search(len(l.terms), func(i int) bool { return l.terms[i].Index > index })
	if i == 0 {
		return 0, false
	}
	return l.terms[i-1].Term, true
}

// noteTerm extends the term runs by an entry.
func (l *Log) noteTerm(index, term uint64) {
	if n := len(l.terms); n == 0 || l.terms[n-1].Term != term {
		l.terms = append(l.terms, TermStart{Index: index, Term: term})
	}
}

// cutTerms forgets the terms of entries from index on.
func (l *Log) cutTerms(index uint64) {
	n := sort.Search(len(l.terms), func(i int) bool { return l.terms[i].Index >= index })
	l.terms = l.terms[:n]
}

// trimTerms forgets the terms of entries before FirstIndex-1.
func (l *Log) trimTerms() {
	first := l.FirstIndex() - 1
	n := sort.Search(len(l.terms), func(i int) bool { return l.terms[i].Index > first })
	if n > 1 {
		l.terms = slices.Clone(l.terms[n-1:])
	}
	if len(l.terms) > 0 && l.terms[0].Index < first {
		l.terms[0].Index = first
	}
}

// ProducersFrom sets a function that returns the producer table as of the last
// SetApplied, or later, for checkpoints. Encoding the table at each SetApplied
// would cost more than everything else there.
func (l *Log) ProducersFrom(fn func() []byte) { l.producersFrom = fn }

// OnDamage sets a function that is called, on the reader's goroutine, when a view
// or a frame reader made afterwards finds damage.
func (l *Log) OnDamage(fn func(error)) { l.damaged = fn }

// SetApplied sets what the next checkpoint says: raft's membership and the
// producer table after the entry with index applied. It is kept in memory until
// then; the slices must not be changed afterwards.
func (l *Log) SetApplied(applied uint64, confState, producers []byte) {
	l.applied, l.confState, l.producers = applied, confState, producers
}

// Synced tells the log that entries up to index are durable, which the header of
// the next frame then says. After a truncation only a sync of the entries
// appended since counts for their indexes.
func (l *Log) Synced(index uint64) { l.synced = max(l.synced, min(index, l.active.last)) }

// Committed tells the log that no entry up to index will ever be truncated.
func (l *Log) Committed(index uint64) {
	index = min(index, l.active.last)
	l.committed = max(l.committed, index)
	if index >= l.uncommittedFirst {
		n := index - l.uncommittedFirst + 1
		l.uncommitted = l.uncommitted[n:]
		l.uncommittedFirst += n
	}
}

// checkpoint describes the log at its end.
func (l *Log) checkpoint(terms bool) *Checkpoint {
	term, _ := l.Term(l.active.last)
	if l.producersFrom != nil {
		l.producers = l.producersFrom()
	}
	cp := &Checkpoint{
		Index: l.active.last, Term: term, HardTerm: l.hardTerm, Vote: l.vote,
		Applied: l.applied, ConfState: l.confState, Producers: l.producers,
		NextOffset: l.active.next, LogStart: l.logStart, Compaction: l.compaction,
	}
	if terms {
		cp.Terms = l.terms
	}
	return cp
}

// Close closes all handles. Readers in the middle of a read finish it. Close
// waits for a batch that is being executed; later ones fail with ErrClosed, so
// the directory can be renamed and another log put in its place.
func (l *Log) Close() error {
	l.recent.clear()
	l.st.mu.Lock()
	l.st.closed = true
	l.st.mu.Unlock()
	var err error
	if l.active.file != nil { // nil only while Open fails
		err = l.active.file.close()
	}
	for _, s := range append(l.parts(), l.sealed...) {
		if cerr := s.file.close(); err == nil {
			err = cerr
		}
	}
	return err
}
