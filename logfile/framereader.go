package logfile

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
)

// FrameReader reads the entries that the log had at one moment. It is immutable
// and safe for concurrent use.
type FrameReader struct {
	sealed   []*segment
	active   segment
	entries  []entry
	epoch    uint64
	sums     checksums
	interval int
	damaged  func(error)
}

// FirstIndex is the first entry that can be read.
func (r *FrameReader) FirstIndex() uint64 {
	if len(r.sealed) > 0 {
		return r.sealed[0].first
	}
	return r.active.first
}

// LastIndex is the last entry that was staged.
func (r *FrameReader) LastIndex() uint64 { return r.active.last }

// ReadFrames is Log.ReadFrames, safe on any goroutine. When the log was truncated
// since the snapshot was taken, it may return ErrStale, or entries that were
// appended since in place of the truncated ones.
func (r *FrameReader) ReadFrames(lo, hi uint64, maxBytes int) ([]Frame, error) {
	var frames []Frame
	_, err := r.EachFrame(lo, hi, maxBytes, func(f *Frame) error {
		own := *f
		own.Body = slices.Clone(f.Body)
		frames = append(frames, own)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return frames, nil
}

// EachFrame is ReadFrames that hands each entry to take, whose error ends it; the body is
// take's only until it returns. It returns the number of entries.
func (r *FrameReader) EachFrame(lo, hi uint64, maxBytes int, take func(*Frame) error) (n int, err error) {
	if lo < r.FirstIndex() {
		return 0, fmt.Errorf("entry %d: %w: the first one is %d", lo, ErrBelowStart, r.FirstIndex())
	}
	if lo > r.LastIndex() {
		return 0, fmt.Errorf("entry %d: %w: the last one is %d", lo, ErrBeyondEnd, r.LastIndex())
	}
	// As of the moment of the snapshot, whatever has been appended since.
	hi = min(hi, r.LastIndex()+1)
	for from := lo; lo < hi && (n == 0 || maxBytes > 0); n = int(lo - from) {
		s, entries, err := r.segmentOf(lo)
		if err == nil {
			// Taken before reading: a truncation in between can look like damage.
			epoch := s.file.epoch.Load()
			lo, err = r.readSegment(s, entries, lo, hi, &maxBytes, lo == from, take)
			if bad := (*CorruptError)(nil); errors.As(err, &bad) && s != &r.active {
				// The position may have been wrong, and not what stands there. If the
				// segment itself is damaged this fails as well.
				if entries, rerr := s.reindex(r.sums, r.interval); rerr == nil {
					lo, err = r.readSegment(s, entries, lo, hi, &maxBytes, lo == from, take)
				}
			}
			if err != nil && (s.file.epoch.Load() != epoch || s.file == r.active.file && epoch != r.epoch) {
				err = fmt.Errorf("%w: %w", ErrStale, err)
			}
		}
		if s != &r.active {
			err = s.readError(err)
		}
		if err != nil {
			if lo > from {
				return int(lo - from), nil // the next read begins at the damage and reports it
			}
			reportDamage(r.damaged, err)
			return 0, err
		}
	}
	return n, nil
}

// reportDamage calls fn with an error that is damage, unless the log changed while
// it was read.
func reportDamage(fn func(error), err error) {
	var bad *CorruptError
	if fn != nil && errors.As(err, &bad) && !errors.Is(err, ErrStale) {
		fn(err)
	}
}

func (r *FrameReader) segmentOf(index uint64) (*segment, []entry, error) {
	if index >= r.active.first {
		return &r.active, r.entries, nil
	}
	i := sort.Search(len(r.sealed), func(i int) bool { return r.sealed[i].last >= index })
	s := r.sealed[i]
	entries, err := s.load(r.sums, r.interval)
	return s, entries, err
}

// readSegment reads entries of one segment, at least one when first is set, and returns
// the next one to be read. After an error it is the one that could not be.
func (r *FrameReader) readSegment(s *segment, entries []entry, lo, hi uint64, bytesLeft *int, first bool, take func(*Frame) error) (next uint64, err error) {
	e, ok := byIndex(entries, lo)
	if !ok {
		return lo, &CorruptError{Path: s.file.path, Err: errNotIndexed(lo)}
	}
	h, err := s.file.open()
	if err != nil {
		return lo, err
	}
	defer s.file.release()
	sc := &scanner{h: h, path: s.file.path, sums: r.sums, pos: e.Pos, limit: s.file.end.Load(), buf: readBuffer{kind: bufferPooled}}
	defer sc.buf.release()
	// About as much as is to be read, and up to one interval before that, since the index
	// is sparse.
	sc.chunk = min(max(*bytesLeft, r.interval)+r.interval, 4*scanChunk)
	hi = min(hi, s.last+1)
	for next = lo; next < hi && (*bytesLeft > 0 || first && next == lo); {
		it, err := sc.peek()
		if err != nil {
			return next, r.endError(sc, err)
		}
		sc.pos = it.end
		// Between the indexed place and the entry lie others, of which the headers are
		// enough.
		if it.letter != 'f' || it.head.Index < next {
			continue
		}
		f, err := sc.frame(&it)
		if err == nil && f.Index != next {
			err = &badItem{pos: it.pos, err: fmt.Errorf("entry %d follows entry %d", f.Index, next-1)}
		}
		if err != nil {
			return next, r.endError(sc, err)
		}
		if err := take(&f); err != nil {
			return next, err
		}
		*bytesLeft -= len(f.Body)
		next++
	}
	return next, nil
}

// endError explains a scan error. An end of file is an entry that is not written
// yet in the active segment, and damage elsewhere.
func (r *FrameReader) endError(sc *scanner, err error) error {
	if errors.Is(err, io.EOF) {
		if sc.path == r.active.file.path {
			return fmt.Errorf("the entry is not written yet: %w", ErrBeyondEnd)
		}
		err = &badItem{pos: sc.pos, err: errSegmentEnds}
	}
	return sc.corrupt(err)
}
