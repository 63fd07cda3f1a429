package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Scrub is the set of sealed segments and parts that a log had at one moment, to
// be read and verified in the background. It is for one goroutine at a time.
type Scrub struct {
	fsys FS
	id   Identity
	segs []*segment
}

// Run verifies every byte and returns how many it read. pace is called before so
// many bytes are read; it may wait, and its error ends the run. Run opens handles
// of its own, so that those in the cache stay there for readers. Files that were
// removed, or truncated by a new leader, in the meantime are left out. Errors: a
// *CorruptError for the first damage, errors of the disk and of pace.
func (s *Scrub) Run(pace func(n int) error) (read int64, err error) {
	counted := func(n int) error {
		err := pace(n)
		if err == nil {
			read += int64(n)
		}
		return err
	}
	for _, seg := range s.segs {
		// Looked at before and after: in between it may be truncated or removed, which
		// makes it look damaged.
		if !seg.file.sealed.Load() || seg.file.isGone() {
			continue
		}
		err := s.verify(seg, counted)
		if err != nil && (seg.file.isGone() || !seg.file.sealed.Load()) {
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = &CorruptError{Path: seg.file.path, Err: errors.New("the file is missing")}
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
	// What is in memory was right when the segment was sealed, and it has not changed
	// since.
	if f.head.id != s.id || f.cp.Index+1 != seg.first || f.size != seg.size {
		return &CorruptError{Path: f.path, Err: fmt.Errorf("the file is not the segment that was sealed: %d bytes instead of %d", f.size, seg.size)}
	}
	sc := f.scanner(scanChunk)
	return sc.corrupt(seg.scrub(sc, f.walker(), pace))
}

// scrub verifies the frames and lines of one segment.
func (s *segment) scrub(sc *scanner, w walker, pace func(n int) error) error {
	paced := sc.pos // pace was called for the bytes up to here
	for {
		if ahead := min(sc.pos+scanChunk, sc.limit); ahead > paced+scanChunk/2 || ahead == sc.limit && ahead > paced {
			if err := pace(int(ahead - paced)); err != nil {
				return err
			}
			paced = ahead
		}
		it, err := sc.peek()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && it.letter == 'f' {
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
