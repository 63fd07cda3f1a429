package logfile

import (
	"errors"
	"fmt"
	"io"
	"sort"
)

// View is what readers may see of a log at one moment: records from Earliest
// up to, not including, the high watermark. It is immutable and safe for
// concurrent use; a read that has begun is not disturbed when its segment is
// unlinked.
type View struct {
	parts    []*segment // what compaction has made of everything below floor
	floor    int64
	sealed   []*segment
	active   segment
	entries  []entry // of the active segment
	start    int64
	hw       int64
	seal     sealer
	interval int
	damaged  func(error)
}

// View returns a snapshot for readers. Everything below the high watermark
// must be committed and its batches executed.
func (l *Log) View(highWatermark int64) *View {
	return &View{
		parts: l.parts(), floor: l.Compacted().Next, sealed: l.sealed, active: l.active, entries: l.index.entries, start: l.logStart,
		hw: max(min(highWatermark, l.active.next), l.logStart), seal: l.seal, interval: l.opt.IndexInterval, damaged: l.damaged,
	}
}

// Earliest is the offset of the first record that can be read.
func (v *View) Earliest() int64 { return v.start }

// HighWatermark is the offset after the last record that can be read.
func (v *View) HighWatermark() int64 { return v.hw }

// Read appends records to dst, from offset on and below the high watermark:
// at most maxRecords, and not beyond the one whose line exceeds maxBytes in
// total, but at least one if there is one. The tokens lie in memory that
// belongs to the caller. An offset at or behind the high watermark gives none,
// one below Earliest ErrBelowStart; where compaction has left a gap the record
// behind it is next. Damaged bytes are a *CorruptError; ErrStale says that a
// file was removed since: take a newer view.
func (v *View) Read(dst []Record, offset int64, maxRecords, maxBytes int) ([]Record, error) {
	r := &recordReader{take: func(rec *Record) { dst = append(dst, *rec) }, left: maxRecords, room: maxBytes, fresh: true}
	err := v.read(r, offset)
	return dst, err
}

// Each calls take with what Read would return, record by record, out of
// buffers that are used again: record and tokens are valid until take returns.
func (v *View) Each(offset int64, maxRecords, maxBytes int, take func(*Record)) error {
	return v.read(&recordReader{take: take, left: maxRecords, room: maxBytes}, offset)
}

func (v *View) read(r *recordReader, offset int64) error {
	if offset < v.start {
		return fmt.Errorf("offset %d, earliest is %d: %w", offset, v.start, ErrBelowStart)
	}
	if offset >= v.hw || r.left <= 0 {
		return nil
	}
	r.next, r.end = offset, v.hw
	for !r.full && r.next < r.end {
		s, entries, err := v.segmentAt(r.next)
		if err == nil {
			err = v.readSegment(r, s, entries)
		}
		if bad := (*CorruptError)(nil); errors.As(err, &bad) && s != &v.active {
			if entries, rerr := s.reindex(v.seal, v.interval); rerr == nil {
				err = v.readSegment(r, s, entries)
			}
		}
		if err != nil {
			if r.taken {
				return nil // the next read begins there and reports it
			}
			tellDamage(v.damaged, err)
			return stale(err)
		}
	}
	return nil
}

// stale says of a file that was removed, although the view has it, that the
// view is too old: whether the records are gone is for a newer one to say.
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
		entries, err := v.parts[i].load(v.seal, v.interval)
		return v.parts[i], entries, err
	}
	i := sort.Search(len(v.sealed), func(i int) bool { return v.sealed[i].next > offset })
	if i == len(v.sealed) {
		return &v.active, v.entries, nil
	}
	s := v.sealed[i]
	entries, err := s.load(v.seal, v.interval)
	return s, entries, err
}

// readSegment reads on in one segment, up to its end at most.
func (v *View) readSegment(r *recordReader, s *segment, entries []entry) error {
	if s.part {
		return v.readPart(r, s, entries)
	}
	from, i := byOffset(entries, r.next)
	if i < 0 {
		return &CorruptError{Path: s.file.path, Err: fmt.Errorf("offset %d is not in its index", r.next)}
	}
	h, err := s.file.open()
	if err != nil {
		return err
	}
	defer s.file.release()
	sc := &scanner{h: h, path: s.file.path, seal: v.seal, pos: from.Pos, limit: s.file.end.Load(), buf: r.buffer()}
	defer sc.buf.giveBack()
	r.limit = min(r.end, s.next, r.next+int64(r.left))
	r.plan(sc, entries, i)
	for !r.full && r.next < r.limit {
		inBlocks, err := r.item(sc, from)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = &badItem{pos: sc.pos, err: errors.New("segment ends too early")}
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

// plan works out how far the index says that the wanted records reach, and so
// how much is to be read at once; i is the entry of the first of them. Of a
// frame of several blocks the scanner reads the head alone.
func (r *recordReader) plan(sc *scanner, entries []entry, i int) {
	r.until = endOf(entries, i, r.limit, sc.limit)
	sc.chunk = readSize(r.until-sc.pos, r.room)
	if i+1 < len(entries) && entries[i+1].Pos == sc.pos {
		sc.chunk = leastRead
	}
}

// endOf is where, by the index, the records below offset end are over.
func endOf(entries []entry, i int, end, limit int64) int64 {
	k := i + sort.Search(len(entries)-i, func(k int) bool { return entries[i+k].Offset >= end })
	if k < len(entries) {
		return entries[k].Line
	}
	return limit
}

// leastRead is what a read of a file takes at least.
const leastRead = 4 << 10

// readSize bounds a read of n bytes by what there is room for.
func readSize(n int64, room int) int {
	const most, slack = 4 << 20, 8 << 10
	return int(min(max(min(n, int64(max(room, 0))+slack), leastRead), most))
}

// recordReader takes records out of frames.
type recordReader struct {
	take func(*Record)
	rec  Record // what take is given; here so that it needs no allocation

	parser lineParser
	next   int64 // offset of the next record wanted
	end    int64 // wanted are records below this
	left   int   // how many more
	limit  int64 // where the present segment's wanted records end
	until  int64 // and by the index their bytes; it may be a little beyond
	room   int   // bytes of lines
	taken  bool
	full   bool
	fresh  bool // records get buffers that are not used again
}

// item handles one frame or line; inBlocks tells of a frame of several blocks
// that records were taken from.
func (r *recordReader) item(sc *scanner, from entry) (inBlocks bool, err error) {
	it, err := sc.peek()
	if err != nil {
		return false, err
	}
	if it.mark == 'f' && it.head.BaseOffset+int64(it.head.Count) > r.next {
		if it.head.BaseOffset > r.next {
			return false, &badItem{pos: it.pos, err: fmt.Errorf("offset %d after %d", it.head.BaseOffset, r.next)}
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

// body takes records out of a frame that is verified as a whole.
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
		bad = errors.New("fewer records than the frame says")
	}
	if bad != nil {
		return &badItem{pos: it.pos, err: bad}
	}
	return nil
}

// line takes one record.
func (r *recordReader) line(line []byte, offset int64) error {
	if r.taken && len(line)+1 > r.room {
		r.full = true
		return nil
	}
	if err := r.parser.parse(line, &r.rec); err != nil {
		return err
	}
	if r.rec.Offset != offset {
		return fmt.Errorf("record of offset %d where %d is due", r.rec.Offset, offset)
	}
	r.takeOne(len(line) + 1)
	return nil
}

// takeOne hands out r.rec, whose line has size bytes.
func (r *recordReader) takeOne(size int) {
	r.take(&r.rec)
	r.next, r.taken = r.rec.Offset+1, true
	r.room -= size
	r.left--
	r.full = r.left == 0
}

func (r *recordReader) buffer() readBuffer {
	if r.fresh {
		return readBuffer{kind: bufferFresh}
	}
	return readBuffer{kind: bufferPooled}
}
