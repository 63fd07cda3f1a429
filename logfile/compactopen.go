package logfile

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// foundPart is a part that Open has found: its name, its last line and where that
// begins.
type foundPart struct {
	name string
	end  partEnd
	pos  int64
}

// readParts finds the newest complete generation of parts. A crash may have left
// older ones, and one that is not complete; finish removes them.
func (r *recovery) readParts(names []string) error {
	var found []foundPart
	for _, name := range names {
		p, err := readFoundPart(r.fsys, r.dir, name, r.log.id)
		if err != nil {
			return err
		}
		found = append(found, p)
	}
	newest, info, err := newestParts(r.dir, found)
	if err != nil {
		return err
	}
	l := r.log
	keep := info.Next > l.logStart // else retention was about to remove them before a crash
	for _, p := range found {
		if !keep || p.end.Generation != info.Generation {
			r.obsolete = append(r.obsolete, p.name)
		}
	}
	if keep && len(newest) > 0 {
		l.compacted = &CompactedSet{CompactedInfo: info}
		for _, p := range newest {
			l.compacted.parts = append(l.compacted.parts, l.partSegment(filepath.Join(r.dir, p.name), &p.end, p.pos))
		}
	}
	return r.checkStart()
}

// newestParts returns the newest complete generation, in order, and what it is; none
// without one. Only the last part says how many there are, and it is renamed last: with
// it the generation is complete, so all others of it must exist.
func newestParts(dir string, found []foundPart) (newest []foundPart, info CompactedInfo, err error) {
	generation := uint64(0)
	for _, p := range found {
		if p.end.parts > 0 {
			generation = max(generation, p.end.Generation)
		}
	}
	if generation == 0 {
		return nil, info, nil
	}
	for _, p := range found {
		if p.end.Generation == generation {
			newest = append(newest, p)
		}
	}
	slices.SortFunc(newest, func(a, b foundPart) int { return a.end.part - b.end.part })
	last := newest[len(newest)-1].end
	for i, p := range newest {
		if p.end.part != i || i > 0 && p.end.Start != newest[i-1].end.Next || len(newest) != last.parts {
			return nil, info, &CorruptError{
				Path: filepath.Join(dir, p.name), Err: fmt.Errorf("of the %d parts of generation %d some are missing", last.parts, generation),
			}
		}
	}
	info = last.CompactedInfo
	info.Start = newest[0].end.Start
	return newest, info, nil
}

// readFoundPart reads the first and the last line of one part, which must be those
// that its name says, and of that replica.
func readFoundPart(fsys FS, dir, name string, of Identity) (p foundPart, err error) {
	path := filepath.Join(dir, name)
	h, err := fsys.OpenFile(path, openRead, 0)
	if err != nil {
		return p, err
	}
	id, end, pos, err := readPart(h, path)
	if err = errors.Join(err, h.Close()); err != nil {
		return p, err
	}
	base, generation, _ := partName(name)
	switch {
	case id != of:
		err = fmt.Errorf("the part belongs to another replica: %+v instead of %+v", id, of)
	case end.Start != base || end.Generation != generation:
		err = fmt.Errorf("the part begins at offset %d of generation %d, which is not what its name says", end.Start, end.Generation)
	}
	if err != nil {
		return p, &CorruptError{Path: path, Err: err}
	}
	return foundPart{name, end, pos}, nil
}

// checkStart checks that nothing which the first segment lacks is unaccounted for.
func (r *recovery) checkStart() error {
	l := r.log
	first := l.firstSegment()
	err := checkStart(first.base, l.logStart, l.Compacted())
	if err == nil && r.cutAt >= 0 { // a checkpoint that was synced, and damaged later, may be what is to be cut
		err = checkApplied(first.first-1, l.applied)
	}
	if err != nil {
		return &CorruptError{Path: first.file.path, Err: err}
	}
	return nil
}

// checkStart checks that parts hold the records between the log start and base, where
// the first segment begins: only compaction removes segments above the log start.
// Retention moves the log start before it removes anything, so it leaves no hole that
// this could take for damage.
func checkStart(base, logStart int64, c CompactedInfo) error {
	if base <= logStart || c.Generation > 0 && c.Start <= logStart && c.Next >= base {
		return nil
	}
	return fmt.Errorf("the records from offset %d to %d are neither in segments nor in parts", logStart, base)
}

// checkApplied checks that a checkpoint says what came of the entries before the first
// segment: others are removed only after such a checkpoint is on disk.
func checkApplied(before, applied uint64) error {
	if applied >= before {
		return nil
	}
	return fmt.Errorf("the log begins after entry %d, and no checkpoint says what came of the entries after entry %d", before, applied)
}
