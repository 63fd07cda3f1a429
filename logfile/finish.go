package logfile

import (
	"fmt"
	"path/filepath"
)

// summarize fills in what Open reports of the log.
func (r *recovery) summarize() {
	l, a := r.log, &r.log.active
	rec := &r.rec
	rec.Identity, rec.LastIndex, rec.NextOffset, rec.LogStart = l.id, a.last, a.next, l.logStart
	rec.SyncedIndex = min(r.scan.proof.index, a.last)
	rec.SameBoot = r.scan.proof.boot == r.opt.BootID
	// An entry of a greater term was accepted from a leader of that term, so the
	// replica had reached it, and no vote of it is known.
	if term := r.scan.w.term; l.hardTerm < term {
		l.hardTerm, l.vote = term, 0
	}
	rec.HardTerm, rec.Vote = l.hardTerm, l.vote
}

// finish does what was decided and makes everything durable. The order matters, for
// the power may fail at every step: what is cut off is kept first; the sync mark
// comes last, after the sync of everything that it covers.
func (r *recovery) finish(tmp []string) error {
	r.summarize()
	l, a := r.log, &r.log.active
	for _, name := range r.obsolete {
		tmp = append(tmp, name, indexPath(name))
	}
	// The names that make these files superfluous can be seen, but their own sync
	// may have failed before a kill.
	if len(tmp) > 0 {
		if err := l.syncDir(); err != nil {
			return err
		}
	}
	for _, name := range tmp {
		if err := l.remove(filepath.Join(r.dir, name)); err != nil {
			return err
		}
	}
	if r.cutAt >= 0 {
		// A clean stop leaves nothing to cut, whatever the last mark says.
		r.rec.Clean = false
		if err := r.cut(); err != nil {
			return err
		}
	}
	// After the cut, so that nothing is written again that is to go.
	if err := r.rewrite(); err != nil {
		return err
	}
	a.file.end.Store(a.size)
	// This covers the entries, and not the mark that is to say so.
	if err := r.sync(true); err != nil {
		return err
	}
	// The mark at the end of a log that was idle, when its process was killed, was written
	// again above. One of another boot is replaced: it says which marks prove what.
	if marked := r.rec.Clean && r.rec.SameBoot; !marked {
		mark := appendSyncMark(nil, a.last, r.opt.BootID, l.sums.local)
		if err := a.file.write([][]byte{mark}, a.size); err != nil {
			return err
		}
		a.size += int64(len(mark))
		// The mark is durable before the log is in use: the next recovery need not doubt what
		// this one has made sure of.
		if err := r.sync(false); err != nil {
			return err
		}
	}
	// In memory it is as after a sync mark that was staged.
	l.synced, l.marked, l.unmarked = a.last, a.last, false
	// What was applied was committed. More may be, but the log does not say so.
	l.committed = min(max(l.FirstIndex()-1, l.applied), a.last)
	// Where the entries begin that came before the start is found in the file when it is
	// needed.
	l.uncommitted, l.uncommittedFirst = nil, a.last+1
	return nil
}

// sync makes the active segment durable, and on request its name, which may be new.
func (r *recovery) sync(name bool) error {
	if together := r.opt.Together; together != nil && together(r.log.active.file) {
		return nil
	}
	if err := r.log.active.file.Sync(); err != nil || !name {
		return err
	}
	return r.log.syncDir()
}

// cut copies the tail to a file beside the segment and truncates the segment.
func (r *recovery) cut() error {
	a := &r.log.active
	// In one piece: a tail that was never synced is as long as what was staged at once.
	tail := make([]byte, r.file.size-r.cutAt)
	if _, err := r.file.h.ReadAt(tail, r.cutAt); err != nil {
		return fmt.Errorf("read the tail of %s that is to be cut: %w", a.file.path, err)
	}
	// Under a free name: an earlier cut may have been at the same place.
	kept, err := freeName(r.fsys, fmt.Sprintf("%s.%d", a.file.path, r.cutAt), ".broken")
	if err != nil {
		return err
	}
	// Durable before the bytes go, for they may be all there is for a human to look at.
	if err := r.log.writeSmall(filepath.Base(kept), tail); err != nil {
		return err
	}
	r.rec.CutBytes, r.rec.BrokenCopy = int64(len(tail)), kept
	return a.file.truncate(r.cutAt)
}

// rewrite writes again what is not proven to have been synced. After a sync that
// failed before the restart of the process, the kernel takes those pages for clean
// although they never reached the disk; writing them again makes the next sync
// write them.
func (r *recovery) rewrite() error {
	a := &r.log.active
	// Below that everything was synced, for a later line says so that could not have been
	// written else.
	from := r.scan.proof.end
	if e, ok := byIndex(r.log.index.entries, r.scan.proof.index); ok {
		from = max(from, e.Pos) // not the end of that entry: lines between it and the next one are not proven
	}
	buf := make([]byte, min(scanChunk, max(a.size-from, 0)))
	for pos := from; pos < a.size; pos += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), a.size-pos)]
		if _, err := r.file.h.ReadAt(buf, pos); err != nil {
			return fmt.Errorf("read the tail of %s: %w", a.file.path, err)
		}
		if _, err := r.file.h.WriteAt(buf, pos); err != nil {
			return fmt.Errorf("write the tail of %s again: %w", a.file.path, err)
		}
	}
	return nil
}
