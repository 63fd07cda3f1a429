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

// survey is what an index needs of a body's lines. Whoever goes through them anyway
// takes it along, since another pass would cost as much as the first.
type survey struct {
	records int
	newest  [timestampLen]byte // greatest timestamp so far, as text; all zero: none
	blocks  []blockStart
}

// blockStart is the first record that begins in a block of a body, the first block
// left out.
type blockStart struct {
	at     int // bytes from the beginning of the body
	record int // how many precede it in the body
	newest [timestampLen]byte
}

func (s *survey) reset() { *s = survey{blocks: s.blocks[:0]} }

// line takes the next record line of the body, n bytes without its LF.
func (s *survey) line(body []byte, at, n int) {
	if block := at / blockSize; block > 0 && (len(s.blocks) == 0 || block > s.blocks[len(s.blocks)-1].at/blockSize) {
		s.blocks = append(s.blocks, blockStart{at, s.records, s.newest})
	}
	if n >= timestampLen && string(body[at:at+timestampLen]) > string(s.newest[:]) {
		copy(s.newest[:], body[at:])
	}
	s.records++
}

// add adds a frame at pos whose body begins at bodyPos.
func (x *indexer) add(f *Frame, pos, bodyPos int64) {
	var s survey
	body := f.Body
	for at := 0; at < len(body) && f.Kind.hasRecords(); {
		n := bytes.IndexByte(body[at:], '\n')
		if n < 0 {
			n = len(body) - at
		}
		if body[at] != '#' {
			s.line(body, at, n)
		}
		at += n + 1
	}
	x.addSurveyed(f, &s, pos, bodyPos)
}

// addSurveyed is add for a body whose survey is known. A body of several blocks gets
// an entry for each block, so that a record is found without reading the whole body.
func (x *indexer) addSurveyed(f *Frame, s *survey, pos, bodyPos int64) {
	if n := len(x.entries); n == 0 || pos-x.entries[n-1].Pos >= x.interval {
		x.entries = append(x.entries, entry{f.BaseOffset, f.Index, pos, bodyPos, x.maxTime()})
	}
	if f.Kind == KindRecords { // compacted offsets have gaps, so they cannot be counted along
		for i := range s.blocks {
			b := &s.blocks[i]
			x.seen(&b.newest)
			x.entries = append(x.entries, entry{f.BaseOffset + int64(b.record), f.Index, pos, bodyPos + int64(b.at), x.maxTime()})
		}
	}
	x.seen(&s.newest)
}

// seen notes the greatest timestamp of some records, as text.
func (x *indexer) seen(newest *[timestampLen]byte) {
	if string(newest[:]) > string(x.max[:]) {
		x.max = *newest
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
