package logfile

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// foundPart is a part as Open finds it.
type foundPart struct {
	name string
	end  partEnd
	pos  int64
}

// readParts finds the newest complete generation of parts. Older ones, and one
// that is not complete, are what a crash left, and are removed when the log is
// settled.
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
		if last := parts[len(parts)-1].end; last.parts > 0 {
			newest = max(newest, generation)
		}
	}
	for generation, parts := range found {
		for _, p := range parts {
			if generation != newest {
				r.stale = append(r.stale, p.name)
			}
		}
	}
	if newest > 0 {
		if err := r.takeParts(found[newest]); err != nil {
			return err
		}
	}
	if l := r.log; l.Compacted().Next <= l.logStart { // a crash came before they were removed
		for _, p := range found[newest] {
			r.stale = append(r.stale, p.name)
		}
		l.compacted = nil
	}
	return r.checkStart()
}

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
		err = fmt.Errorf("belongs to another replica: %+v instead of %+v", id, r.log.id)
	case end.Start != base || end.Generation != generation:
		err = fmt.Errorf("holds offset %d of generation %d", end.Start, end.Generation)
	}
	if err != nil {
		return p, &CorruptError{Path: path, Err: err}
	}
	return foundPart{name, end, pos}, nil
}

// takeParts takes over a generation whose last part is there, so that all of
// them must be.
func (r *recovery) takeParts(parts []foundPart) error {
	last := parts[len(parts)-1].end
	info := last.CompactedInfo
	info.Start = parts[0].end.Start
	set := &CompactedSet{CompactedInfo: info}
	for i, p := range parts {
		path := filepath.Join(r.dir, p.name)
		if p.end.part != i || i > 0 && p.end.Start != parts[i-1].end.Next || len(parts) != last.parts {
			return &CorruptError{Path: path, Err: fmt.Errorf("not all %d parts of generation %d are there", last.parts, last.Generation)}
		}
		set.parts = append(set.parts, r.log.partSegment(path, &p.end, p.pos))
	}
	r.log.compacted = set
	return nil
}

// checkStart checks that what stands between the log start and the first
// segment is there: only compaction removes segments above the log start.
func (r *recovery) checkStart() error {
	l := r.log
	c, first := l.Compacted(), l.firstSegment()
	if first.base <= l.logStart || c.Generation > 0 && c.Start <= l.logStart && c.Next >= first.base {
		return nil
	}
	return &CorruptError{
		Path: first.file.path,
		Err:  fmt.Errorf("offsets %d to %d are neither in segments nor in parts", l.logStart, first.base),
	}
}
