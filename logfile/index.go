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
	Pos     int64  // where that frame begins
	Line    int64  // where the record's line begins (the body, for a frame's first)
	MaxTime int64  // no record of the segment below Offset has a greater timestamp
}

// indexer builds a segment's index while frames are appended or scanned. The
// entries are shared with readers: only ever appended to, or copied.
type indexer struct {
	interval int64
	entries  []entry
	max      [timestampLen]byte // greatest timestamp text so far, all zero: none
	floor    int64              // a lower bound for it, after a truncation
}

func newIndexer(interval int) *indexer {
	return &indexer{interval: int64(interval), floor: noTime}
}

// add notes a frame at pos whose body begins at bodyPos. Bodies of several
// blocks get an entry per block, so that a record is found without reading
// all of it.
func (x *indexer) add(f *Frame, pos, bodyPos int64) {
	if n := len(x.entries); n == 0 || pos-x.entries[n-1].Pos >= x.interval {
		x.entries = append(x.entries, entry{f.BaseOffset, f.Index, pos, bodyPos, x.maxTime()})
	}
	if !f.Kind.hasRecords() {
		return
	}
	dense := f.Kind == KindRecords // else the frame's place in the index is enough
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
		return x.floor
	}
	ms, ok := parseTimestamp(x.max[:])
	if !ok {
		return math.MaxInt64 // unreadable: claim nothing
	}
	return max(ms, x.floor)
}

// cutIndex returns an indexer for the part of a segment below pos. The
// greatest timestamp may then be too great, which costs a search some time
// but never skips a record.
func cutIndex(entries []entry, pos int64, interval int, maxTime int64) *indexer {
	n := sort.Search(len(entries), func(i int) bool { return entries[i].Pos >= pos })
	x := newIndexer(interval)
	x.entries = append(x.entries, entries[:n]...)
	x.floor = maxTime
	return x
}

// byOffset finds the last entry that does not lie behind offset.
func byOffset(entries []entry, offset int64) (entry, int) {
	i := sort.Search(len(entries), func(i int) bool { return entries[i].Offset > offset })
	if i == 0 {
		return entry{}, -1
	}
	return entries[i-1], i - 1
}

// byIndex finds the last entry that does not lie behind a raft index.
func byIndex(entries []entry, index uint64) (entry, bool) {
	i := sort.Search(len(entries), func(i int) bool { return entries[i].Index > index })
	if i == 0 {
		return entry{}, false
	}
	return entries[i-1], true
}

// byTime finds the last entry below which every record is older than ts.
func byTime(entries []entry, ts int64) (entry, bool) {
	i := sort.Search(len(entries), func(i int) bool { return entries[i].MaxTime >= ts })
	if i == 0 {
		return entry{}, false
	}
	return entries[i-1], true
}
