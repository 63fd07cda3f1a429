package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// Mending restores a damaged log from entries that other copies of it still have.
// An entry is accepted only if it is proven to be the missing one: either this
// copy itself says which entry stood there (by its header, or by the terms on both
// sides of the gap), or the lender's log holds the entry that follows the gap, at
// its index and term, since logs that share an entry are equal up to it. A gap
// that cannot be filled in this way is refused, and the log stays as it is.
//
//	Examine -> Want, Put, Want, Put, ... -> Finish or Abort
//
// The log must not be open anywhere. A Mending does I/O and is for one goroutine.
type Mending struct {
	fsys FS
	dir  string
	id   Identity
	opt  Options
	sums checksums
	pace func(n int) error // called before n bytes are read or written

	segs  []*mendSegment
	terms []TermStart // of entries before the active segment, from its header
	gaps  []*gap      // of all segments, in order
	at    int         // number of the first gap that is not filled

	last       uint64        // the last entry, once all gaps are filled
	logStart   int64         // the greatest that a sound checkpoint says
	applied    uint64        // likewise
	parts      CompactedInfo // the generation that Open would read
	lentParts  *lentParts    // what replaces damaged parts, nil if none are damaged
	carry      *Checkpoint   // of the carry file, nil if there is none
	checkpoint *Checkpoint   // what a lender gave in place of a lost one
}

// Want is what the log lacks: a run of entries, parts, or a checkpoint.
type Want struct {
	First, Last uint64
	// Anchor is an entry in the run or right after it. A lender whose log holds it
	// proves with it that its entries are the missing ones. Index 0: none is known.
	Anchor TermStart
	// Checkpoint: no entries are wanted, but a checkpoint as of an entry from First to
	// Last. Segments before First were removed after a checkpoint that is lost.
	Checkpoint bool `json:",omitempty"`
	// Parts, if not nil, are wanted and nothing else.
	Parts *PartsWant `json:",omitempty"`
}

// ErrWrongEntry says that an entry offered for a gap is not proven to be the one
// that is missing there.
var ErrWrongEntry = errors.New("not the entry that is missing")

// Examine reads a whole log and finds what is missing in it. It changes nothing.
// pace, if not nil, is called before so many bytes are read or written; it may
// wait, and its error ends the work. Errors: a *CorruptError for damage that
// cannot be mended, or by which a term, a vote or the newest entries may be lost;
// fs.ErrNotExist when there is no log; errors of the disk.
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
		err = &CorruptError{Path: filepath.Join(dir, found.reset), Err: errors.New("the log was being replaced as a whole; opening it completes that")}
	case len(found.bases) == 0:
		err = fmt.Errorf("no segment in %s: %w", dir, fs.ErrNotExist)
	default:
		err = m.survey(found)
	}
	if err == nil && !m.Damaged() {
		_, err = m.reread()
	}
	if err != nil {
		return nil, fmt.Errorf("examine log: %w", err)
	}
	return m, nil
}

// Identity is the identity that stands in the files.
func (m *Mending) Identity() Identity { return m.id }

// Damaged reports whether anything was found that Finish would change.
func (m *Mending) Damaged() bool {
	return slices.ContainsFunc(m.segs, (*mendSegment).changed) || m.lentParts != nil || m.start() != nil
}

// Want returns what is missing next, first entries, then parts, then a checkpoint; false
// when nothing is missing.
func (m *Mending) Want() (Want, bool) {
	for _, g := range m.gaps[m.at:] {
		if g.due <= g.last {
			return Want{First: g.due, Last: g.last, Anchor: g.anchor}, true
		}
	}
	if p := m.lentParts; p != nil && p.set == nil {
		return Want{Parts: p.want()}, true
	}
	if m.start() != nil && m.checkpoint == nil {
		return Want{First: m.segs[0].cp.Index, Last: m.last, Checkpoint: true}, true
	}
	return Want{}, false
}

// Put fills in f as the first of the missing entries. anchorTerm is the term that
// the entry Want.Anchor has in the lender's log, at the moment when that log held
// f; 0 if the lender is not known to have it. Errors: ErrWrongEntry for an entry
// that is not proven to be the missing one, and then another lender may be asked;
// *CorruptError when the entry does not fit into the gap; errors of the disk.
func (m *Mending) Put(f *Frame, anchorTerm uint64) error {
	for m.at < len(m.gaps) && m.gaps[m.at].due > m.gaps[m.at].last {
		m.at++
	}
	if m.at == len(m.gaps) {
		return fmt.Errorf("entry %d: %w: no entry is missing", f.Index, ErrWrongEntry)
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

// fits returns nil if f is proven to be the next entry of a gap.
func (m *Mending) fits(g *gap, f *Frame, anchorTerm uint64) error {
	switch {
	case f.Index != g.due:
		return fmt.Errorf("entry %d is the next one missing", g.due)
	case Checksum(f.Body) != f.BodySum:
		return errors.New("the checksum of its body does not match")
	case !f.Kind.valid():
		return fmt.Errorf("unknown kind %q", byte(f.Kind))
	}
	if err := checkBody(f); err != nil {
		return err
	}
	if h := g.head; h != nil {
		if f.Term != h.Term || f.Kind != h.Kind || f.BaseOffset != h.BaseOffset || f.Count != h.Count ||
			len(f.Body) != h.length || m.sums.entry(f) != h.sum {
			return errors.New("the header of the missing entry, which is sound, does not match it")
		}
		return nil
	}
	known := m.termOf(g, f.Index)
	switch {
	case f.BaseOffset != g.next || f.BaseOffset+int64(f.Count) > g.end:
		return fmt.Errorf("it holds offsets %d to %d, missing are %d to %d", f.BaseOffset, f.BaseOffset+int64(f.Count), g.next, g.end)
	case f.Index == g.last && f.BaseOffset+int64(f.Count) != g.end:
		return fmt.Errorf("it ends at offset %d, the log goes on at offset %d", f.BaseOffset+int64(f.Count), g.end)
	case known != 0 && f.Term != known:
		return fmt.Errorf("the missing entry has term %d", known)
	case known == 0 && (anchorTerm == 0 || anchorTerm != g.anchor.Term):
		return fmt.Errorf("the lender's log does not hold entry %d of term %d, which would prove it", g.anchor.Index, g.anchor.Term)
	case f.Term < g.term || f.Term > g.anchor.Term:
		return fmt.Errorf("the missing entries have terms from %d to %d", g.term, g.anchor.Term)
	}
	return nil
}

// termOf returns the term of a missing entry if what is left of this copy says
// it, else 0.
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
