package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// recovery is one run of Open: read decides what the log is and writes nothing,
// finish does what was decided.
type recovery struct {
	fsys FS
	dir  string
	opt  Options
	log  *Log
	rec  Recovered

	file     *segmentFile // the active segment
	scan     segmentScan  // of the active segment
	changes  []uint64     // indexes of membership entries in the active segment
	cutAt    int64        // where the torn tail begins that cut removes, -1: none
	obsolete []string     // parts of generations that are not complete, or not the newest
}

// closeUnused closes the handles when the recovery failed. Open sets log to nil
// when it returns the log.
func (r *recovery) closeUnused() {
	if r.log != nil {
		_ = r.log.Close()
	}
}

// readHeads opens the chain of segments, of which each must name the one before
// it and its size.
func (r *recovery) readHeads(bases []int64) error {
	// The oldest first: the log is one whose identity is that of the first segment, and
	// every later one has to fit to it.
	var prev *segmentFile
	for i, base := range bases {
		s, err := openSegment(r.fsys, segmentPath(r.dir, base), os.O_RDWR)
		if err != nil {
			return err
		}
		if i == 0 {
			r.log = newLog(r.fsys, r.dir, s.head.id, r.opt)
			// With the defaults filled in.
			r.opt = r.log.opt
		}
		if err := r.chain(prev, s); err != nil {
			return errors.Join(err, s.h.Close())
		}
		file := r.log.newFile(base)
		file.end.Store(s.size)
		seg := segment{
			file: file, base: base, first: s.cp.Index + 1, prev: TermStart{s.cp.Index, s.cp.Term},
			size: s.size, last: s.cp.Index, next: s.cp.NextOffset, maxTime: noTime,
		}
		prev = s
		if i < len(bases)-1 {
			// The content of a sealed segment was synced before the next one existed.
			// It is verified when it is read, not here: that would read the whole log.
			file.sealed.Store(true)
			r.log.sealed = append(r.log.sealed, &seg)
			if err := s.h.Close(); err != nil {
				return err
			}
			continue
		}
		// Its handle stays open, because it is written to.
		file.h = s.h
		r.file, r.log.active = s, seg
		r.log.startAfter(&s.cp)
		r.log.lastAt = s.head.lastAt
	}
	return nil
}

// chain checks a segment against the one before it, which is sealed, and
// completes what is known of that one.
func (r *recovery) chain(prev, s *segmentFile) error {
	if err := s.follows(prev, r.log.id); err != nil || prev == nil {
		return err
	}
	// No crash does this: the size was written down after the sync of all bytes.
	if s.head.prevSize != prev.size {
		return &CorruptError{
			Path: prev.path, Offset: min(s.head.prevSize, prev.size),
			Err: fmt.Errorf("the file has %d bytes, it was sealed with %d", prev.size, s.head.prevSize),
		}
	}
	// Where the sealed segment ends stands in the header of the next one, so it need
	// not be read.
	seg := r.log.sealed[len(r.log.sealed)-1]
	seg.last, seg.next = s.cp.Index, s.cp.NextOffset
	seg.lastAt, seg.endAt, seg.maxTime = s.head.lastAt, s.head.lastAt, s.head.prevMax
	return nil
}

// scanActive reads and verifies the active segment up to its end or to the
// first item that is not valid, and decides whether that may be cut.
func (r *recovery) scanActive() error {
	l := r.log
	// No byte of the file is at -1, and 0 is the first line.
	r.cutAt = -1
	r.rec.Checkpoint = r.file.cp
	// The first two lines repeat what the segments before had said, so those need not be
	// read.
	l.joinHardState(r.file.cp.HardTerm, r.file.cp.Vote)
	l.index = newIndexer(r.opt.IndexInterval)
	// In large steps, because it reads all of the segment, one after the other.
	r.scan = r.file.scan(4 * scanChunk)
	err := r.scan.run(&scanEvents{frame: r.applyFrame, hardState: l.joinHardState, checkpoint: r.applyCheckpoint})
	var bad *badItem
	if errors.As(err, &bad) {
		err = judgeTail(r.scan.sc, bad, r.scan.w.last+1, r.scan.proof, r.opt.BootID)
		r.cutAt = bad.pos
	}
	if err != nil {
		return err
	}
	r.rec.Clean = r.scan.clean
	// There the scan has stopped: at the end, or where the tail is cut.
	l.active.size = r.scan.sc.pos
	l.trimTerms()
	return nil
}

// applyFrame moves the end of the log past a verified entry.
func (r *recovery) applyFrame(it *item, f *Frame) error {
	// The index of the active segment is never read from a file: one that was written
	// before the crash might point to what is cut.
	r.log.index.add(f, it.pos, it.bodyPos)
	r.log.advance(f)
	if f.Kind == KindConfChange {
		r.changes = append(r.changes, f.Index)
	}
	return nil
}

// applyCheckpoint takes over what a "#c" line says, as far as it is newer than what
// is known. Term, vote and log start only ever grow; membership and producers are as of
// the entry applied, so those of the greater one count. The append time is that of the
// entry before the line.
func (r *recovery) applyCheckpoint(cp Checkpoint, lastAt int64) {
	l := r.log
	l.joinHardState(cp.HardTerm, cp.Vote)
	l.logStart = max(l.logStart, cp.LogStart)
	// No maximum: append times may fall when the leader's clock does.
	l.lastAt = lastAt
	if cp.Applied >= l.applied {
		r.adopt(cp)
	}
}

// adopt makes cp the newest checkpoint.
func (r *recovery) adopt(cp Checkpoint) {
	l := r.log
	l.applied, l.confState, l.producers, l.compaction = cp.Applied, cp.ConfState, cp.Producers, cp.Compaction
	r.rec.Checkpoint = cp
}

// readCarry takes over what the carry file of the last truncation says, if that
// is newer.
func (r *recovery) readCarry() error {
	path := filepath.Join(r.dir, carryName)
	head, cp, err := readSegmentHead(r.fsys, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// It would give this replica another one's vote.
	if head.id != r.log.id {
		return &CorruptError{Path: path, Err: fmt.Errorf("the file belongs to another replica: %+v instead of %+v", head.id, r.log.id)}
	}
	l := r.log
	// These never go back, however old the carry file is.
	l.joinHardState(cp.HardTerm, cp.Vote)
	// A carry of an earlier truncation may speak of entries that are gone since:
	// its checkpoint counts only if the log holds the entry applied.
	if cp.Applied > l.active.last {
		return nil
	}
	l.logStart = max(l.logStart, cp.LogStart) // it was committed, and only grows
	if cp.Applied > l.applied {
		cp.LogStart = l.logStart
		r.adopt(cp)
	}
	return nil
}
