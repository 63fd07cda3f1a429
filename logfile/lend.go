package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// Loan is what one copy of a log gives for a gap in another one.
type Loan struct {
	// Frames are entries from the first one asked for on, without a hole; none
	// when that one is not here or damaged here too.
	Frames []Frame
	// AnchorTerm is the term of the anchor entry asked about, 0 if that is not
	// here.
	AnchorTerm uint64
}

// Lend reads the entries of w from the log in dir, verified one by one,
// whatever else is damaged in it, until their bodies have maxBytes together.
// id tells which log it must be; its broker and replica count only where the
// log cannot tell. For a log that nobody writes to. Errors: fs.ErrNotExist when there is no such log.
func Lend(fsys FS, dir string, id Identity, w Want, maxBytes int) (Loan, error) {
	found, err := listDir(fsys, dir)
	if err != nil {
		return Loan{}, err
	}
	l := &lender{fsys: fsys, want: w, room: maxBytes, due: w.First}
	mine := false
	for i, base := range found.bases {
		path := segmentPath(dir, base)
		head, cp, err := readSegmentHead(fsys, path)
		if bad := (*CorruptError)(nil); errors.As(err, &bad) {
			head, err = &segmentHead{id: id}, nil // what follows may be sound
		}
		if err != nil {
			return Loan{}, err
		}
		if head.id.ClusterID != id.ClusterID || head.id.TopicID != id.TopicID || head.id.Partition != id.Partition {
			return Loan{}, fmt.Errorf("%s holds another log: %w", dir, fs.ErrNotExist)
		}
		mine = true
		if cp.Index > 0 && cp.Index == w.Anchor.Index {
			l.loan.AnchorTerm = cp.Term
		}
		if i+1 < len(found.bases) { // does it end before what is wanted?
			if _, next, err := readSegmentHead(fsys, segmentPath(dir, found.bases[i+1])); err == nil && next.Index < l.due && next.Index < w.Anchor.Index {
				continue
			}
		}
		if cp.Index >= max(w.Last, w.Anchor.Index) {
			break
		}
		if err := l.scan(path, head.id); err != nil {
			return Loan{}, err
		}
	}
	if !mine {
		return Loan{}, fmt.Errorf("no log in %s: %w", dir, fs.ErrNotExist)
	}
	return l.loan, nil
}

type lender struct {
	fsys   FS
	want   Want
	due    uint64
	room   int
	broken bool // no further entry can follow without a hole
	loan   Loan
}

// scan goes over every valid line of a segment, also behind damage.
func (l *lender) scan(path string, id Identity) error {
	h, size, err := openSized(l.fsys, path, openRead)
	if err != nil {
		return err
	}
	defer closeQuietly(h)
	sc := &scanner{h: h, path: path, seal: newSealer(id), limit: size, chunk: 4 * scanChunk}
	for !l.done() {
		it, err := sc.peek()
		var bad *badItem
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &bad):
			if sc.pos, err = sc.nextValid(bad.pos + 1); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		if it.mark == 'f' {
			l.frame(sc, &it)
		}
		sc.pos = it.end
	}
	return nil
}

// frame takes an entry if it is one of those wanted and verifies.
func (l *lender) frame(sc *scanner, it *item) {
	if it.head.Index == l.want.Anchor.Index {
		l.loan.AnchorTerm = it.head.Term // a header has a checksum of its own
	}
	switch {
	case it.head.Index < l.due || it.head.Index > l.want.Last || l.broken || l.full():
		return
	case it.head.Index > l.due:
		l.broken = true
		return
	}
	f, err := sc.frame(it)
	if err != nil || checkBody(&f) != nil {
		l.broken = true
		return
	}
	f.Body = slices.Clone(f.Body)
	l.loan.Frames = append(l.loan.Frames, f)
	l.due++
	l.room -= len(f.Body)
}

func (l *lender) full() bool { return l.room <= 0 && len(l.loan.Frames) > 0 }

// done reports whether the rest of the log can add nothing to the loan.
func (l *lender) done() bool {
	enough := l.due > l.want.Last || l.broken || l.full()
	return enough && (l.want.Anchor.Index == 0 || l.loan.AnchorTerm != 0)
}

// Lend reads entries of a log that is in use, as of the moment when the reader
// was made; anchorTerm is what Log.Term said of the anchor then. An entry that
// is damaged ends it. Any goroutine.
func (r *FrameReader) Lend(w Want, anchorTerm uint64, maxBytes int) (Loan, error) {
	frames, err := r.ReadFrames(w.First, w.Last+1, maxBytes)
	if err != nil {
		return Loan{}, err
	}
	if r.active.file.isGone() || r.active.file.epoch.Load() != r.epoch {
		return Loan{}, ErrStale // what was read may be of two logs
	}
	return Loan{Frames: frames, AnchorTerm: anchorTerm}, nil
}
