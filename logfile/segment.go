package logfile

import (
	"errors"
	"fmt"
	"io"
)

// load returns the index of a sealed segment: from memory while its handle is
// open, from its side file, or built anew from the segment. Any goroutine.
func (s *segment) load(seal sealer, interval int) ([]entry, error) {
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
	if err != nil || len(entries) == 0 {
		return s.reindex(seal, interval)
	}
	f.keep(h, entries)
	return entries, nil
}

// reindex builds the index of a sealed segment anew. Reads that find the
// segment damaged try again with it, as the side file may be what is wrong.
func (s *segment) reindex(seal sealer, interval int) ([]entry, error) {
	f := s.file
	h, err := f.open()
	if err != nil {
		return nil, err
	}
	defer f.release()
	entries, err := s.rebuild(h, seal, interval)
	if err != nil {
		return nil, err
	}
	if !f.isGone() {
		_ = writeIndexFile(f.fsys, indexPath(f.path), entries, s.indexKey()) // saves time only
	}
	f.keep(h, entries)
	return entries, nil
}

// keep remembers an index for as long as the handle stays open.
func (f *File) keep(h Handle, entries []entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.h == h {
		f.entries = entries
	}
}

// rebuild reads a whole sealed segment, verifying it, to index it.
func (s *segment) rebuild(h Handle, seal sealer, interval int) ([]entry, error) {
	x := newIndexer(interval)
	sc := &scanner{h: h, path: s.file.path, seal: seal, limit: s.size, chunk: scanChunk}
	w := walker{last: s.first - 1, term: s.prev.Term, next: s.base}
	for {
		it, err := sc.peek()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, sc.corrupt(err)
		}
		if it.mark == 'f' {
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

func (s *segment) follow(w *walker, f *Frame, pos int64) error {
	if s.part {
		return w.followPart(f, pos)
	}
	return w.follow(f, pos)
}

// walker checks that frames follow each other.
type walker struct {
	last uint64
	term uint64
	next int64
}

func (w *walker) follow(f *Frame, pos int64) error {
	switch {
	case f.Kind == KindCompacted:
		return &badItem{pos: pos, whole: true, err: errors.New("a compacted frame in a segment")}
	case f.Index != w.last+1:
		return &badItem{pos: pos, whole: true, err: fmt.Errorf("entry %d after %d", f.Index, w.last)}
	case f.Term < w.term:
		return &badItem{pos: pos, whole: true, err: fmt.Errorf("term %d after %d", f.Term, w.term)}
	case f.BaseOffset != w.next:
		return &badItem{pos: pos, whole: true, err: fmt.Errorf("offset %d after %d", f.BaseOffset, w.next)}
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
