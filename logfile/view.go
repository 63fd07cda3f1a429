package logfile

import (
	"errors"
	"fmt"
	"io"
	"sort"
)

// View is what readers may see of a log at one moment: the records from Earliest
// up to, not including, the high watermark. It is immutable and safe for
// concurrent use. A read that has begun goes on when its segment is unlinked.
type View struct {
	parts    []*segment // hold what compaction kept of the records below floor
	floor    int64
	sealed   []*segment
	active   segment
	entries  []entry // of the active segment
	start    int64
	hw       int64
	sums     checksums
	interval int
	damaged  func(error)
	recent   *recent // of the log
}

// Earliest is the offset of the first record that can be read.
func (v *View) Earliest() int64 { return v.start }

// HighWatermark is the offset after the last record that can be read.
func (v *View) HighWatermark() int64 { return v.hw }

// Read appends records to dst, from offset on and below the high watermark:
// at most maxRecords, and not beyond the one whose line exceeds maxBytes in
// total, but at least one if there is one. The tokens lie in memory that
// belongs to the caller. An offset at or after the high watermark gives none,
// one below Earliest ErrBelowStart; where compaction has left a gap the record
// after it is next. Damaged bytes are a *CorruptError; ErrStale says that a
// file was removed since: take a newer view.
func (v *View) Read(dst []Record, offset int64, maxRecords, maxBytes int) ([]Record, error) {
	r := &recordReader{emit: func(rec *Record) { dst = append(dst, *rec) }, recordsLeft: maxRecords, bytesLeft: maxBytes, ownBuffers: true}
	err := v.read(r, offset)
	return dst, err
}

// Each calls emit with each record that Read would return. The records lie in
// buffers that are used again: record and tokens are valid until emit returns.
func (v *View) Each(offset int64, maxRecords, maxBytes int, emit func(*Record)) error {
	return v.read(&recordReader{emit: emit, recordsLeft: maxRecords, bytesLeft: maxBytes}, offset)
}

func (v *View) read(r *recordReader, offset int64) error {
	if offset < v.start {
		return fmt.Errorf("offset %d, earliest is %d: %w", offset, v.start, ErrBelowStart)
	}
	if offset >= v.hw || r.recordsLeft <= 0 {
		return nil
	}
	r.next, r.end = offset, v.hw
	for !r.full && r.next < r.end {
		if v.inMemory(r) {
			continue
		}
		s, entries, err := v.segmentAt(r.next)
		if err == nil {
			err = v.readSegment(r, s, entries)
		}
		if bad := (*CorruptError)(nil); errors.As(err, &bad) && s != &v.active {
			if entries, rerr := s.reindex(v.sums, v.interval); rerr == nil {
				err = v.readSegment(r, s, entries)
			}
		}
		if s != &v.active {
			err = s.readError(err)
		}
		if err != nil {
			if r.emitted {
				return nil // the next read begins at the damage and reports it
			}
			reportDamage(v.damaged, err)
			return stale(err)
		}
	}
	return nil
}

// stale turns the error of a file that was removed although the view has it into
// ErrStale. Whether its records are gone, or compacted into other files, only a
// newer view can say.
func stale(err error) error {
	if errors.Is(err, ErrBelowStart) {
		return fmt.Errorf("%w: %s", ErrStale, err.Error())
	}
	return err
}

// segmentAt finds the segment that holds an offset, and its index.
func (v *View) segmentAt(offset int64) (*segment, []entry, error) {
	if offset < v.floor {
		i := sort.Search(len(v.parts), func(i int) bool { return v.parts[i].next > offset })
		entries, err := v.parts[i].load(v.sums, v.interval)
		return v.parts[i], entries, err
	}
	i := sort.Search(len(v.sealed), func(i int) bool { return v.sealed[i].next > offset })
	if i == len(v.sealed) {
		return &v.active, v.entries, nil
	}
	s := v.sealed[i]
	entries, err := s.load(v.sums, v.interval)
	return s, entries, err
}

// readSegment reads on in one segment, up to its end at most.
func (v *View) readSegment(r *recordReader, s *segment, entries []entry) error {
	if s.part {
		return v.readPart(r, s, entries)
	}
	from, i := byOffset(entries, r.next)
	if i < 0 {
		return &CorruptError{Path: s.file.path, Err: fmt.Errorf("the index of the segment does not reach down to offset %d", r.next)}
	}
	h, err := s.file.open()
	if err != nil {
		return err
	}
	defer s.file.release()
	sc := &scanner{h: h, path: s.file.path, sums: v.sums, pos: from.Pos, limit: s.file.end.Load(), buf: r.buffer()}
	defer sc.buf.release()
	r.limit = min(r.end, s.next, r.next+int64(r.recordsLeft))
	r.plan(sc, entries, i)
	for !r.full && r.next < r.limit {
		inBlocks, err := r.item(sc, from)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = &badItem{pos: sc.pos, err: errSegmentEnds}
			}
			return sc.corrupt(err)
		}
		if inBlocks {
			_, i := byOffset(entries, r.next)
			r.plan(sc, entries, i)
		}
	}
	return nil
}

// plan looks up in the index how far the wanted records reach, and sets how
// much is read at once; i is the index entry of the first of them. Of a frame of
// several blocks the scanner reads the header alone.
func (r *recordReader) plan(sc *scanner, entries []entry, i int) {
	r.bytesEnd = endOf(entries, i, r.limit, sc.limit)
	sc.chunk = readSize(r.bytesEnd-sc.pos, r.bytesLeft)
	inBlocks := i+1 < len(entries) && entries[i+1].Pos == sc.pos
	if at := entries[i]; inBlocks || at.Pos == sc.pos && at.Line-at.Pos > blockSize {
		sc.chunk = leastRead
	}
}

// endOf returns the position in the file that the records below offset end do
// not reach beyond, by the index.
func endOf(entries []entry, i int, end, limit int64) int64 {
	k := i + sort.Search(len(entries)-i, func(k int) bool { return entries[i+k].Offset >= end })
	if k < len(entries) {
		return entries[k].Line
	}
	return limit
}

// leastRead is the least number of bytes that are read at once.
const leastRead = 4 << 10

// readSize bounds a read of n bytes by what the caller still wants.
func readSize(n int64, bytesLeft int) int {
	const most, slack = 4 << 20, 8 << 10
	return int(min(max(min(n, int64(max(bytesLeft, 0))+slack), leastRead), most))
}

// recordReader takes records out of frames.
type recordReader struct {
	emit func(*Record)
	rec  Record // the argument of emit; here so that it needs no allocation

	parser      lineParser
	next        int64 // offset of the next record wanted
	end         int64 // records from this offset on are not wanted
	recordsLeft int   // how many more are wanted
	bytesLeft   int   // how many more bytes of lines are wanted
	limit       int64 // offset at which the present segment's wanted records end
	bytesEnd    int64 // position at which they end by the index, or a little before that
	emitted     bool  // at least one record was emitted
	full        bool  // nothing more is wanted
	ownBuffers  bool  // the records outlive the read: no buffer is used again
}

// item goes over one frame or line. inBlocks reports that it was a frame of
// several blocks and that records of it were emitted.
func (r *recordReader) item(sc *scanner, from entry) (inBlocks bool, err error) {
	it, err := sc.peek()
	if err != nil {
		return false, err
	}
	if it.letter == 'f' && it.head.BaseOffset+int64(it.head.Count) > r.next {
		if it.head.BaseOffset > r.next {
			return false, &badItem{pos: it.pos, err: fmt.Errorf("the entry begins at offset %d instead of %d", it.head.BaseOffset, r.next)}
		}
		if inBlocks = it.head.blocks != nil; inBlocks {
			err = r.blocks(sc, &sc.cur, from)
		} else {
			err = r.body(sc, &sc.cur)
		}
	}
	sc.pos = it.end
	return inBlocks, err
}

// body emits records of a frame that is verified as a whole.
func (r *recordReader) body(sc *scanner, it *item) error {
	f, err := sc.frame(it)
	if err != nil {
		return err
	}
	offset, bad := f.BaseOffset, error(nil)
	eachLine(f.Body, func(_ int, line []byte) bool {
		if offset >= r.next {
			bad = r.line(line, offset)
		}
		offset++
		return bad == nil && !r.full && r.next < r.limit
	})
	if bad == nil && !r.full && r.next < r.limit && offset != f.BaseOffset+int64(f.Count) {
		bad = errFewRecords
	}
	if bad != nil {
		return &badItem{pos: it.pos, err: bad}
	}
	return nil
}

// line emits the record of a line if there is room for it.
func (r *recordReader) line(line []byte, offset int64) error {
	if r.emitted && len(line)+1 > r.bytesLeft {
		r.full = true
		return nil
	}
	if err := r.parser.parse(line, &r.rec); err != nil {
		return err
	}
	if r.rec.Offset != offset {
		return fmt.Errorf("the record has offset %d instead of %d", r.rec.Offset, offset)
	}
	r.emitRecord(len(line) + 1)
	return nil
}

// emitRecord emits r.rec, whose line has size bytes.
func (r *recordReader) emitRecord(size int) {
	r.emit(&r.rec)
	r.next, r.emitted = r.rec.Offset+1, true
	r.bytesLeft -= size
	r.recordsLeft--
	r.full = r.recordsLeft == 0
}

func (r *recordReader) buffer() readBuffer {
	if r.ownBuffers {
		return readBuffer{kind: bufferPerRead}
	}
	return readBuffer{kind: bufferPooled}
}
