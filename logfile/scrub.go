package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Scrub is what a log held in sealed segments and parts at one moment, to be
// read again and verified. It is for one goroutine, any one.
type Scrub struct {
	fsys FS
	id   Identity
	segs []*segment
}

// Scrub returns a snapshot of everything that is sealed.
func (l *Log) Scrub() *Scrub {
	return &Scrub{fsys: l.fsys, id: l.id, segs: append(l.parts(), l.sealed...)}
}

// Run verifies every byte of it and returns how many it read. pace is called
// before so many bytes are read; it may wait, and its error ends the run. The
// files are read by handles of their own, so that those of readers stay open.
// Errors: *CorruptError for the first damage; files that were removed, or cut
// by a new leader, meanwhile are left out.
func (s *Scrub) Run(pace func(n int) error) (read int64, err error) {
	counted := func(n int) error {
		err := pace(n)
		if err == nil {
			read += int64(n)
		}
		return err
	}
	for _, seg := range s.segs {
		if !seg.file.sealed.Load() || seg.file.isGone() {
			continue
		}
		err := s.verify(seg, counted)
		if err != nil && (seg.file.isGone() || !seg.file.sealed.Load()) {
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = &CorruptError{Path: seg.file.path, Err: errors.New("is missing")}
		}
		if err != nil {
			return read, err
		}
	}
	return read, nil
}

func (s *Scrub) verify(seg *segment, pace func(n int) error) error {
	if seg.part {
		_, err := walkPart(s.fsys, seg.file.path, func(_ Identity, f Frame) error { return pace(len(f.Body)) })
		return err
	}
	f, err := openSegment(s.fsys, seg.file.path, openRead)
	if err != nil {
		return err
	}
	defer closeQuietly(f.h)
	if f.head.id != s.id || f.cp.Index+1 != seg.first || f.size != seg.size {
		return &CorruptError{Path: f.path, Err: fmt.Errorf("the file is not the segment that was sealed: %d bytes instead of %d", f.size, seg.size)}
	}
	sc := f.scanner(scanChunk)
	return sc.corrupt(seg.scrub(sc, f.walker(), pace))
}

// scrub walks a segment and verifies frames and lines.
func (s *segment) scrub(sc *scanner, w walker, pace func(n int) error) error {
	paid := sc.pos
	for {
		if ahead := min(sc.pos+scanChunk, sc.limit); ahead > paid+scanChunk/2 || ahead == sc.limit && ahead > paid {
			if err := pace(int(ahead - paid)); err != nil {
				return err
			}
			paid = ahead
		}
		it, err := sc.peek()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && it.mark == 'f' {
			var f Frame
			if f, err = sc.frame(&it); err == nil {
				err = w.follow(&f, it.pos)
			}
		} else if err == nil {
			if bad := checkLine(sc, &it); bad != nil {
				err = &badItem{pos: it.pos, err: bad}
			}
		}
		if err != nil {
			return err
		}
		sc.pos = it.end
	}
	if w.last != s.last || w.next != s.next {
		return &badItem{pos: sc.pos, err: wrongEnd(w.last, s.last)}
	}
	return nil
}
