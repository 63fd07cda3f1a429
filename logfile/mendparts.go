package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// Parts hold committed records only, and copies that did the same compaction hold the
// same. So damaged parts are replaced as a whole by a generation of other copies, of
// which each may give another stretch; the number of records at the end says whether
// all of them came. That a lender's parts are of this log's history, and not of one that
// was given up, is proven by the last entry that they cover: logs in which it has the
// same term are equal up to it.

// PartsWant asks for lines of parts.
type PartsWant struct {
	Generation uint64   // 0: any but those of Not
	Not        []uint64 `json:",omitempty"`
	Offset     int64    // the first offset that is missing
	Reach      int64    // a generation that ends before this offset is of no use
}

// PartsLoan answers it.
type PartsLoan struct {
	Term  uint64 // of the entry Info.To in the lender's log, 0 if it does not say it
	Info  CompactedInfo
	Lines []byte // whole record lines, from the offset asked for on
	Next  int64  // where to go on
	Sum   uint32 // CRC32C of Lines
}

// lentParts is what takes the place of damaged parts.
type lentParts struct {
	m       *Mending
	old     []string        // names of all parts that are there
	damaged map[string]bool // of these

	not  []uint64    // generations that nobody has whole
	w    *PartWriter // nil until a lender has said which generation it has
	next int64
	set  *CompactedSet // complete

	short bool // the last generation had not all its records, and was given up

	to, toTerm uint64 // an entry that was looked up, and its term in this log, 0 if it is unknown
}

// want is what is missing next. Every lender that has any part of a generation names it,
// and whoever has it may go on where another one is damaged too.
func (p *lentParts) want() *PartsWant {
	w := &PartsWant{Not: p.not, Reach: p.m.segs[0].cp.NextOffset}
	if p.w != nil {
		w.Generation, w.Offset = p.w.info.Generation, p.next
	}
	return w
}

// PutParts takes over lines that a lender has, as Want asked for them. Errors:
// ErrWrongEntry when they are not what is wanted, and then another lender may be asked;
// errors of the disk.
func (m *Mending) PutParts(loan *PartsLoan) error {
	want, ok := m.Want()
	if !ok || want.Parts == nil {
		return fmt.Errorf("parts: %w: none are missing", ErrWrongEntry)
	}
	p, c := m.lentParts, &loan.Info
	var err error
	switch {
	case Checksum(loan.Lines) != loan.Sum:
		err = errors.New("the checksum of the lines does not match")
	case c.Generation == 0 || slices.Contains(p.not, c.Generation):
		err = fmt.Errorf("generation %d was not asked for", c.Generation)
	case p.w == nil && (c.Next < want.Parts.Reach || c.Start > m.logStart):
		err = fmt.Errorf("generation %d reaches from offset %d to %d, missing is what lies from %d to %d", c.Generation, c.Start, c.Next, m.logStart, want.Parts.Reach)
	case p.w != nil && *c != p.w.info:
		err = fmt.Errorf("generation %d is not the one that is wanted: %+v", c.Generation, *c)
	case loan.Next > c.Next || loan.Next <= want.Parts.Offset && c.Next > want.Parts.Offset:
		err = fmt.Errorf("it goes on at offset %d", loan.Next)
	}
	// The content last, because it is all of the loan that takes time to look at.
	if err == nil {
		err = loan.check(max(want.Parts.Offset, c.Start))
	}
	if err != nil {
		return fmt.Errorf("parts: %w: %w", ErrWrongEntry, err)
	}
	if err := p.proven(loan); err != nil {
		return err
	}
	if p.w == nil {
		p.short = false
		// The first lender decides which generation it is; the others fill in the rest of
		// that.
		p.w = newPartWriter(newLog(m.fsys, m.dir, m.id, m.opt), *c, m.pace)
		p.next = c.Start
	}
	if err := p.w.Append(loan.Lines); err != nil {
		return err
	}
	if p.next = loan.Next; p.next < c.Next {
		return nil
	}
	return p.finish()
}

// check checks the lines, whose offsets must ascend from one up to Next.
func (l *PartsLoan) check(from int64) error {
	var err error
	eachLine(l.Lines, func(_ int, line []byte) bool {
		var r Line
		if r, err = ParseLine(line); err == nil && (r.Offset < from || r.Offset >= l.Next) {
			err = fmt.Errorf("offset %d is not between %d and %d", r.Offset, from, l.Next)
		}
		from = r.Offset + 1
		return err == nil
	})
	return err
}

// proven returns nil if a lender's parts are known to be of this log's history, else
// ErrWrongEntry. An entry that this log does not hold yet, or no more, proves nothing.
func (p *lentParts) proven(loan *PartsLoan) error {
	m, c := p.m, &loan.Info
	// Looked up once, and not with each stretch.
	if p.to != c.To {
		term, err := m.term(c.To)
		if err != nil {
			return err
		}
		p.to, p.toTerm = c.To, term
	}
	var err error
	switch {
	case loan.Term == 0 || loan.Term != p.toTerm:
		err = fmt.Errorf("generation %d reaches to entry %d, which has term %d there, and %d here (0: unknown)", c.Generation, c.To, loan.Term, p.toTerm)
	case c.Generation > m.last && !p.had(c.Generation):
		// Another entry may get this number here, and may ask for another compaction.
		err = fmt.Errorf("entry %d, which asked for the compaction, is not in this log", c.Generation)
	}
	if err != nil {
		return fmt.Errorf("parts: %w: %w", ErrWrongEntry, err)
	}
	return nil
}

// had reports whether this copy has parts of a generation, damaged ones maybe.
func (p *lentParts) had(generation uint64) bool {
	return slices.ContainsFunc(p.old, func(name string) bool {
		_, of, ok := partName(name)
		return ok && of == generation
	})
}

// finish completes the generation once its last line has come.
func (p *lentParts) finish() error {
	set, err := p.w.Finish()
	if err != nil {
		return err
	}
	// What lenders have passed over shows here at the latest.
	if got, want := set, &p.w.info; got.Records != want.Records || got.Tombstones != want.Tombstones {
		p.short = true
		return errors.Join(p.drop(), fmt.Errorf("parts: %w: %d records of generation %d came instead of %d", ErrWrongEntry, got.Records, want.Generation, want.Records))
	}
	p.set, p.m.parts = set, set.CompactedInfo
	return nil
}

// drop gives the present generation up.
func (p *lentParts) drop() error {
	if p.w == nil {
		return nil
	}
	p.not = append(p.not, p.w.info.Generation)
	err := p.w.Abort(nil)
	p.w, p.set = nil, nil
	return err
}

// OtherParts gives up the generation of parts that was begun, since no lender has the
// rest of it. It reports whether there was one, or one was given up since, so that another
// may be asked for.
func (m *Mending) OtherParts() (bool, error) {
	p := m.lentParts
	if p == nil || p.w == nil && !p.short {
		return false, nil
	}
	p.short = false
	return true, p.drop()
}

// names returns the final names of the new parts.
func (p *lentParts) names() (names []string) {
	for _, s := range p.set.parts {
		names = append(names, filepath.Base(s.file.path))
	}
	return names
}

// replace puts the new parts in place. The damaged ones are copied first. Until the last
// new part has its name the old generation is the one that counts, damaged as it is, and
// so is what is left of both.
func (p *lentParts) replace() error {
	if p == nil {
		return nil
	}
	m, copies := p.m, []string{}
	for name := range p.damaged {
		kept, err := m.keep(&mendSegment{segmentFile: segmentFile{path: filepath.Join(m.dir, name)}})
		if kept != "" {
			copies = append(copies, kept)
		}
		if err != nil { // there may be no space: without these the next try has as much as this one
			for _, path := range copies {
				err = errors.Join(err, removeFile(m.fsys, path))
			}
			return err
		}
	}
	if err := m.fsys.SyncDir(m.dir); err != nil { // the copies are there before what they are of goes
		return err
	}
	for i, s := range p.set.parts {
		if i > 0 && i == len(p.set.parts)-1 {
			if err := m.fsys.SyncDir(m.dir); err != nil {
				return err
			}
		}
		if err := m.fsys.Rename(p.set.tmp[i], s.file.path); err != nil {
			return err
		}
	}
	if err := m.fsys.SyncDir(m.dir); err != nil {
		return err
	}
	p.set.tmp = nil
	return p.removeOld()
}

// removeOld removes the parts that were replaced. A newer generation counts, and hides the
// new parts, as long as its last part is there, so that one goes first, and is gone before
// the others.
func (p *lentParts) removeOld() error {
	m, names := p.m, p.names()
	slices.Sort(p.old)
	for _, name := range slices.Backward(p.old) {
		if slices.Contains(names, name) {
			continue
		}
		path := filepath.Join(m.dir, name)
		if err := errors.Join(removeFile(m.fsys, path), removeFile(m.fsys, indexPath(path))); err != nil {
			return err
		}
		if err := m.fsys.SyncDir(m.dir); err != nil {
			return err
		}
	}
	return nil
}

// dirName is a file of a directory, of which only the name is known.
type dirName struct {
	fs.DirEntry
	name string
}

// Name implements fs.DirEntry.
func (d dirName) Name() string { return d.name }

// ReadDir implements FS: of the parts, the new ones are there instead of the old ones.
func (f *mendedFS) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := f.FS.ReadDir(name)
	if f.parts == nil {
		return list, err
	}
	list = slices.DeleteFunc(list, func(e fs.DirEntry) bool { return slices.Contains(f.parts.old, e.Name()) })
	for _, name := range f.parts.names() {
		list = append(list, dirName{name: name})
	}
	return list, err
}
