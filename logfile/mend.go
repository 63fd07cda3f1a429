package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// Mending makes a damaged log whole again with entries that other copies of it
// still have. Nothing is taken on trust: an entry is accepted when this copy
// itself says which one is missing (its own header, or the terms on both
// sides), or when the giver's log holds the entry that follows the gap, at its
// index and term, since logs that share an entry are the same up to it. What
// this cannot settle is refused, and the log stays as it is.
//
//	Examine -> Want, Put, Want, Put, ... -> Finish or Abort
//
// For a log that nobody has open. It does I/O and belongs to one goroutine.
type Mending struct {
	fsys FS
	dir  string
	id   Identity
	opt  Options
	seal sealer
	pace func(n int) error // before n bytes are read or written

	segs  []*mendSegment
	terms []TermStart // of entries before the active segment, by its header
	gaps  []*gap      // of all segments, in order
	at    int         // gaps before this one are filled
}

// Want is a run of entries that the log lacks.
type Want struct {
	First, Last uint64
	// Anchor is the entry at or behind the run by which a giver whose log has it
	// shows that its entries are the ones. Index 0: none is known.
	Anchor TermStart
}

// ErrWrongEntry says that an entry offered for a gap is not proven to be the one
// that is missing there.
var ErrWrongEntry = errors.New("not the entry that is missing")

// Examine reads a whole log and finds what is missing in it. pace, if not nil,
// is called before so many bytes are read or written, and may wait; its error
// ends the work. Errors: *CorruptError for damage that cannot be mended, or
// through which a term, a vote or the newest entries may be lost;
// fs.ErrNotExist when there is no log. Nothing is changed.
func Examine(fsys FS, dir string, opt Options, pace func(n int) error) (*Mending, error) {
	if pace == nil {
		pace = func(int) error { return nil }
	}
	m := &Mending{fsys: fsys, dir: dir, opt: opt, pace: pace}
	found, err := listDir(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("examine log: %w", err)
	}
	switch {
	case found.reset != "":
		err = &CorruptError{Path: filepath.Join(dir, found.reset), Err: errors.New("its replacement was not finished")}
	case len(found.bases) == 0:
		err = fmt.Errorf("no segment in %s: %w", dir, fs.ErrNotExist)
	default:
		err = m.survey(found)
	}
	if err != nil {
		return nil, fmt.Errorf("examine log: %w", err)
	}
	return m, nil
}

// Identity is what the directory says it is.
func (m *Mending) Identity() Identity { return m.id }

// Damaged reports whether anything was found that Finish would change.
func (m *Mending) Damaged() bool { return slices.ContainsFunc(m.segs, (*mendSegment).changed) }

// Want returns the next entries wanted; false when the log lacks none.
func (m *Mending) Want() (Want, bool) {
	for _, g := range m.gaps[m.at:] {
		if g.due <= g.last {
			return Want{First: g.due, Last: g.last, Anchor: g.anchor}, true
		}
	}
	return Want{}, false
}

// Put takes the first of the entries wanted. anchorTerm is the term of the
// entry Want.Anchor in the giver's log at the time when that log held f, 0 if
// it is not known to hold one. It returns ErrWrongEntry for an entry that is not
// shown to be the missing one; then another giver may be asked.
func (m *Mending) Put(f *Frame, anchorTerm uint64) error {
	for m.at < len(m.gaps) && m.gaps[m.at].due > m.gaps[m.at].last {
		m.at++
	}
	if m.at == len(m.gaps) {
		return fmt.Errorf("entry %d: %w: none is missing", f.Index, ErrWrongEntry)
	}
	g := m.gaps[m.at]
	if err := m.fits(g, f, anchorTerm); err != nil {
		return fmt.Errorf("entry %d of term %d: %w: %w", f.Index, f.Term, ErrWrongEntry, err)
	}
	if err := m.pace(len(f.Body)); err != nil {
		return err
	}
	return m.fill(g, f)
}

// fits tells whether f is the entry that is due in a gap.
func (m *Mending) fits(g *gap, f *Frame, anchorTerm uint64) error {
	switch {
	case f.Index != g.due:
		return fmt.Errorf("entry %d is due", g.due)
	case Checksum(f.Body) != f.BodySum:
		return errors.New("its checksum does not match")
	case !f.Kind.valid():
		return fmt.Errorf("kind %q", byte(f.Kind))
	}
	if err := checkBody(f); err != nil {
		return err
	}
	if h := g.head; h != nil {
		if f.Term != h.Term || f.Kind != h.Kind || f.BaseOffset != h.BaseOffset || f.Count != h.Count ||
			len(f.Body) != h.length || m.seal.entry(f) != h.sum {
			return errors.New("its header here is of another one")
		}
		return nil
	}
	known := m.termOf(g, f.Index)
	switch {
	case f.BaseOffset != g.next || f.BaseOffset+int64(f.Count) > g.end:
		return fmt.Errorf("offset %d, due are %d to %d", f.BaseOffset, g.next, g.end)
	case f.Index == g.last && f.BaseOffset+int64(f.Count) != g.end:
		return fmt.Errorf("ends at offset %d, the log goes on at %d", f.BaseOffset+int64(f.Count), g.end)
	case known != 0 && f.Term != known:
		return fmt.Errorf("the term is %d here", known)
	case known == 0 && (anchorTerm == 0 || anchorTerm != g.anchor.Term):
		return fmt.Errorf("the giver's log does not hold entry %d of term %d", g.anchor.Index, g.anchor.Term)
	case f.Term < g.term || f.Term > g.anchor.Term:
		return fmt.Errorf("terms here go from %d to %d", g.term, g.anchor.Term)
	}
	return nil
}

// termOf is the term of a missing entry by what is left of this copy, 0 if
// that does not say.
func (m *Mending) termOf(g *gap, index uint64) uint64 {
	if g.term == g.anchor.Term || index == g.anchor.Index {
		return g.anchor.Term
	}
	if n := len(m.segs); n == 0 || index > m.segs[n-1].cp.Index {
		return 0
	}
	term := uint64(0)
	for _, t := range m.terms {
		if t.Index > index {
			break
		}
		term = t.Term
	}
	return term
}
