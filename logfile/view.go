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
	if offset < v.start {
		return dst, fmt.Errorf("offset %d, earliest is %d: %w", offset, v.start, ErrBelowStart)
	}
	if offset >= v.hw || maxRecords <= 0 {
		return dst, nil
	}
	r := &recordReader{dst: dst, next: offset, end: v.hw, left: maxRecords, room: maxBytes, fresh: true}
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
			if len(r.dst) > len(dst) {
				return r.dst, nil // the next read begins there and reports it
			}
			tellDamage(v.damaged, err)
			return dst, stale(err)
		}
	}
	return r.dst, nil
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
	sc := &scanner{h: h, path: s.file.path, seal: v.seal, pos: from.Pos, limit: s.file.end.Load(), fresh: r.fresh}
	r.limit = min(r.end, s.next, r.next+int64(r.left))
	sc.chunk = readSize(entries, i, r.limit, sc.limit, r.room)
	for !r.full && r.next < r.limit {
		if err := r.item(sc, from); err != nil {
			if errors.Is(err, io.EOF) {
				err = &badItem{pos: sc.pos, err: errors.New("segment ends too early")}
			}
			return sc.corrupt(err)
		}
	}
	return nil
}

// readSize estimates how many bytes hold the records up to offset end.
func readSize(entries []entry, i int, end, limit int64, room int) int {
	const least, most, slack = 4 << 10, 4 << 20, 8 << 10
	k := i + sort.Search(len(entries)-i, func(k int) bool { return entries[i+k].Offset >= end })
	to := limit
	if k < len(entries) {
		to = entries[k].Pos
	}
	size := min(to-entries[i].Pos, int64(max(room, 0))+slack)
	return int(min(max(size, least), most))
}

// recordReader gathers records out of frames.
type recordReader struct {
	dst   []Record
	next  int64 // offset of the next record wanted
	end   int64 // wanted are records below this
	left  int   // how many more
	limit int64 // where the present segment's wanted records end
	room  int   // bytes of lines
	taken bool
	full  bool
	fresh bool
}

// item handles one frame or line.
func (r *recordReader) item(sc *scanner, from entry) error {
	it, err := sc.peek()
	if err != nil {
		return err
	}
	if it.mark == 'f' && it.head.BaseOffset+int64(it.head.Count) > r.next {
		if it.head.BaseOffset > r.next {
			return &badItem{pos: it.pos, err: fmt.Errorf("offset %d after %d", it.head.BaseOffset, r.next)}
		}
		if it.head.blocks != nil {
			err = r.blocks(sc, &sc.cur, from)
		} else {
			err = r.body(sc, &sc.cur)
		}
	}
	sc.pos = it.end
	return err
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
	l, err := ParseLine(line)
	if err != nil {
		return err
	}
	if l.Offset != offset {
		return fmt.Errorf("record of offset %d where %d is due", l.Offset, offset)
	}
	r.take(&l.Record, len(line)+1)
	return nil
}

func (r *recordReader) take(rec *Record, size int) {
	r.dst = append(r.dst, *rec)
	r.next, r.taken = rec.Offset+1, true
	r.room -= size
	r.left--
	r.full = r.left == 0
}
