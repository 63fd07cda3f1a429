package logfile

import (
	"errors"
	"fmt"
	"io"
	"sort"
)

// readPart reads on in one part, up to its end at most. When the part holds no
// further record, r.next moves to its end.
func (v *View) readPart(r *recordReader, s *segment, entries []entry) error {
	if len(entries) == 0 {
		// All of its records have been replaced since, and the next part goes on.
		r.next = s.next
		return nil
	}
	_, i := byOffset(entries, r.next)
	i = max(i, 0)
	h, err := s.file.open()
	if err != nil {
		return err
	}
	defer s.file.release()
	sc := &scanner{h: h, path: s.file.path, sums: v.sums, pos: entries[i].Pos, limit: s.file.end.Load(), buf: r.buffer()}
	defer sc.buf.release()
	sc.chunk = readSize(endOf(entries, i, min(r.end, s.next, r.next+int64(r.recordsLeft)), sc.limit)-sc.pos, r.bytesLeft)
	for !r.full && r.next < min(r.end, s.next) {
		it, err := sc.peek()
		// The records that the part still covers are gone, which is no damage.
		if errors.Is(err, io.EOF) {
			r.next = s.next
			return nil
		}
		if err == nil && it.letter == 'f' {
			var f Frame
			if f, err = sc.frame(&it); err == nil {
				err = r.sparse(&f)
			}
		}
		if err != nil {
			return sc.corrupt(err)
		}
		sc.pos = it.end
	}
	return nil
}

// sparse emits records of a frame of a part.
func (r *recordReader) sparse(f *Frame) error {
	return eachRecord(f, r.next, func(rec *Record, line []byte) error {
		size := len(line) + 1
		switch {
		case r.full:
		case rec.Offset >= r.end:
			r.next = r.end // there is no record in between
		case r.emitted && size > r.bytesLeft:
			r.full = true
		default:
			// Looked at one by one: offsets in a part have gaps, so a record cannot be
			// found by counting.
			r.rec = *rec
			r.emitRecord(size)
		}
		return nil
	})
}

// CompactedReader reads the parts of a log for a replica that lacks them. It is
// safe on any goroutine.
type CompactedReader struct {
	CompactedInfo
	view *View
}

// Lines returns whole record lines from an offset on, and the offset to go on
// with, which is Next at the end. It reads no further frame once there are
// maxBytes.
func (c *CompactedReader) Lines(offset int64, maxBytes int) (lines []byte, next int64, err error) {
	for next = offset; next < c.Next && len(lines) < maxBytes; {
		s, entries, err := c.view.segmentAt(next)
		if err != nil {
			return nil, 0, err
		}
		if lines, next, err = c.view.partLines(lines, s, entries, next, maxBytes); err != nil {
			return nil, 0, err
		}
	}
	return lines, next, nil
}

// partLines appends lines of one part.
func (v *View) partLines(dst []byte, s *segment, entries []entry, offset int64, maxBytes int) ([]byte, int64, error) {
	if len(entries) == 0 {
		return dst, s.next, nil
	}
	h, err := s.file.open()
	if err != nil {
		return nil, 0, err
	}
	defer s.file.release()
	i := max(sort.Search(len(entries), func(i int) bool { return entries[i].Offset > offset })-1, 0)
	sc := &scanner{h: h, path: s.file.path, sums: v.sums, pos: entries[i].Pos, limit: s.file.end.Load(), chunk: scanChunk}
	for len(dst) < maxBytes {
		it, err := sc.peek()
		if errors.Is(err, io.EOF) {
			return dst, s.next, nil
		}
		if err == nil && it.letter == 'f' {
			var f Frame
			if f, err = sc.frame(&it); err == nil {
				err = eachRecord(&f, offset, func(r *Record, line []byte) error {
					dst = append(append(dst, line...), '\n')
					offset = r.Offset + 1
					return nil
				})
			}
		}
		if err != nil {
			return nil, 0, sc.corrupt(err)
		}
		sc.pos = it.end
	}
	return dst, offset, nil
}

// Records reads all records into memory. It is for the small logs of internal
// topics.
func (c *CompactedReader) Records() ([]Record, error) {
	var recs []Record
	for next := c.Start; next < c.Next; {
		lines, to, err := c.Lines(next, scanChunk)
		if err != nil {
			return nil, err
		}
		got, err := parseLines(lines)
		if err != nil {
			return nil, err
		}
		recs, next = append(recs, got...), to
	}
	return recs, nil
}

// parseLines returns the records of whole record lines; they share its memory.
func parseLines(lines []byte) ([]Record, error) {
	var recs []Record
	var err error
	eachLine(lines, func(_ int, line []byte) bool {
		var l Line
		if l, err = ParseLine(line); err != nil {
			return false
		}
		// They have come from another node.
		if n := len(recs); n > 0 && l.Offset <= recs[n-1].Offset {
			err = fmt.Errorf("offset %d follows offset %d", l.Offset, recs[n-1].Offset)
			return false
		}
		recs = append(recs, l.Record)
		return true
	})
	return recs, err
}
