package logfile

import (
	"errors"
	"path/filepath"
)

// survey reads all segments.
func (m *Mending) survey(found listing) error {
	for i, base := range found.bases {
		s, err := m.readHead(base)
		if err != nil {
			return err
		}
		// The identity of the first segment is what the others are held against, as in
		// Open.
		if i == 0 {
			m.id, m.sums = s.head.id, newChecksums(s.head.id)
		}
		s.active = i == len(found.bases)-1
		m.segs = append(m.segs, s)
		if err := m.chain(i); err != nil {
			return err
		}
	}
	newest := m.segs[len(m.segs)-1]
	// The newest header knows the terms of all entries before it.
	m.terms = newest.cp.Terms
	m.sawCheckpoint(newest, &newest.cp)
	// Only now, because how each one ends is said by the next one's header.
	for _, s := range m.segs {
		if err := m.scanSegment(s); err != nil {
			return err
		}
		m.gaps = append(m.gaps, s.gaps...)
	}
	if err := m.readCarry(); err != nil {
		return err
	}
	return m.checkParts(found.parts)
}

// readHead reads a segment's first lines, and corrects one wrong bit in each.
func (m *Mending) readHead(base int64) (*mendSegment, error) {
	path := segmentPath(m.dir, base)
	file, size, err := openSized(m.fsys, path, openRead)
	if err != nil {
		return nil, err
	}
	defer closeQuietly(file)
	s := &mendSegment{end: size}
	h := &patched{Handle: file, seg: s}
	s.segmentFile = segmentFile{h: h, path: path, size: size}
	for {
		err := s.readHead()
		var bad *CorruptError
		// There are two lines, so this goes around twice at the most.
		if errors.As(err, &bad) && h.correct(bad.Offset, size, checksums{}, validHead(h, path, size)) {
			continue
		}
		return s, err
	}
}

// chain checks a segment's header against the segment before it, as Open does,
// and takes over from it how long that one was.
func (m *Mending) chain(i int) error {
	s := m.segs[i]
	if i == 0 {
		return s.follows(nil, m.id)
	}
	prev := m.segs[i-1]
	prev.end = s.head.prevSize // another size than it has is damage that can be mended
	return s.follows(&prev.segmentFile, m.id)
}

// checkParts reads all parts. Where any is damaged all are replaced.
func (m *Mending) checkParts(names []string) error {
	var found []foundPart
	damaged := map[string]bool{}
	note := func(name string, err error) error {
		var bad *CorruptError
		// What a newer program wrote is not damaged, and stays.
		if errors.As(err, &bad) && !errors.Is(err, ErrNewerFormat) {
			damaged[name], err = true, nil
		}
		return err
	}
	for _, name := range names {
		_, err := walkPart(m.fsys, filepath.Join(m.dir, name), func(_ Identity, f Frame) error { return m.pace(len(f.Body)) })
		if err == nil {
			var p foundPart
			p, err = readFoundPart(m.fsys, m.dir, name, m.id)
			found = append(found, p)
		}
		if err := note(name, err); err != nil {
			return err
		}
	}
	var err error
	if len(damaged) == 0 {
		// Each one is sound, and yet one of them may be missing.
		_, m.parts, err = newestParts(m.dir, found)
		for _, name := range names {
			err = note(name, err)
		}
	}
	if err == nil && len(damaged) > 0 {
		m.lentParts = &lentParts{m: m, old: names, damaged: damaged}
	}
	return err
}

// after returns the checkpoint of the segment that follows s.
func (m *Mending) after(s *mendSegment) *Checkpoint {
	for i := range m.segs {
		if m.segs[i] == s {
			return &m.segs[i+1].cp
		}
	}
	panic("BUG: a segment of another log")
}
