package logfile

import (
	"bytes"
	"math"
	"sort"
)

// noTime is the greatest timestamp of no records.
const noTime = math.MinInt64

// entry is one point of a segment's sparse index.
type entry struct {
	Offset  int64  // of a record
	Index   uint64 // raft index of the frame it is in
	Pos     int64  // position in the file at which that frame begins
	Line    int64  // position of the record's line, or of the body for the first record of a frame
	MaxTime int64  // no record of the segment below Offset has a greater timestamp
}

// indexer builds a segment's index while frames are appended or scanned. Readers
// share the entries: they are only ever appended to, or copied.
type indexer struct {
	interval int64
	entries  []entry
	max      [timestampLen]byte // greatest timestamp so far, as text; all zero: none
	minMax   int64              // the greatest timestamp is at least this, after a truncation
}

func newIndexer(interval int) *indexer {
	return &indexer{interval: int64(interval), minMax: noTime}
}

// add adds a frame at pos whose body begins at bodyPos. A body of several blocks
// gets an entry for each block, so that a record is found without reading the
// whole body.
func (x *indexer) add(f *Frame, pos, bodyPos int64) {
	if n := len(x.entries); n == 0 || pos-x.entries[n-1].Pos >= x.interval {
		x.entries = append(x.entries, entry{f.BaseOffset, f.Index, pos, bodyPos, x.maxTime()})
	}
	if !f.Kind.hasRecords() {
		return
	}
	dense := f.Kind == KindRecords // compacted offsets have gaps, so they cannot be counted along
	body, offset, block := f.Body, f.BaseOffset, 0
	for at := 0; at < len(body); {
		n := bytes.IndexByte(body[at:], '\n')
		if n < 0 {
			n = len(body) - at
		}
		if body[at] != '#' {
			if dense && at/blockSize > block {
				block = at / blockSize
				x.entries = append(x.entries, entry{offset, f.Index, pos, bodyPos + int64(at), x.maxTime()})
			}
			if n >= timestampLen && bytes.Compare(body[at:at+timestampLen], x.max[:]) > 0 {
				copy(x.max[:], body[at:])
			}
			offset++
		}
		at += n + 1
	}
}

// maxTime is the greatest timestamp so far, in milliseconds.
func (x *indexer) maxTime() int64 {
	if x.max[0] == 0 {
		return x.minMax
	}
	ms, ok := parseTimestamp(x.max[:])
	if !ok {
		return math.MaxInt64 // the text is no timestamp: nothing may be skipped by time
	}
	return max(ms, x.minMax)
}

// cutIndex returns an indexer for the part of a segment below pos. Its greatest
// timestamp may be too great afterwards, which costs a search by time some reads
// and never makes it skip a record.
func cutIndex(entries []entry, pos int64, interval int, maxTime int64) *indexer {
	n := sort.Search(len(entries), func(i int) bool { return entries[i].Pos >= pos })
	x := newIndexer(interval)
	x.entries = append(x.entries, entries[:n]...)
	x.minMax = maxTime
	return x
}

// byOffset returns the last entry at or below offset and its number, -1 if there
// is none.
func byOffset(entries []entry, offset int64) (entry, int) {
	i := sort.Search(len(entries), func(i int) bool { return entries[i].Offset > offset })
	if i == 0 {
		return entry{}, -1
	}
	return entries[i-1], i - 1
}

// byIndex returns the last entry at or below a raft index.
func byIndex(entries []entry, index uint64) (entry, bool) {
	i := sort.Search(len(entries), func(i int) bool { return entries[i].Index > index })
	if i == 0 {
		return entry{}, false
	}
	return entries[i-1], true
}

// byTime returns the last entry below which every record is older than ts.
func byTime(entries []entry, ts int64) (entry, bool) {
	i := sort.Search(len(entries), func(i int) bool { return entries[i].MaxTime >= ts })
	if i == 0 {
		return entry{}, false
	}
	return entries[i-1], true
}
