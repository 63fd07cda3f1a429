package logfile

import (
	"errors"
	"fmt"
	"io"
)

// load returns the index of a sealed segment: from memory while its handle is
// open, else from its index file, else rebuilt from the segment. It may be called
// on any goroutine.
func (s *segment) load(sums checksums, interval int) ([]entry, error) {
	f := s.file
	h, err := f.open()
	if err != nil {
		return nil, err
	}
	defer f.release()
	f.mu.Lock()
	entries := f.entries
	f.mu.Unlock()
	if entries != nil {
		return entries, nil
	}
	path := indexPath(f.path)
	entries, err = readIndexFile(f.fsys, path, s.indexKey())
	// An index file can always be made again: it is never a reason to refuse a read.
	if err != nil || len(entries) == 0 {
		return s.reindex(sums, interval)
	}
	f.keep(h, entries)
	return entries, nil
}

// reindex rebuilds the index of a sealed segment. Reads that find the segment
// damaged try again with it, since it may be the index file that is wrong.
func (s *segment) reindex(sums checksums, interval int) ([]entry, error) {
	f := s.file
	h, err := f.open()
	if err != nil {
		return nil, err
	}
	defer f.release()
	entries, err := s.rebuild(h, sums, interval)
	if err != nil {
		return nil, err
	}
	// Else the file would be left behind after the segment that it belongs to.
	if !f.isGone() {
		_ = writeIndexFile(f.fsys, indexPath(f.path), entries, s.indexKey()) // without it the next load rebuilds the index again
	}
	f.keep(h, entries)
	return entries, nil
}

// keep keeps an index in memory as long as the handle stays open.
func (f *File) keep(h Handle, entries []entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// Another handle means that the file was closed in between, and then nothing of it is
	// to stay in memory.
	if f.h == h {
		f.entries = entries
	}
}

// rebuild reads and verifies a whole sealed segment and indexes it.
func (s *segment) rebuild(h Handle, sums checksums, interval int) ([]entry, error) {
	x := newIndexer(interval)
	sc := &scanner{h: h, path: s.file.path, sums: sums, limit: s.size, chunk: scanChunk}
	// It starts from what is known of the segment, not from its first lines, so that
	// another file under this name shows.
	w := walker{last: s.first - 1, term: s.prev.Term, next: s.base}
	for {
		it, err := sc.peek()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, sc.corrupt(err)
		}
		if it.letter == 'f' {
			f, err := sc.frame(&it)
			if err == nil {
				err = s.follow(&w, &f, it.pos)
			}
			if err != nil {
				return nil, sc.corrupt(err)
			}
			x.add(&f, it.pos, it.bodyPos)
		}
		sc.pos = it.end
	}
	if w.last != s.last || w.next > s.next || w.next < s.next && !s.part {
		return nil, sc.corrupt(&badItem{pos: sc.pos, err: wrongEnd(w.last, s.last)})
	}
	return x.entries, nil
}

// readError returns err, the error of reading a sealed segment. It becomes
// ErrStale when the file is not what it was when the segment was sealed: a new
// leader's entries may have truncated it since, which is no damage.
func (s *segment) readError(err error) error {
	var bad *CorruptError
	if errors.As(err, &bad) && (!s.file.sealed.Load() || s.file.isGone() || s.file.end.Load() != s.size) {
		return fmt.Errorf("%w: %w", ErrStale, err)
	}
	return err
}

func (s *segment) follow(w *walker, f *Frame, pos int64) error {
	if s.part {
		return w.followPart(f, pos)
	}
	return w.follow(f, pos)
}

// walker checks that frames follow each other in index, term and offset.
type walker struct {
	last uint64 // index of the last frame
	term uint64 // its term
	next int64  // the offset after its last record
}

func (w *walker) follow(f *Frame, pos int64) error {
	switch {
	case f.Kind == KindCompacted:
		return &badItem{pos: pos, whole: true, err: errors.New("a frame of compacted records stands in a segment")}
	// All of these have a right checksum: they are no tear but a file that was put together
	// wrongly.
	case f.Index != w.last+1:
		return &badItem{pos: pos, whole: true, err: fmt.Errorf("entry %d follows entry %d", f.Index, w.last)}
	case f.Term < w.term:
		return &badItem{pos: pos, whole: true, err: fmt.Errorf("entry %d of term %d follows one of term %d", f.Index, f.Term, w.term)}
	case f.BaseOffset != w.next:
		return &badItem{pos: pos, whole: true, err: fmt.Errorf("entry %d begins at offset %d instead of %d", f.Index, f.BaseOffset, w.next)}
	}
	if err := checkBody(f); err != nil {
		return &badItem{pos: pos, whole: true, err: err}
	}
	w.last, w.term, w.next = f.Index, f.Term, f.BaseOffset+int64(f.Count)
	return nil
}

// wrongEnd says that a segment does not end with the entry that it was sealed
// with.
func wrongEnd(last, want uint64) error {
	return fmt.Errorf("the segment ends with entry %d instead of entry %d", last, want)
}
