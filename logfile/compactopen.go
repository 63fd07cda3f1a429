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
	found := map[uint64][]foundPart{}
	for _, name := range names {
		p, err := r.readPart(name)
		if err != nil {
			return err
		}
		found[p.end.Generation] = append(found[p.end.Generation], p)
	}
	newest := uint64(0)
	for generation, parts := range found {
		slices.SortFunc(parts, func(a, b foundPart) int { return a.end.part - b.end.part })
		// Only the last part says how many there are, and it is renamed last: with it
		// the generation is complete.
		if last := parts[len(parts)-1].end; last.parts > 0 {
			newest = max(newest, generation)
		}
	}
	for generation, parts := range found {
		for _, p := range parts {
			if generation != newest {
				r.obsolete = append(r.obsolete, p.name)
			}
		}
	}
	if newest > 0 {
		if err := r.adoptParts(found[newest]); err != nil {
			return err
		}
	}
	if l := r.log; l.Compacted().Next <= l.logStart { // retention was about to remove them before a crash
		for _, p := range found[newest] {
			r.obsolete = append(r.obsolete, p.name)
		}
		l.compacted = nil
	}
	return r.checkStart()
}

// readPart reads the first and the last line of one part, which must be those that
// its name says.
func (r *recovery) readPart(name string) (p foundPart, err error) {
	path := filepath.Join(r.dir, name)
	h, err := r.fsys.OpenFile(path, openRead, 0)
	if err != nil {
		return p, err
	}
	id, end, pos, err := readPart(h, path)
	if err = errors.Join(err, h.Close()); err != nil {
		return p, err
	}
	base, generation, _ := partName(name)
	switch {
	case id != r.log.id:
		err = fmt.Errorf("the part belongs to another replica: %+v instead of %+v", id, r.log.id)
	case end.Start != base || end.Generation != generation:
		err = fmt.Errorf("the part begins at offset %d of generation %d, which is not what its name says", end.Start, end.Generation)
	}
	if err != nil {
		return p, &CorruptError{Path: path, Err: err}
	}
	return foundPart{name, end, pos}, nil
}

// adoptParts makes a generation the one that is read. Its last part exists, so all
// others must.
func (r *recovery) adoptParts(parts []foundPart) error {
	last := parts[len(parts)-1].end
	info := last.CompactedInfo
	info.Start = parts[0].end.Start
	set := &CompactedSet{CompactedInfo: info}
	for i, p := range parts {
		path := filepath.Join(r.dir, p.name)
		if p.end.part != i || i > 0 && p.end.Start != parts[i-1].end.Next || len(parts) != last.parts {
			return &CorruptError{Path: path, Err: fmt.Errorf("of the %d parts of generation %d some are missing", last.parts, last.Generation)}
		}
		set.parts = append(set.parts, r.log.partSegment(path, &p.end, p.pos))
	}
	r.log.compacted = set
	return nil
}

// checkStart checks that parts hold the records between the log start and the
// first segment: only compaction removes segments above the log start.
func (r *recovery) checkStart() error {
	l := r.log
	// Retention moves the log start before it removes anything, so it leaves no hole
	// that this could take for damage.
	c, first := l.Compacted(), l.firstSegment()
	if first.base <= l.logStart || c.Generation > 0 && c.Start <= l.logStart && c.Next >= first.base {
		return nil
	}
	return &CorruptError{
		Path: first.file.path,
		Err:  fmt.Errorf("the records from offset %d to %d are neither in segments nor in parts", l.logStart, first.base),
	}
}
