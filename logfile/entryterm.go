package logfile

import (
	"errors"
	"io"
	"slices"
	"sort"
)

// entryTerm returns the term of an entry as the log in dir has it, or 0: the log does not
// hold the entry, or is damaged where it would say so. It reads the header of a segment,
// which knows all terms before it, and at most one segment. Errors: those of the disk.
func entryTerm(fsys FS, dir string, id Identity, bases []int64, index uint64) (uint64, error) {
	// The newest first, since its header knows most.
	for _, base := range slices.Backward(bases) {
		term, found, err := segmentTerm(fsys, segmentPath(dir, base), id, index)
		if err != nil || found {
			return term, err
		}
	}
	return 0, nil
}

// segmentTerm is entryTerm for one segment. found is false if the ones before it are to
// be asked.
func segmentTerm(fsys FS, path string, id Identity, index uint64) (term uint64, found bool, err error) {
	s, err := openSegment(fsys, path, openRead)
	if bad := (*CorruptError)(nil); errors.As(err, &bad) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer closeQuietly(s.h)
	// Files of another replica say nothing of this one's history.
	if s.head.id != id {
		return 0, true, nil
	}
	if index <= s.cp.Index {
		return s.cp.termOf(index), true, nil
	}
	sc := s.scanner(scanChunk)
	for {
		it, err := sc.peek()
		var bad *badItem
		switch {
		case errors.Is(err, io.EOF):
			return 0, true, nil
		case errors.As(err, &bad):
			// Damage before the entry does not matter, as long as its own header is found.
			if sc.pos, err = sc.nextValid(bad.pos + 1); err != nil {
				return 0, false, err
			}
			continue
		case err != nil:
			return 0, false, err
		}
		if it.letter == 'f' && it.head.Index >= index {
			if it.head.Index > index {
				return 0, true, nil
			}
			return it.head.Term, true, nil // a header has a checksum of its own
		}
		sc.pos = it.end
	}
}

// termOf returns the term of an entry up to Index as the checkpoint at the beginning of a
// segment says it, 0 if it does not.
func (cp *Checkpoint) termOf(index uint64) uint64 {
	if len(cp.Terms) == 0 && index == cp.Index {
		return cp.Term
	}
	i := sort.Search(len(cp.Terms), func(i int) bool { return cp.Terms[i].Index > index })
	if i == 0 {
		return 0
	}
	return cp.Terms[i-1].Term
}
