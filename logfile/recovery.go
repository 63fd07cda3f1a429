package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
)

// recovery is one run of Open. Nothing is written before settle.
type recovery struct {
	fsys FS
	dir  string
	opt  Options
	log  *Log
	rec  Recovered

	handle   Handle // of the active segment
	fileSize int64
	headEnd  int64
	headCP   Checkpoint
	boot     string // under which the end of the log was written
	proven   uint64 // highest index known to be synced
	vouchEnd int64  // everything below was synced for certain
	w        walker
	changes  []uint64 // indexes of membership entries in the active segment
	cutAt    int64    // where a tail to be cut begins, -1: none
	stale    []string // parts of generations that are not complete, or not the newest
}

func (r *recovery) closeUnused() {
	if r.log != nil {
		_ = r.log.Close()
	}
}

// readHeads opens the chain of segments: each must name the one before it.
func (r *recovery) readHeads(bases []int64) error {
	var prev *segment
	for i, base := range bases {
		path := segmentPath(r.dir, base)
		h, err := r.fsys.OpenFile(path, openRW, 0)
		if err != nil {
			return err
		}
		size, err := h.Size()
		if err != nil {
			return errors.Join(err, h.Close())
		}
		head, cp, end, err := readHead(h, path, size)
		if err != nil {
			return errors.Join(err, h.Close())
		}
		if i == 0 {
			r.log = newLog(r.fsys, r.dir, head.id, r.opt)
			r.opt = r.log.opt
		}
		if err := r.chain(prev, base, head, &cp, path); err != nil {
			return errors.Join(err, h.Close())
		}
		file := r.log.newFile(base)
		file.end.Store(size)
		prev = &segment{
			file: file, base: base, first: cp.Index + 1, prev: TermStart{cp.Index, cp.Term},
			size: size, last: cp.Index, next: cp.NextOffset, maxTime: noTime,
		}
		if i < len(bases)-1 {
			file.sealed.Store(true)
			r.log.sealed = append(r.log.sealed, prev)
			if err := h.Close(); err != nil {
				return err
			}
			continue
		}
		file.h = h
		r.handle, r.fileSize, r.headEnd, r.headCP, r.boot = h, size, end, cp, head.boot
		r.log.active = *prev
		r.log.begin(&cp)
		r.log.lastAt, r.log.active.lastAt = head.lastAt, head.lastAt
	}
	return nil
}

// chain checks a segment against the one before it, whose end it describes.
func (r *recovery) chain(prev *segment, base int64, head *segmentHead, cp *Checkpoint, path string) error {
	fail := func(format string, args ...any) error {
		return &CorruptError{Path: path, Err: fmt.Errorf(format, args...)}
	}
	if cp.NextOffset != base {
		return fail("holds offset %d", cp.NextOffset)
	}
	if head.id != r.log.id {
		return fail("belongs to another replica: %+v instead of %+v", head.id, r.log.id)
	}
	if prev == nil {
		return nil
	}
	if head.prevBase != prev.base {
		return fail("the segment before it, %d, is missing", head.prevBase)
	}
	if head.prevSize != prev.size {
		return &CorruptError{
			Path: prev.file.path, Offset: min(head.prevSize, prev.size),
			Err: fmt.Errorf("sealed with %d bytes, has %d", head.prevSize, prev.size),
		}
	}
	if cp.Index < prev.last || cp.NextOffset <= prev.base {
		return fail("does not follow the segment before it")
	}
	prev.last, prev.next = cp.Index, cp.NextOffset
	prev.lastAt, prev.maxTime = head.lastAt, head.prevMax
	return nil
}

// scanActive reads and verifies the active segment up to its end or to the
// first thing that is wrong, and decides what that is.
func (r *recovery) scanActive() error {
	l := r.log
	r.cutAt = -1
	r.proven, r.vouchEnd = r.headCP.Index, r.headEnd
	r.rec.Checkpoint = r.headCP
	r.rec.Clean = true
	r.w = walker{last: l.active.last, term: r.headCP.Term, next: l.active.next}
	l.joinHardState(r.headCP.HardTerm, r.headCP.Vote)
	l.index = newIndexer(r.opt.IndexInterval)
	sc := r.scanner(r.headEnd)
	err := r.scan(sc, nil)
	var bad *badItem
	if errors.As(err, &bad) {
		err = r.judge(bad)
	}
	if err != nil {
		return err
	}
	l.active.size = sc.pos
	l.trimTerms()
	return nil
}

func (r *recovery) scanner(pos int64) *scanner {
	return &scanner{h: r.handle, path: r.log.active.file.path, seal: r.log.seal, pos: pos, limit: r.fileSize, chunk: 4 * scanChunk}
}

// scan takes items up to the end, a *badItem, or each's error.
func (r *recovery) scan(sc *scanner, each func(*Frame) error) error {
	for {
		it, err := sc.peek()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = r.take(sc, &it, each)
		}
		if err != nil {
			return err
		}
		sc.pos = it.end
	}
}

// take applies one item to the log.
func (r *recovery) take(sc *scanner, it *item, each func(*Frame) error) error {
	l, local := r.log, r.log.seal.local
	wrap := func(err error) error {
		if err != nil {
			return &badItem{pos: it.pos, end: it.end, err: err}
		}
		return nil
	}
	switch it.mark {
	case 'f':
		f, err := sc.frame(it)
		if err == nil {
			err = r.w.follow(&f, it.pos)
		}
		if err != nil {
			return err
		}
		r.rec.Clean = false
		r.proven = max(r.proven, it.head.synced)
		l.index.add(&f, it.pos, it.bodyPos)
		l.accept(&f)
		if f.Kind == KindConfChange {
			r.changes = append(r.changes, f.Index)
		}
		if each != nil {
			return each(&f)
		}
	case 'h':
		term, vote, err := parseHardState(it.line, local)
		if err != nil {
			return wrap(err)
		}
		r.rec.Clean = false
		l.joinHardState(term, vote)
	case 'c':
		cp, lastAt, err := parseCheckpoint(it.line, local)
		if err != nil {
			return wrap(err)
		}
		r.rec.Clean = false
		r.takeCheckpoint(cp, lastAt)
	case 's':
		index, boot, err := parseVouch(it.line, local)
		if err != nil {
			return wrap(err)
		}
		r.boot, r.vouchEnd = boot, it.pos // not the vouch itself: its own sync may have failed
		r.proven = max(r.proven, index)
		r.rec.Clean = index >= l.active.last
	default:
		return &badItem{pos: it.pos, whole: true, err: errors.New("line does not belong here")}
	}
	return nil
}

func (r *recovery) takeCheckpoint(cp Checkpoint, lastAt int64) {
	l := r.log
	l.joinHardState(cp.HardTerm, cp.Vote)
	l.logStart = max(l.logStart, cp.LogStart)
	l.lastAt = max(l.lastAt, lastAt)
	if cp.Applied >= l.applied {
		l.applied, l.confState, l.producers, l.compaction = cp.Applied, cp.ConfState, cp.Producers, cp.Compaction
		r.rec.Checkpoint = cp
	}
}

// readCarry takes over what the side file of the last truncation says, if that
// is newer.
func (r *recovery) readCarry() error {
	path := filepath.Join(r.dir, carryName)
	h, err := r.fsys.OpenFile(path, 0, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closeQuietly(h)
	size, err := h.Size()
	if err != nil {
		return err
	}
	head, cp, _, err := readHead(h, path, size)
	if err != nil {
		return err
	}
	if head.id != r.log.id {
		return &CorruptError{Path: path, Err: errors.New("belongs to another replica")}
	}
	l := r.log
	l.joinHardState(cp.HardTerm, cp.Vote)
	if cp.Applied > l.applied && cp.Applied <= l.active.last {
		l.logStart = max(l.logStart, cp.LogStart)
		cp.LogStart = l.logStart
		l.applied, l.confState, l.producers, l.compaction = cp.Applied, cp.ConfState, cp.Producers, cp.Compaction
		r.rec.Checkpoint = cp
	}
	return nil
}
