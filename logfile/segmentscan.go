package logfile

import (
	"errors"
	"io"
)

// syncProof is what the lines of a segment prove to have been on disk when they
// were written.
type syncProof struct {
	index uint64 // entries up to this one were synced
	end   int64  // every byte of the file below this position was synced
	boot  string // boot of the machine under which the newest lines were written
}

// sawFrame takes over what the header of an entry says. It says nothing of positions,
// because lines after that entry may have been written and not synced.
func (p *syncProof) sawFrame(h *frameHead) { p.index = max(p.index, h.synced) }

// sawMark takes over a sync mark at pos. The mark proves the lines before it and
// not itself, for its own sync may have failed.
func (p *syncProof) sawMark(pos int64, index uint64, boot string) {
	p.index, p.end, p.boot = max(p.index, index), pos, boot
}

// segmentScan verifies the items of one segment one after the other.
type segmentScan struct {
	sc    *scanner
	w     walker
	proof syncProof
	clean bool  // nothing follows the last sync mark, and it covers the last entry
	f     Frame // the last frame; here so that it needs no allocation
}

// scanEvents are called with what a segmentScan has verified. Those that are nil
// are left out. Item and frame are valid during the call only.
type scanEvents struct {
	frame      func(it *item, f *Frame) error
	hardState  func(term, vote uint64)
	checkpoint func(cp Checkpoint, appendTime int64)
}

// scan returns a scan of the segment after its first two lines.
func (s *segmentFile) scan(chunk int) segmentScan {
	return segmentScan{
		sc: s.scanner(chunk), w: s.walker(), clean: true,
		proof: syncProof{index: s.cp.Index, end: s.headEnd, boot: s.head.boot},
	}
}

// run scans up to the end of the segment. It returns a *badItem for the first
// item that is not valid, where sc.pos then stands, or the error of a function.
func (s *segmentScan) run(on *scanEvents) error {
	for {
		// The item is left in the scanner and not taken as a copy: this runs for every
		// entry of a log.
		_, err := s.sc.peek()
		if errors.Is(err, io.EOF) {
			return nil
		}
		it := &s.sc.cur
		if err == nil {
			err = s.item(it, on)
		}
		if err != nil {
			return err
		}
		// Only past what has been verified, so that after an error pos is where the bad
		// item begins.
		s.sc.pos = it.end
	}
}

// item verifies one item. A line that is valid and must not stand there is whole:
// no crash has made it.
func (s *segmentScan) item(it *item, on *scanEvents) error {
	var err error
	local := s.sc.sums.local
	switch it.letter {
	case 'f':
		return s.frame(it, on)
	case 'h':
		var term, vote uint64
		if term, vote, err = parseHardState(it.line, local); err == nil {
			s.clean = false
			if on.hardState != nil {
				on.hardState(term, vote)
			}
		}
	case 'c':
		var cp Checkpoint
		var appendTime int64
		if cp, appendTime, err = parseCheckpoint(it.line, local); err == nil {
			s.clean = false
			if on.checkpoint != nil {
				on.checkpoint(cp, appendTime)
			}
		}
	case 's':
		var index uint64
		var boot string
		if index, boot, err = parseSyncMark(it.line, local); err == nil {
			s.proof.sawMark(it.pos, index, boot)
			// Lines after it make this false again.
			s.clean = index >= s.w.last
		}
	// "#i" and "#k" are the first lines of files, and stand nowhere else.
	default:
		return &badItem{pos: it.pos, whole: true, err: errMisplacedLine}
	}
	if err != nil {
		// Where it ends is known, because a line ends with its LF even if its content is
		// wrong.
		return &badItem{pos: it.pos, end: it.end, err: err}
	}
	return nil
}

// frame verifies an entry: its body, and that it follows the one before.
func (s *segmentScan) frame(it *item, on *scanEvents) error {
	var err error
	// First the bytes, then the place: only of an entry that is sound does it mean
	// something that it does not follow.
	if s.f, err = s.sc.frame(it); err == nil {
		err = s.w.follow(&s.f, it.pos)
	}
	if err != nil {
		return err
	}
	s.clean = false
	s.proof.sawFrame(&it.head)
	if on.frame != nil {
		return on.frame(it, &s.f)
	}
	return nil
}

var errMisplacedLine = errors.New("a line of this kind does not belong at this place in a segment")

// checkLine verifies a "#" line that may follow the first two.
func checkLine(sc *scanner, it *item) (err error) {
	switch it.letter {
	case 'f': // peek has checked the header
	case 'h':
		_, _, err = parseHardState(it.line, sc.sums.local)
	case 's':
		_, _, err = parseSyncMark(it.line, sc.sums.local)
	case 'c':
		_, _, err = parseCheckpoint(it.line, sc.sums.local)
	default:
		err = errMisplacedLine
	}
	return err
}
