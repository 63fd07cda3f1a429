package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// A checkpoint in the active segment says more than its replica's term and vote: where
// the log starts, and what came of entries whose segments were removed after it. Such a
// checkpoint is the same in every copy that has applied the same entries, so another
// copy can lend it. It is put into the carry file, from which Open takes it.

// sawCheckpoint takes over what a sound checkpoint says, if it is one that Open reads.
func (m *Mending) sawCheckpoint(s *mendSegment, cp *Checkpoint) {
	if s.active {
		m.logStart, m.applied = max(m.logStart, cp.LogStart), max(m.applied, cp.Applied)
	}
}

// readCarry reads the carry file, as Open does after the segments.
func (m *Mending) readCarry() error {
	path := filepath.Join(m.dir, carryName)
	head, cp, err := readSegmentHead(m.fsys, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case head.id != m.id:
		return &CorruptError{Path: path, Err: fmt.Errorf("the file belongs to another replica: %+v instead of %+v", head.id, m.id)}
	}
	m.carry = &cp
	if cp.Applied <= m.last {
		m.logStart, m.applied = max(m.logStart, cp.LogStart), max(m.applied, cp.Applied)
	}
	return nil
}

// start returns nil if what is left says where the log begins, and what came of the
// entries before; else a checkpoint is lost.
func (m *Mending) start() error {
	first := m.segs[0]
	err := checkStart(first.cp.NextOffset, m.logStart, m.parts)
	if err == nil {
		err = checkApplied(first.cp.Index, m.applied)
	}
	if err != nil {
		return &CorruptError{Path: first.path, Err: err}
	}
	return nil
}

// PutCheckpoint takes over a checkpoint that another copy has lent in place of a lost
// one, as of the entry Applied, which has that term there. Errors: ErrWrongEntry when
// it does not say what is missing, or is not known to be one of this log, and then
// another lender may be asked; as Finish.
func (m *Mending) PutCheckpoint(cp *Checkpoint, term uint64) error {
	want, ok := m.Want()
	if !ok || !want.Checkpoint {
		return fmt.Errorf("checkpoint: %w: none is missing", ErrWrongEntry)
	}
	err := checkStart(m.segs[0].cp.NextOffset, max(cp.LogStart, m.logStart), m.parts)
	switch {
	case err != nil:
	case cp.Applied < want.First || cp.Applied > want.Last:
		err = fmt.Errorf("it is as of entry %d, missing is one from %d to %d", cp.Applied, want.First, want.Last)
	case term == 0:
		err = fmt.Errorf("the lender does not say which entry %d it has", cp.Applied)
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w: %w", ErrWrongEntry, err)
	}
	lent := &Checkpoint{
		Applied: cp.Applied, LogStart: cp.LogStart, ConfState: cp.ConfState, Producers: cp.Producers, Compaction: cp.Compaction,
	}
	if m.carry != nil { // it may be the only one that says the vote
		lent.HardTerm, lent.Vote = m.carry.HardTerm, m.carry.Vote
	}
	m.checkpoint = lent
	log, err := m.reread()
	if err == nil {
		if own, known := log.Term(cp.Applied); !known || own != term {
			err = fmt.Errorf("checkpoint: %w: entry %d has term %d there, and %d here", ErrWrongEntry, cp.Applied, term, own)
		}
	}
	if err != nil {
		m.checkpoint = nil
	}
	return err
}

// carryTmp is the name under which a new carry file is written.
func (m *Mending) carryTmp() string { return filepath.Join(m.dir, carryName+".mend.tmp") }

// writeCarry makes a carry file with the lent checkpoint durable under its temporary
// name.
func (m *Mending) writeCarry() error {
	if m.checkpoint == nil {
		return nil
	}
	b := appendSegmentHead(nil, &segmentHead{id: m.id, boot: m.opt.BootID, prevBase: -1})
	return writeSynced(m.fsys, m.carryTmp(), appendCheckpoint(b, m.checkpoint, 0, m.sums.local))
}

// nameCarry gives the new carry file its name. It is called before any segment is
// replaced: without the segment it says nothing that is not so.
func (m *Mending) nameCarry() error {
	if m.checkpoint == nil {
		return nil
	}
	if err := m.fsys.Rename(m.carryTmp(), filepath.Join(m.dir, carryName)); err != nil {
		return err
	}
	return m.fsys.SyncDir(m.dir)
}

// mendedFS shows mended files under the names that they are to get.
type mendedFS struct {
	FS
	names map[string]string // path: where its mended content is
	parts *lentParts        // instead of those that are there, if not nil
}

// OpenFile implements FS.
func (f *mendedFS) OpenFile(name string, flag int, perm fs.FileMode) (Handle, error) {
	if tmp, mended := f.names[name]; mended {
		name = tmp
	}
	return f.FS.OpenFile(name, flag, perm)
}

// mendedSegments shows the segments as they are to be. It is called after complete.
func (m *Mending) mendedSegments() *mendedFS {
	mended := &mendedFS{FS: m.fsys, names: map[string]string{}}
	for _, s := range m.segs {
		if s.tmp != nil {
			mended.names[s.path] = s.tmpPath()
		}
	}
	return mended
}

// term returns the term of an entry of the mended log, 0 if it does not say it. No entry
// is missing any more when it is called.
func (m *Mending) term(index uint64) (uint64, error) {
	if err := m.complete(); err != nil {
		return 0, err
	}
	var bases []int64
	for _, s := range m.segs {
		bases = append(bases, s.cp.NextOffset)
	}
	return entryTerm(m.mendedSegments(), m.dir, m.id, bases, index)
}

// reread reads the log as Open will once Finish has put everything in place, and writes
// nothing else. The log returned is closed and says terms only. A log that Open would
// refuse is refused here, so that nothing is replaced for nothing, and so that the same
// is not found sound here and damaged there, again and again.
func (m *Mending) reread() (*Log, error) {
	if err := m.complete(); err != nil {
		return nil, err
	}
	if err := m.writeCarry(); err != nil {
		return nil, err
	}
	mended := m.mendedSegments()
	if p := m.lentParts; p != nil {
		mended.parts = p
		for i, s := range p.set.parts {
			mended.names[s.file.path] = p.set.tmp[i]
		}
	}
	if m.checkpoint != nil {
		mended.names[filepath.Join(m.dir, carryName)] = m.carryTmp()
	}
	found, err := listDir(mended, m.dir)
	if err != nil {
		return nil, err
	}
	if err := m.pace(int(m.segs[len(m.segs)-1].end)); err != nil {
		return nil, err
	}
	r := &recovery{fsys: mended, dir: m.dir, opt: Options{BootID: m.opt.BootID}}
	defer r.closeUnused()
	if err := r.read(found); err != nil {
		return nil, err
	}
	return r.log, checkApplied(r.log.FirstIndex()-1, r.log.applied)
}
