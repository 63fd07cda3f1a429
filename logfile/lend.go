package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// Loan is what one copy of a log, the lender, gives for a gap in another one.
type Loan struct {
	// Frames are entries from the first wanted one on, without a hole. There are
	// none when this copy does not have that entry, or has it damaged too.
	Frames []Frame
	// AnchorTerm is the term that the wanted anchor entry has in this copy, 0 if
	// this copy does not have that entry.
	AnchorTerm uint64
	// Checkpoint is the newest wanted one that this copy has, nil if it has none. Term is
	// that of the entry Applied in this copy.
	Checkpoint *Checkpoint `json:",omitempty"`
	Term       uint64      `json:",omitempty"`
	Parts      *PartsLoan  `json:",omitempty"` // lines of wanted parts
}

// Empty reports whether there is nothing of use in the loan.
func (l *Loan) Empty() bool { return len(l.Frames) == 0 && l.Checkpoint == nil && l.Parts == nil }

// Lend reads the entries of w from the log in dir, each one verified, whatever
// else is damaged in it, until their bodies have maxBytes together. Cluster, topic
// and partition of id must be those of the log; its broker and replica id are used
// only for a segment whose first line is damaged. Nobody may write to the log.
// Errors: fs.ErrNotExist when there is no such log, errors of the disk.
func Lend(fsys FS, dir string, id Identity, w Want, maxBytes int) (Loan, error) {
	found, err := listDir(fsys, dir)
	if err != nil {
		return Loan{}, err
	}
	// One kind of thing is wanted at a time.
	if w.Parts != nil {
		parts, err := LendParts(fsys, dir, id, w.Parts, maxBytes)
		return Loan{Parts: parts}, err
	}
	if w.Checkpoint {
		return lendCheckpoint(fsys, dir, id, found.bases, w)
	}
	// Nothing is opened as a log: this one may be damaged as well, and what is sound of it
	// may be all that the other lacks.
	l := &lender{fsys: fsys, want: w, bytesLeft: maxBytes, due: w.First}
	mine := false
	for i, base := range found.bases {
		path := segmentPath(dir, base)
		head, cp, err := readSegmentHead(fsys, path)
		if bad := (*CorruptError)(nil); errors.As(err, &bad) {
			head, err = &segmentHead{id: id}, nil // the lines after it may be sound
		}
		if err != nil {
			return Loan{}, err
		}
		if head.id.ClusterID != id.ClusterID || head.id.TopicID != id.TopicID || head.id.Partition != id.Partition {
			return Loan{}, fmt.Errorf("%s holds the log of another partition: %w", dir, fs.ErrNotExist)
		}
		mine = true
		// A segment's header says the term of the entry before it, which may be gone by
		// now.
		if cp.Index > 0 && cp.Index == w.Anchor.Index {
			l.loan.AnchorTerm = cp.Term
		}
		if i+1 < len(found.bases) { // skip a segment that ends before what is wanted
			if _, next, err := readSegmentHead(fsys, segmentPath(dir, found.bases[i+1])); err == nil && next.Index < l.due && next.Index < w.Anchor.Index {
				continue
			}
		}
		// All segments from here on are later than what is wanted.
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
	fsys      FS
	want      Want
	due       uint64 // the next entry to lend
	bytesLeft int
	broken    bool // the next entry is missing or damaged here, so the loan ends before it
	loan      Loan
}

// scan goes over every valid line of a segment, also after damage.
func (l *lender) scan(path string, id Identity) error {
	h, size, err := openSized(l.fsys, path, openRead)
	if err != nil {
		return err
	}
	defer closeQuietly(h)
	sc := &scanner{h: h, path: path, sums: newChecksums(id), limit: size, chunk: 4 * scanChunk}
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
		if it.letter == 'f' {
			l.frame(sc, &it)
		}
		sc.pos = it.end
	}
	return nil
}

// frame adds an entry to the loan if it is the next wanted one and verifies.
func (l *lender) frame(sc *scanner, it *item) {
	if it.head.Index == l.want.Anchor.Index {
		l.loan.AnchorTerm = it.head.Term // a header has a checksum of its own
	}
	switch {
	case it.head.Index < l.due || it.head.Index > l.want.Last || l.broken || l.full():
		return
	case it.head.Index > l.due:
		// A loan has no hole: what comes after the missing entry is asked for again, and
		// maybe of another copy.
		l.broken = true
		return
	}
	f, err := sc.frame(it)
	if err != nil || checkBody(&f) != nil {
		l.broken = true
		return
	}
	// The scanner uses its memory again.
	f.Body = slices.Clone(f.Body)
	l.loan.Frames = append(l.loan.Frames, f)
	l.due++
	l.bytesLeft -= len(f.Body)
}

func (l *lender) full() bool { return l.bytesLeft <= 0 && len(l.loan.Frames) > 0 }

// done reports whether the rest of the log can add nothing to the loan.
func (l *lender) done() bool {
	enough := l.due > l.want.Last || l.broken || l.full()
	return enough && (l.want.Anchor.Index == 0 || l.loan.AnchorTerm != 0)
}

// Lend reads wanted entries of a log that is in use, as of the moment when the
// reader was made; anchorTerm is what Log.Term returned for the anchor then. The
// loan ends at an entry that is damaged. Lend is safe on any goroutine. Errors: as
// ReadFrames; ErrStale when the log was truncated or reset since.
func (r *FrameReader) Lend(w Want, anchorTerm uint64, maxBytes int) (Loan, error) {
	frames, err := r.ReadFrames(w.First, w.Last+1, maxBytes)
	if err != nil {
		return Loan{}, err
	}
	// Looked at after reading, when nothing can come in between any more.
	if r.active.file.isGone() || r.active.file.epoch.Load() != r.epoch {
		return Loan{}, ErrStale // entries from before and an anchor from after would pass for one log
	}
	return Loan{Frames: frames, AnchorTerm: anchorTerm}, nil
}
