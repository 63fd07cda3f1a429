package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// wounded is one segment as Examine finds it.
type wounded struct {
	path    string
	boot    string // of its first line
	size    int64  // of the file
	end     int64  // that it shall have: a sealed segment's size stands in the next one
	headEnd int64
	cp      Checkpoint
	active  bool
	patches []patch // lines with one wrong bit, put right
	gaps    []*gap
	tmp     Handle // the mended copy, once there is one
}

// gap is a stretch of a segment that is not what was written.
type gap struct {
	seg         *wounded
	from, to    int64      // bytes of the file
	head        *frameHead // set: only this frame's body is damaged
	first, last uint64     // entries that stood there; last < first: none
	next, end   int64      // offset that is due, and the one after the last entry
	term        uint64     // of the entry before
	anchor      TermStart  // the last entry of the gap, or the first behind it
	synced      uint64     // entries up to there were synced before the gap was written
	guarded     bool       // a later line says term and vote

	due uint64 // next entry to be filled in
	pos int64  // where it goes
}

// mendScan walks one segment.
type mendScan struct {
	m      *Mending
	seg    *wounded
	sc     *scanner
	h      *patched
	w      walker
	synced uint64
	boot   string
	open   *gap     // its last entry is not known yet
	tail   *badItem // nothing valid has come behind it
}

// survey reads all segments.
func (m *Mending) survey(found listing) error {
	for i, base := range found.bases {
		s, head, err := m.readHead(base)
		if err != nil {
			return err
		}
		if i == 0 {
			m.id, m.seal = head.id, newSealer(head.id)
		}
		s.active = i == len(found.bases)-1
		m.segs = append(m.segs, s)
		if err := m.chain(i, head, base); err != nil {
			return err
		}
	}
	m.terms = m.segs[len(m.segs)-1].cp.Terms
	for _, s := range m.segs {
		if err := m.scanSegment(s); err != nil {
			return err
		}
		m.gaps = append(m.gaps, s.gaps...)
	}
	return m.checkParts(found.parts)
}

// readHead reads a segment's first lines.
func (m *Mending) readHead(base int64) (*wounded, *segmentHead, error) {
	s := &wounded{path: segmentPath(m.dir, base)}
	file, err := m.fsys.OpenFile(s.path, 0, 0)
	if err != nil {
		return nil, nil, err
	}
	defer closeQuietly(file)
	if s.size, err = file.Size(); err != nil {
		return nil, nil, err
	}
	s.end = s.size
	for h := (&patched{Handle: file, seg: s}); ; {
		head, cp, end, err := readHead(h, s.path, s.size)
		var bad *CorruptError
		if errors.As(err, &bad) && h.correct(bad.Offset, s.size, sealer{}, validHead(h, s.path, s.size)) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		s.boot, s.cp, s.headEnd = head.boot, cp, end
		return s, head, nil
	}
}

// chain checks a segment's header against the segment before it, as Open does,
// and takes over from it how long that one was. Damage there is left alone.
func (m *Mending) chain(i int, head *segmentHead, base int64) error {
	s := m.segs[i]
	fail := func(format string, args ...any) error {
		return &CorruptError{Path: s.path, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case head.id != m.id:
		return fail("belongs to another replica: %+v instead of %+v", head.id, m.id)
	case s.cp.NextOffset != base:
		return fail("holds offset %d", s.cp.NextOffset)
	case i == 0:
		return nil
	}
	prev := m.segs[i-1]
	if segmentPath(m.dir, head.prevBase) != prev.path {
		return fail("the segment before it, %d, is missing", head.prevBase)
	}
	if s.cp.Index < prev.cp.Index || s.cp.NextOffset <= prev.cp.NextOffset {
		return fail("does not follow the segment before it")
	}
	prev.end = head.prevSize
	return nil
}

// checkParts refuses a log whose compacted records are damaged: those are no
// entries, and only a whole copy replaces them.
func (m *Mending) checkParts(names []string) error {
	for _, name := range names {
		if _, err := walkPart(m.fsys, filepath.Join(m.dir, name), nil); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mending) scanSegment(s *wounded) error {
	h, err := m.fsys.OpenFile(s.path, 0, 0)
	if err != nil {
		return err
	}
	defer closeQuietly(h)
	return m.scan(s, h)
}

// scan walks a segment from its header on and notes what is wrong with it.
func (m *Mending) scan(s *wounded, file Handle) error {
	x := &mendScan{m: m, seg: s, h: &patched{Handle: file, seg: s}, boot: s.boot, synced: s.cp.Index}
	x.w = walker{last: s.cp.Index, term: s.cp.Term, next: s.cp.NextOffset}
	x.sc = &scanner{h: x.h, path: s.path, seal: m.seal, pos: s.headEnd, limit: min(s.size, s.end), chunk: 4 * scanChunk}
	for {
		start := x.sc.pos
		err := x.item()
		if errors.Is(err, io.EOF) {
			return x.sc.corrupt(x.finish())
		}
		if err != nil {
			return x.sc.corrupt(err)
		}
		if err := m.pace(int(x.sc.pos - start)); err != nil {
			return err
		}
	}
}

// item takes one item, or the gap that lies where one is due.
func (x *mendScan) item() error {
	it, err := x.sc.peek()
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	var bad *badItem
	switch {
	case errors.As(err, &bad):
		return x.lost(bad)
	case err != nil:
		return err
	case it.mark == 'f':
		return x.frame(&it)
	}
	if err = x.line(&it); errors.As(err, &bad) {
		return x.lost(bad)
	}
	return err
}

func (x *mendScan) frame(it *item) error {
	if err := x.settle(TermStart{it.head.Index, it.head.Term}, it.head.Index-1, it.head.BaseOffset); err != nil {
		return err
	}
	f, err := x.sc.frame(it)
	var bad *badItem
	if errors.As(err, &bad) && !bad.short && x.fits(&it.head) {
		head := it.head
		x.add(&gap{
			from: it.bodyPos, to: it.end, head: &head, first: head.Index, last: head.Index,
			next: head.BaseOffset, end: head.BaseOffset + int64(head.Count), anchor: TermStart{head.Index, head.Term},
		})
		x.w.last, x.w.term, x.w.next = head.Index, head.Term, head.BaseOffset+int64(head.Count)
		x.tail = bad // if nothing valid follows, it may be a torn end
	} else if errors.As(err, &bad) {
		return x.lost(bad)
	} else if err != nil {
		return err
	} else {
		if err := x.w.follow(&f, it.pos); err != nil {
			return err
		}
		x.tail = nil
	}
	x.synced = max(x.synced, it.head.synced)
	x.sc.pos = it.end
	return nil
}

// fits tells whether a header continues the log.
func (x *mendScan) fits(h *frameHead) bool {
	return h.Kind.valid() && h.Index == x.w.last+1 && h.Term >= x.w.term && h.BaseOffset == x.w.next
}

// line takes a "#" line of its own.
func (x *mendScan) line(it *item) error {
	local := x.m.seal.local
	var err error
	hard := false
	switch it.mark {
	case 'h':
		var term uint64
		term, _, err = parseHardState(it.line, local)
		hard = term > 0
	case 's':
		var index uint64
		if index, x.boot, err = parseVouch(it.line, local); err == nil {
			x.synced = max(x.synced, index)
			if g := x.open; g != nil && index == g.first-1 { // written when nothing was pending: no entry is lost
				err = x.settle(TermStart{index, x.w.term}, index, g.next)
			}
		}
	case 'c':
		var cp Checkpoint
		if cp, _, err = parseCheckpoint(it.line, local); err == nil {
			if err := x.settle(TermStart{cp.Index, cp.Term}, cp.Index, cp.NextOffset); err != nil {
				return err
			}
			hard = true
		}
	default:
		err = errors.New("line does not belong here")
	}
	if err != nil {
		return &badItem{pos: it.pos, err: err}
	}
	if hard {
		for _, g := range x.seg.gaps {
			g.guarded = true
		}
	}
	x.tail = nil
	x.sc.pos = it.end
	return nil
}

// lost begins a gap, or widens the one whose end is not known yet, up to the
// next line that is valid.
func (x *mendScan) lost(bad *badItem) error {
	if bad.whole {
		return bad
	}
	if x.h.correct(bad.pos, x.sc.limit, x.m.seal, nil) {
		x.sc.buf.b = nil // and look again
		return nil
	}
	if errors.Is(bad.err, ErrNewerFormat) {
		return bad
	}
	to, err := x.nextValid(bad.pos)
	if err != nil {
		return err
	}
	x.tail = nil
	if to == x.sc.limit {
		if x.tail = bad; !x.seg.active {
			to = x.seg.end
		}
	}
	if g := x.open; g != nil {
		g.to = to
	} else {
		x.open = &gap{from: bad.pos, to: to, first: x.w.last + 1, next: x.w.next}
		x.add(x.open)
	}
	x.sc.pos = min(to, x.sc.limit)
	return nil
}

func (x *mendScan) add(g *gap) {
	g.seg, g.term, g.synced = x.seg, x.w.term, x.synced
	g.due, g.pos = g.first, g.from
	x.seg.gaps = append(x.seg.gaps, g)
}

// settle closes a gap: the log goes on with an entry, or says at which it was.
func (x *mendScan) settle(anchor TermStart, last uint64, end int64) error {
	g := x.open
	if g == nil {
		return nil
	}
	x.open = nil
	if last+1 < g.first || end < g.next || last < g.first && end != g.next || anchor.Term < g.term {
		return &badItem{pos: g.from, err: fmt.Errorf("entry %d, offset %d is due; the log goes on after entry %d at offset %d", g.first, g.next, last, end)}
	}
	g.anchor, g.last, g.end = anchor, last, end
	x.w.last, x.w.next = last, end
	if last == anchor.Index {
		x.w.term = anchor.Term
	}
	return nil
}

// nextValid finds the first valid line behind pos.
func (x *mendScan) nextValid(pos int64) (int64, error) {
	r := &recovery{handle: x.h, fileSize: x.sc.limit, log: &Log{seal: x.m.seal, active: segment{file: &File{path: x.seg.path}}}}
	sc := r.scanner(pos)
	for pos++; pos < r.fileSize; {
		w, err := sc.window(pos-1, sc.chunk)
		if err != nil {
			return 0, err
		}
		at := bytes.Index(w, []byte("\n#"))
		if at < 0 {
			if len(w) < 2 {
				break
			}
			pos += int64(len(w)) - 1
			continue
		}
		pos += int64(at)
		if r.validLine(pos, &behind{}) {
			return pos, nil
		}
		pos++
	}
	return r.fileSize, nil
}

// finish settles what the end of the segment leaves open.
func (x *mendScan) finish() error {
	if !x.seg.active {
		return x.finishSealed(x.m.after(x.seg))
	}
	if x.tail == nil && x.open == nil {
		return nil
	}
	return x.judgeTail()
}

// finishSealed checks the end against what the next segment says of it, which
// also says term and vote.
func (x *mendScan) finishSealed(next *Checkpoint) error {
	if x.open == nil && x.sc.pos < x.seg.end {
		x.open = &gap{from: x.sc.pos, to: x.seg.end, first: x.w.last + 1, next: x.w.next}
		x.add(x.open)
	}
	if err := x.settle(TermStart{next.Index, next.Term}, next.Index, next.NextOffset); err != nil {
		return err
	}
	if x.w.last != next.Index || x.w.next != next.NextOffset {
		return &badItem{pos: x.sc.pos, err: fmt.Errorf("segment ends with entry %d instead of %d", x.w.last, next.Index)}
	}
	for _, g := range x.seg.gaps {
		g.guarded = true
	}
	return nil
}

// judgeTail decides about damage with nothing valid behind it, or nothing that
// says which entries stood there. A tail that Open cuts by itself is no damage.
func (x *mendScan) judgeTail() error {
	gaps := x.seg.gaps
	last := gaps[len(gaps)-1]
	if x.tail != nil {
		before := last.first - 1
		r := &recovery{
			handle: x.h, fileSize: x.seg.size, boot: x.boot, proven: x.synced, opt: x.m.opt,
			log: &Log{seal: x.m.seal, active: segment{file: &File{path: x.seg.path}, last: before}},
		}
		if r.judge(x.tail) == nil {
			x.seg.gaps = gaps[:len(gaps)-1]
			return nil
		}
	}
	if last.head != nil {
		return nil
	}
	return &badItem{pos: last.from, err: errors.New(
		"the newest entries are damaged, and nothing behind them says which ones they were")}
}

// after is the checkpoint of the segment behind s.
func (m *Mending) after(s *wounded) *Checkpoint {
	for i := range m.segs {
		if m.segs[i] == s {
			return &m.segs[i+1].cp
		}
	}
	panic("BUG: segment of another log")
}
