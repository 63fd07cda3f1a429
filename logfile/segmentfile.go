package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// segmentFile is a segment that is read as a whole, with what its first two
// lines say: by recovery, mending, verification and the scrub.
type segmentFile struct {
	h       Handle
	path    string
	size    int64 // of the file
	head    *segmentHead
	cp      Checkpoint // the second line
	headEnd int64      // where the two lines end
}

// openSegment opens a segment and reads its first two lines. The caller closes
// the handle. Errors: fs.ErrNotExist, and a *CorruptError for damaged lines.
func openSegment(fsys FS, path string, flag int) (*segmentFile, error) {
	h, size, err := openSized(fsys, path, flag)
	if err != nil {
		return nil, err
	}
	s := &segmentFile{h: h, path: path, size: size}
	if err := s.readHead(); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return s, nil
}

// openSized opens a file and asks for its size in bytes.
func openSized(fsys FS, path string, flag int) (Handle, int64, error) {
	h, err := fsys.OpenFile(path, flag, 0)
	if err != nil {
		return nil, 0, err
	}
	size, err := h.Size()
	if err != nil {
		return nil, 0, errors.Join(err, h.Close())
	}
	return h, size, nil
}

// readSegmentHead reads the first two lines of a segment and nothing else.
func readSegmentHead(fsys FS, path string) (*segmentHead, Checkpoint, error) {
	s, err := openSegment(fsys, path, openRead)
	if err != nil {
		return nil, Checkpoint{}, err
	}
	return s.head, s.cp, s.h.Close()
}

// readHead reads the first two lines. The file was complete before it got its
// name, so anything wrong with them is damage.
func (s *segmentFile) readHead() error {
	// In small steps, because of most segments nothing else is read. Without checksums:
	// these depend on the identity, which the first line says.
	sc := &scanner{h: s.h, path: s.path, limit: s.size, chunk: 4096}
	it, err := sc.peek()
	if err == nil {
		s.head, err = parseSegmentHead(it.line)
	}
	if err != nil {
		return s.damagedHead(0, err)
	}
	sc.pos = it.end
	if it, err = sc.peek(); err == nil {
		s.cp, s.head.lastAt, err = parseCheckpoint(it.line, newChecksums(s.head.id).local)
	}
	if err != nil {
		return s.damagedHead(sc.pos, err)
	}
	s.headEnd = it.end
	return nil
}

func (s *segmentFile) damagedHead(pos int64, err error) error {
	var bad *badItem
	if errors.As(err, &bad) {
		err = bad.err
	}
	return &CorruptError{Path: s.path, Offset: pos, Err: noHeader(err)}
}

// noHeader names an end of file for what it is when a header was expected.
func noHeader(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the file ends within its header")
	}
	return err
}

// follows checks what a segment's first lines say of itself and of the segment
// before it, prev, which is nil for the first one. Whether prev still has the
// size that is said there is for the caller to check.
func (s *segmentFile) follows(prev *segmentFile, id Identity) error {
	fail := func(format string, args ...any) error {
		return &CorruptError{Path: s.path, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case filepath.Base(s.path) != segmentPath("", s.cp.NextOffset):
		return fail("the segment begins at offset %d, which is not the one in its name", s.cp.NextOffset)
	case s.head.id != id:
		return fail("the segment belongs to another replica: %+v instead of %+v", s.head.id, id)
	case prev == nil:
		return nil
	// Files are listed by their names, so one that is missing shows only by what the next
	// one says.
	case s.head.prevBase != prev.cp.NextOffset:
		return fail("the segment before it, which begins at offset %d, is missing", s.head.prevBase)
	case s.cp.Index < prev.cp.Index || s.cp.NextOffset <= prev.cp.NextOffset:
		return fail("the segment begins after entry %d at offset %d, the one before it after entry %d at offset %d",
			s.cp.Index, s.cp.NextOffset, prev.cp.Index, prev.cp.NextOffset)
	}
	return nil
}

// walker expects the first entry of the segment.
func (s *segmentFile) walker() walker {
	return walker{last: s.cp.Index, term: s.cp.Term, next: s.cp.NextOffset}
}

// scanner walks the segment after its first two lines.
func (s *segmentFile) scanner(chunk int) *scanner {
	return &scanner{h: s.h, path: s.path, sums: newChecksums(s.head.id), pos: s.headEnd, limit: s.size, chunk: chunk}
}

// eachLineFrom calls fn for every line at or after from that starts with "#"
// and parses as an item, in order, until fn returns false. It goes on after
// damage, so it also finds what only looks like a line, in the middle of a
// body: fn checks it. A line is also found without the LF before it if it begins
// a sector, since the sector before it may be lost. The scanner s keeps its place.
func (s *scanner) eachLineFrom(from int64, fn func(sc *scanner, it *item) bool) error {
	search := &scanner{h: s.h, path: s.path, limit: s.limit, chunk: 4 * scanChunk}
	sc := &scanner{h: s.h, path: s.path, sums: s.sums, limit: s.limit, chunk: scanChunk}
	for pos := from; pos < s.limit; {
		// From one byte before, which says whether a line begins at pos.
		w, err := search.window(pos-1, search.chunk)
		if err != nil || len(w) < 2 {
			return err
		}
		for i := 1; i < len(w); i++ {
			at := bytes.IndexByte(w[i:], '#')
			if at < 0 {
				break
			}
			i += at
			// With a scanner of its own, which reads elsewhere and would spoil the window.
			sc.pos = pos - 1 + int64(i)
			if w[i-1] != '\n' && sc.pos%sectorSize != 0 {
				continue
			}
			if it, err := sc.peek(); err == nil && !fn(sc, &it) {
				return nil
			}
		}
		// The last byte is looked at again, as the one before the next stretch.
		pos += int64(len(w)) - 1
	}
	return nil
}

// nextValid returns the position of the first valid line at or after from, or
// the limit.
func (s *scanner) nextValid(from int64) (int64, error) {
	at := s.limit
	err := s.eachLineFrom(from, func(sc *scanner, it *item) bool {
		if checkLine(sc, it) != nil {
			return true
		}
		at = it.pos
		return false
	})
	return at, err
}
