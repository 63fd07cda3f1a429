package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
)

// LendParts reads lines of the parts in dir, as far as they are sound from the offset
// asked for on; nil when there are none, or when the log beside them does not say which
// entry they reach to, without which nobody may take them. The log may be in use: a part never changes.
// Errors: fs.ErrNotExist when the parts are of another partition, errors of the disk.
func LendParts(fsys FS, dir string, id Identity, w *PartsWant, maxBytes int) (*PartsLoan, error) {
	found, err := listDir(fsys, dir)
	if err != nil {
		return nil, err
	}
	var parts []foundPart
	var own Identity
	for _, name := range found.parts {
		of, p, err := lentPart(fsys, filepath.Join(dir, name))
		var bad *CorruptError
		switch {
		// A part whose name or last line is damaged is passed over: others of it may be
		// sound.
		case errors.As(err, &bad):
		case err != nil:
			return nil, err
		case of.ClusterID != id.ClusterID || of.TopicID != id.TopicID || of.Partition != id.Partition:
			return nil, fmt.Errorf("%s is of the log of another partition: %w", name, fs.ErrNotExist)
		case own != Identity{} && of != own:
			return nil, nil // not of the log beside them
		case !slices.Contains(w.Not, p.end.Generation) && (w.Generation == 0 || w.Generation == p.end.Generation):
			own, parts = of, append(parts, p)
		}
	}
	parts, info, err := newestParts(dir, parts)
	if err != nil || len(parts) == 0 || info.Next < w.Reach {
		return nil, nil //nolint:nilerr // what is damaged here as well is not lent
	}
	loan := &PartsLoan{Info: info, Next: max(w.Offset, info.Start)}
	// Only now, since it may read a whole segment.
	if loan.Term, err = entryTerm(fsys, dir, own, found.bases, info.To); err != nil || loan.Term == 0 {
		return nil, err // it could not be proven to anybody
	}
	for _, p := range parts {
		// It ends before what is wanted.
		if p.end.Next <= loan.Next {
			continue
		}
		whole, err := loan.read(fsys, filepath.Join(dir, p.name), &p, maxBytes)
		if err != nil {
			return nil, err
		}
		if !whole {
			break
		}
	}
	// Not a single step further: what comes next is damaged here.
	if loan.Next <= w.Offset && info.Next > w.Offset {
		return nil, nil
	}
	loan.Sum = Checksum(loan.Lines)
	return loan, nil
}

func lentPart(fsys FS, path string) (id Identity, p foundPart, err error) {
	h, err := fsys.OpenFile(path, openRead, 0)
	if err != nil {
		return id, p, err
	}
	defer closeQuietly(h)
	p.name = filepath.Base(path)
	id, p.end, p.pos, err = readPart(h, path)
	return id, p, err
}

// read adds lines of one part, and reports whether it came to its end. A frame after
// damage is not lent if others may have stood between it and the lines before it.
func (l *PartsLoan) read(fsys FS, path string, p *foundPart, maxBytes int) (whole bool, err error) {
	id, _, err := lentPart(fsys, path)
	if err != nil {
		return false, err
	}
	h, err := fsys.OpenFile(path, openRead, 0)
	if err != nil {
		return false, err
	}
	defer closeQuietly(h)
	sc := &scanner{h: h, path: path, sums: newChecksums(id), limit: p.pos, chunk: scanChunk}
	before, err := sc.seekPart(l.Next) // the last frame that was sound, or is not wanted
	if err != nil {
		return false, err
	}
	for {
		it, err := sc.peek()
		var bad *badItem
		switch {
		case errors.Is(err, io.EOF):
			if before == p.end.frames {
				l.Next = p.end.Next
			}
			return before == p.end.frames, nil
		case errors.As(err, &bad):
			if sc.pos, err = sc.nextValid(sc.pos + 1); err != nil {
				return false, err
			}
			continue
		case err != nil:
			return false, err
		case it.letter != 'f':
			sc.pos = it.end
			continue
		case it.head.Index == before+1: // no record stands before it, even if it is damaged itself
			l.Next = max(l.Next, it.head.BaseOffset)
		case it.head.BaseOffset > l.Next:
			return false, nil
		}
		if len(l.Lines) >= maxBytes {
			return false, nil
		}
		f, err := sc.frame(&it)
		sc.pos = it.end
		if errors.As(err, &bad) {
			continue
		}
		if err != nil {
			return false, err
		}
		if err := l.add(&f); err != nil {
			return false, nil //nolint:nilerr // it is damaged here as well
		}
		before = f.Index
	}
}

// add adds the records of a frame from Next on.
func (l *PartsLoan) add(f *Frame) error {
	if err := checkBody(f); err != nil {
		return err
	}
	return eachRecord(f, l.Next, func(r *Record, line []byte) error {
		l.Lines = append(append(l.Lines, line...), '\n')
		l.Next = r.Offset + 1
		return nil
	})
}

// seekPart goes to a frame of a part that begins at or before an offset, the last such one
// or one not far before it, and returns the number of the frame before that. A lender is
// asked many times for the next stretch of the same part, and reads only that stretch.
func (s *scanner) seekPart(offset int64) (before uint64, err error) {
	from, to := s.pos, s.limit
	// By halves, because a part has no index that can be relied on where parts are damaged.
	for to-from > 4*scanChunk {
		mid := from + (to-from)/2
		at, err := s.nextValid(mid)
		if err != nil {
			return 0, err
		}
		if at >= to {
			to = mid
			continue
		}
		probe := &scanner{h: s.h, path: s.path, sums: s.sums, pos: at, limit: s.limit, chunk: 4096}
		it, err := probe.peek()
		if err != nil {
			return 0, err
		}
		if it.letter == 'f' && it.head.BaseOffset <= offset {
			from, before = at, it.head.Index-1
		} else {
			to = mid
		}
	}
	s.pos = from
	return before, nil
}
