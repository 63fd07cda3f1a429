package logfile

import (
	"errors"
	"fmt"
	"os"
)

// A filler is a line that stands in a gap for lines that are lost, "#h 0 <digits>
// <crc>": a term and vote that change nothing. These are the lengths in bytes that
// it can have. The least one is also that of the shortest line that can be lost.
const (
	fillerLine    = 16
	longestFiller = 35
)

// fill writes an entry into its gap in the mended copy.
func (m *Mending) fill(g *gap, f *Frame) error {
	tmp, err := m.copyOf(g.seg)
	if err != nil {
		return err
	}
	if g.head != nil { // the header stands in the file already
		g.due++
		// It fits, for whoever put the entry in has compared it with this header.
		return writeAll(tmp, f.Body, g.from)
	}
	// With what was synced before the gap, and no more: this copy does not know what else
	// was.
	head := appendFrameHead(nil, m.sums, f, g.synced)
	rest := g.to - g.pos - int64(len(head)+len(f.Body))
	// Too little is left for a filler, so the header is made longer. The original had
	// another one, of another time of the sync.
	if g.due == g.last && rest > 0 && rest < fillerLine {
		head = appendPaddedHead(nil, m.sums, f, g.synced, int(rest))
		rest = 0
	}
	if rest < 0 {
		return g.corrupt(fmt.Errorf("entry %d does not fit into the damaged %d bytes", f.Index, g.to-g.from))
	}
	if err := writeAll(tmp, append(head, f.Body...), g.pos); err != nil {
		return err
	}
	g.pos += int64(len(head) + len(f.Body))
	g.next = f.BaseOffset + int64(f.Count)
	g.due++
	return nil
}

// fillRest writes fillers into what the entries leave of a gap: lines of this
// replica alone stood there. Term and vote, which they may have said, must stand
// in a later line.
func (m *Mending) fillRest(g *gap) error {
	rest := g.to - g.pos
	switch {
	case rest == 0:
		return nil
	case rest < fillerLine:
		return g.corrupt(fmt.Errorf("the entries leave %d of the damaged bytes, too few for a line that could have stood there", rest))
	case !g.voteKnown:
		return g.corrupt(errors.New("the term or the vote may have stood in the damaged bytes, and no line after them says either"))
	}
	tmp, err := m.copyOf(g.seg)
	if err != nil {
		return err
	}
	// Every line has a length between the shortest and the longest, and none may leave less
	// than the shortest.
	for rest > 0 {
		n := min(rest, longestFiller)
		if left := rest - n; left > 0 && left < fillerLine {
			n -= fillerLine - left
		}
		digits := uint64(1)
		for range n - fillerLine {
			digits *= 10
		}
		line := appendHardState(nil, 0, digits, m.sums.local)
		if err := writeAll(tmp, line, g.pos); err != nil {
			return err
		}
		g.pos += int64(len(line))
		rest = g.to - g.pos
	}
	return nil
}

func (g *gap) corrupt(err error) error {
	return &CorruptError{Path: g.seg.path, Offset: g.from, Err: err}
}

// writeSynced writes a small file and makes its content durable.
func writeSynced(fsys FS, path string, content []byte) error {
	h, err := fsys.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, filePerm)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	err = writeAll(h, content, 0)
	if err == nil {
		err = h.Datasync()
	}
	return errors.Join(err, h.Close())
}

func writeAll(h Handle, b []byte, off int64) error {
	if _, err := h.WriteAt(b, off); err != nil {
		return fmt.Errorf("write mended copy: %w", err)
	}
	return nil
}

// tmpPath is the path of the mended copy. Open removes files that end like it.
func (s *mendSegment) tmpPath() string { return s.path + ".mend.tmp" }

// copyOf returns the mended copy of a segment, which it makes when it is first
// needed.
func (m *Mending) copyOf(s *mendSegment) (Handle, error) {
	if s.tmp != nil {
		return s.tmp, nil
	}
	h, err := m.duplicate(s, s.tmpPath(), s.end, s.patches)
	s.tmp = h
	return h, err
}

// duplicate copies the first end bytes of a segment to a new file.
func (m *Mending) duplicate(s *mendSegment, to string, end int64, patches []patch) (Handle, error) {
	from, err := m.fsys.OpenFile(s.path, 0, 0)
	if err != nil {
		return nil, fmt.Errorf("copy segment: %w", err)
	}
	defer closeQuietly(from)
	h, err := m.fsys.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_RDWR, filePerm)
	if err != nil {
		return nil, fmt.Errorf("copy segment: %w", err)
	}
	// With the corrected bits in place, if there are any.
	src := &patched{Handle: from, seg: &mendSegment{patches: patches}}
	buf := make([]byte, scanChunk)
	for pos := int64(0); pos < min(end, s.size); {
		n := int(min(int64(len(buf)), min(end, s.size)-pos))
		// Each byte is read and written.
		if err = m.pace(2 * n); err != nil {
			break
		}
		if got, rerr := src.ReadAt(buf[:n], pos); got < n {
			err = fmt.Errorf("read %s: %w", s.path, rerr)
			break
		}
		if err = writeAll(h, buf[:n], pos); err != nil {
			break
		}
		pos += int64(n)
	}
	if err != nil {
		closeQuietly(h)
		return nil, err
	}
	return h, nil
}

// Finish verifies the mended copies and replaces the damaged segments with them;
// each damaged one is kept as <name>.damaged-<n>. Afterwards Open accepts the log,
// under the same replica id, and nothing that it held is missing. Finish is called
// when Want returns false. Errors: ErrRefused when entries are missing still,
// *CorruptError when the term or the vote may be lost, errors of the disk. After
// any error the damaged segments that are not replaced yet are as they were.
func (m *Mending) Finish() error {
	if want, more := m.Want(); more {
		what := fmt.Sprintf("entry %d", want.First)
		switch {
		case want.Parts != nil:
			what = "a part"
		case want.Checkpoint:
			what = "a checkpoint"
		}
		return fmt.Errorf("finish mending: %w: %s is missing", ErrRefused, what)
	}
	// Nothing is put in place that has not been read back and found to be sound.
	if _, err := m.reread(); err != nil {
		return fmt.Errorf("finish mending: %w", err)
	}
	// The checkpoint and the parts before the segments: a log whose segments are mended
	// passes for whole.
	if err := m.nameCarry(); err != nil {
		return fmt.Errorf("finish mending: %w", err)
	}
	if err := m.lentParts.replace(); err != nil {
		return fmt.Errorf("finish mending: %w", err)
	}
	for _, s := range m.segs {
		if !s.changed() {
			continue
		}
		if err := m.replace(s); err != nil {
			return fmt.Errorf("finish mending: %w", err)
		}
	}
	return nil
}

// complete writes what is left of the mended copies, and examines them.
func (m *Mending) complete() error {
	for _, g := range m.gaps {
		if g.head != nil {
			continue
		}
		if err := m.fillRest(g); err != nil {
			return err
		}
	}
	for _, s := range m.segs {
		if !s.changed() {
			continue
		}
		if err := m.check(s); err != nil {
			return err
		}
	}
	return nil
}

// changed reports whether Finish replaces the segment.
func (s *mendSegment) changed() bool { return len(s.gaps)+len(s.patches) > 0 || s.size != s.end }

// check makes a mended copy durable and examines it like the original.
func (m *Mending) check(s *mendSegment) error {
	tmp, err := m.copyOf(s)
	if err != nil {
		return err
	}
	if err := tmp.Datasync(); err != nil {
		return err
	}
	// The copy is examined in the place of the original, so that the same rules hold.
	again := &mendSegment{segmentFile: s.segmentFile, end: s.end, active: s.active}
	again.size = s.end
	index := 0
	for i := range m.segs {
		if m.segs[i] == s {
			index, m.segs[i] = i, again
		}
	}
	err = m.scan(again, tmp)
	m.segs[index] = s
	if err == nil && again.changed() {
		err = &CorruptError{Path: s.tmpPath(), Err: errors.New("the mended copy is damaged too")}
	}
	return err
}

// replace renames a mended copy to the name of the segment. The damaged file is
// copied and not renamed before, so that at every moment there is a file of that
// name: a crash in between would leave a log that opens without the segment.
func (m *Mending) replace(s *mendSegment) error {
	if _, err := m.keep(s); err != nil {
		return err
	}
	// It would point into the old file.
	if err := removeFile(m.fsys, indexPath(s.path)); err != nil {
		return err
	}
	if err := m.fsys.SyncDir(m.dir); err != nil {
		return err
	}
	err := s.tmp.Close()
	s.tmp = nil
	if err == nil {
		err = m.fsys.Rename(s.tmpPath(), s.path)
	}
	if err != nil {
		return err
	}
	return m.fsys.SyncDir(m.dir)
}

// keep makes a durable copy of a damaged file.
func (m *Mending) keep(s *mendSegment) (kept string, err error) {
	kept, err = freeName(m.fsys, s.path+".damaged", "")
	if err != nil {
		return "", err
	}
	h, size, err := openSized(m.fsys, s.path, openRead)
	if err != nil {
		return "", err
	}
	closeQuietly(h)
	// All of it, also what lies beyond the end that it should have.
	s.size = size
	h, err = m.duplicate(s, kept, size, nil)
	if err != nil {
		return "", errors.Join(err, removeFile(m.fsys, kept))
	}
	return kept, errors.Join(h.Datasync(), h.Close())
}

// Abort removes mended copies that Finish has not put in place. It may be called
// after Finish too.
func (m *Mending) Abort() error {
	var errs []error
	for _, s := range m.segs {
		if s.tmp != nil {
			closeQuietly(s.tmp)
			s.tmp = nil
		}
		errs = append(errs, removeFile(m.fsys, s.tmpPath()))
	}
	if m.checkpoint != nil {
		errs = append(errs, removeFile(m.fsys, m.carryTmp()))
	}
	if p := m.lentParts; p != nil && (p.set == nil || p.set.tmp != nil) {
		errs = append(errs, p.drop())
	}
	return errors.Join(errs...)
}
