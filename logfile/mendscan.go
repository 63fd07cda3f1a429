package logfile

import (
	"errors"
	"fmt"
	"io"
)

// mendSegment is one segment as Examine finds it.
type mendSegment struct {
	segmentFile         // its handle is open only while it is read
	end         int64   // size that it should have: that of a sealed segment stands in the next one
	active      bool    // the newest segment
	patches     []patch // corrections of lines with one wrong bit
	gaps        []*gap
	tmp         Handle // the mended copy, once there is one
}

// gap is a stretch of a segment that is not what was written.
type gap struct {
	seg         *mendSegment
	from, to    int64      // bytes of the file
	head        *frameHead // not nil: the header is sound, only this entry's body is damaged
	first, last uint64     // entries that stood there; last < first: none
	next, end   int64      // offset of the first missing record, and the one after the last
	term        uint64     // of the entry before
	anchor      TermStart  // the last entry of the gap, or the first one after it
	synced      uint64     // entries up to there were synced before the gap was written
	voteKnown   bool       // a later line says term and vote, so none can be lost in the gap

	due uint64 // next entry to be filled in
	pos int64  // where it goes
}

// mendScan walks one segment and collects its gaps.
type mendScan struct {
	m     *Mending
	seg   *mendSegment
	sc    *scanner
	h     *patched
	w     walker
	proof syncProof
	open  *gap     // the newest gap, as long as its last entry is not known
	tail  *badItem // the last invalid item, as long as nothing valid has come after it
}

func (m *Mending) scanSegment(s *mendSegment) error {
	h, err := m.fsys.OpenFile(s.path, openRead, 0)
	if err != nil {
		return err
	}
	defer closeQuietly(h)
	return m.scan(s, h)
}

// scan walks a segment from its header on and collects what is wrong with it.
func (m *Mending) scan(s *mendSegment, file Handle) error {
	x := &mendScan{
		m: m, seg: s, h: &patched{Handle: file, seg: s}, w: s.walker(),
		proof: syncProof{index: s.cp.Index, end: s.headEnd, boot: s.head.boot},
	}
	// Bytes beyond the end that a sealed segment had are none of it.
	x.sc = &scanner{h: x.h, path: s.path, sums: m.sums, pos: s.headEnd, limit: min(s.size, s.end), chunk: 4 * scanChunk}
	for {
		start := x.sc.pos
		err := x.step()
		if errors.Is(err, io.EOF) {
			return x.sc.corrupt(x.finish())
		}
		if err != nil {
			return x.sc.corrupt(err)
		}
		// The disk has other work to do while a log is mended.
		if err := m.pace(int(x.sc.pos - start)); err != nil {
			return err
		}
	}
}

// step goes over one item, or over the gap that lies where one should begin.
func (x *mendScan) step() error {
	it, err := x.sc.peek()
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	var bad *badItem
	switch {
	case errors.As(err, &bad):
		return x.enterGap(bad)
	case err != nil:
		return err
	case it.letter == 'f':
		return x.frame(&it)
	}
	if err = x.line(&it); errors.As(err, &bad) {
		return x.enterGap(bad)
	}
	return err
}

// frame goes over an entry. Its header is sound, so it says which entry it is and
// ends an open gap; if its body is damaged, the body alone is a gap.
func (x *mendScan) frame(it *item) error {
	if err := x.closeGap(TermStart{it.head.Index, it.head.Term}, it.head.Index-1, it.head.BaseOffset); err != nil {
		return err
	}
	f, err := x.sc.frame(it)
	var bad *badItem
	// The header says all but the content, so the entry that is asked for is known for
	// sure.
	if errors.As(err, &bad) && !bad.short && x.fits(&it.head) {
		head := it.head
		x.add(&gap{
			from: it.bodyPos, to: it.end, head: &head, first: head.Index, last: head.Index,
			next: head.BaseOffset, end: head.BaseOffset + int64(head.Count), anchor: TermStart{head.Index, head.Term},
		})
		// The scan goes on as if the body had been sound.
		x.w.last, x.w.term, x.w.next = head.Index, head.Term, head.BaseOffset+int64(head.Count)
		x.tail = bad // if nothing valid follows, this may be a torn write
	} else if errors.As(err, &bad) {
		return x.enterGap(bad)
	} else if err != nil {
		return err
	} else {
		if err := x.w.follow(&f, it.pos); err != nil {
			return err
		}
		x.tail = nil
	}
	x.proof.sawFrame(&it.head)
	x.sc.pos = it.end
	return nil
}

// fits reports whether a header continues the log.
func (x *mendScan) fits(h *frameHead) bool {
	return h.Kind.valid() && h.Index == x.w.last+1 && h.Term >= x.w.term && h.BaseOffset == x.w.next
}

// line goes over a "#" line that is no entry.
func (x *mendScan) line(it *item) error {
	local := x.m.sums.local
	var err error
	saysVote := false
	switch it.letter {
	case 'h':
		var term uint64
		term, _, err = parseHardState(it.line, local)
		// Term 0 is that of a filler, which says nothing.
		saysVote = term > 0
	case 's':
		var index uint64
		var boot string
		if index, boot, err = parseSyncMark(it.line, local); err == nil {
			x.proof.sawMark(it.pos, index, boot)
			// A mark is written when nothing is pending: if it covers just the entries
			// before the gap, no entry is lost in the gap.
			if g := x.open; g != nil && index == g.first-1 {
				err = x.closeGap(TermStart{index, x.w.term}, index, g.next)
			}
		}
	case 'c':
		var cp Checkpoint
		if cp, _, err = parseCheckpoint(it.line, local); err == nil {
			if err := x.closeGap(TermStart{cp.Index, cp.Term}, cp.Index, cp.NextOffset); err != nil {
				return err
			}
			// Which checkpoints are sound decides whether one has to be asked for.
			x.m.sawCheckpoint(x.seg, &cp)
			saysVote = true
		}
	default:
		err = errMisplacedLine
	}
	if err != nil {
		return &badItem{pos: it.pos, err: err}
	}
	if saysVote {
		x.seg.markVoteKnown()
	}
	x.tail = nil
	x.sc.pos = it.end
	return nil
}

// markVoteKnown notes that a line says term and vote after all gaps so far.
func (s *mendSegment) markVoteKnown() {
	for _, g := range s.gaps {
		g.voteKnown = true
	}
}

// enterGap begins a gap at an invalid item, or widens the one whose end is not
// known yet, up to the next valid line.
func (x *mendScan) enterGap(bad *badItem) error {
	if bad.whole {
		return bad // a valid entry at the wrong place: nothing here can be trusted
	}
	// A single bit that makes the checksum right again needs nobody's help.
	if x.h.correct(bad.pos, x.sc.limit, x.m.sums, nil) {
		x.sc.buf.b = nil // read the corrected line again
		return nil
	}
	// A newer program wrote it: it is not to be overwritten by an older one.
	if bad.intact() {
		return bad
	}
	to, err := x.sc.nextValid(bad.pos + 1)
	if err != nil {
		return err
	}
	// With nothing valid after it the gap may be a torn tail. In a sealed segment it
	// reaches up to the size with which that was sealed.
	x.tail = nil
	if to == x.sc.limit {
		if x.tail = bad; !x.seg.active {
			to = x.seg.end
		}
	}
	if g := x.open; g != nil {
		// Two damaged places with nothing in between that says where the first one ends are
		// one.
		g.to = to
	} else {
		x.addOpen(bad.pos, to)
	}
	x.sc.pos = min(to, x.sc.limit)
	return nil
}

// addOpen adds a gap whose last entry is not known yet.
func (x *mendScan) addOpen(from, to int64) {
	// How many entries it held is said by the next item that is sound.
	x.open = &gap{from: from, to: to, first: x.w.last + 1, next: x.w.next}
	x.add(x.open)
}

func (x *mendScan) add(g *gap) {
	g.seg, g.term, g.synced = x.seg, x.w.term, x.proof.index
	g.due, g.pos = g.first, g.from
	x.seg.gaps = append(x.seg.gaps, g)
}

// closeGap ends the open gap, if there is one: a valid item after it says that
// the last entry in the gap is last and that the next offset is end. anchor is
// the entry, in the gap or just after it, whose term that item says.
func (x *mendScan) closeGap(anchor TermStart, last uint64, end int64) error {
	g := x.open
	if g == nil {
		return nil
	}
	x.open = nil
	if last+1 < g.first || end < g.next || last < g.first && end != g.next || anchor.Term < g.term {
		return &badItem{pos: g.from, err: fmt.Errorf(
			"bytes %d to %d are damaged, and what stands on both sides of them does not fit: entry %d at offset %d of term %d or later should begin there, entry %d at offset %d of term %d follows",
			g.from, g.to, g.first, g.next, g.term, last+1, end, anchor.Term)}
	}
	// The scan goes on after the gap as if its entries had been there.
	g.anchor, g.last, g.end = anchor, last, end
	x.w.last, x.w.next = last, end
	// Else the anchor is the entry after the gap, whose term need not be that of the last
	// one in it.
	if last == anchor.Index {
		x.w.term = anchor.Term
	}
	return nil
}

// finish handles a gap that the end of the segment leaves open.
func (x *mendScan) finish() error {
	if !x.seg.active {
		return x.finishSealed(x.m.after(x.seg))
	}
	// In the newest segment no other follows that could say how it ends.
	if x.tail != nil || x.open != nil {
		if err := x.finishActive(); err != nil {
			return err
		}
	}
	x.m.last = x.w.last
	return nil
}

// finishSealed checks the end against what the next segment says of it, which
// also says term and vote.
func (x *mendScan) finishSealed(next *Checkpoint) error {
	if x.open == nil && x.sc.pos < x.seg.end {
		x.addOpen(x.sc.pos, x.seg.end)
	}
	if err := x.closeGap(TermStart{next.Index, next.Term}, next.Index, next.NextOffset); err != nil {
		return err
	}
	if x.w.last != next.Index || x.w.next != next.NextOffset {
		return &badItem{pos: x.sc.pos, err: wrongEnd(x.w.last, next.Index)}
	}
	x.seg.markVoteKnown()
	return nil
}

// finishActive decides about damage with nothing valid after it, or nothing
// that says which entries stood there. A tail that Open cuts by itself is no
// damage.
func (x *mendScan) finishActive() error {
	gaps := x.seg.gaps
	last := gaps[len(gaps)-1]
	if x.tail != nil && judgeTail(x.sc, x.tail, last.first, x.proof, x.m.opt.BootID) == nil {
		x.seg.gaps = gaps[:len(gaps)-1]
		return nil
	}
	// Only the body of the last entry is damaged: it can be asked for like any other.
	if last.head != nil {
		return nil
	}
	return &badItem{pos: last.from, err: errors.New(
		"the newest entries are damaged, and nothing after them says which ones they were")}
}
