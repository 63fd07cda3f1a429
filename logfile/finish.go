package logfile

import (
	"fmt"
	"path/filepath"
)

// conclude says what the log is.
func (r *recovery) conclude() {
	l, a := r.log, &r.log.active
	rec := &r.rec
	rec.Identity, rec.LastIndex, rec.NextOffset, rec.LogStart = l.id, a.last, a.next, l.logStart
	rec.SyncedIndex = min(r.scan.proof.index, a.last)
	rec.SameBoot = r.scan.proof.boot == r.opt.BootID
	if term := r.scan.w.term; l.hardTerm < term {
		l.hardTerm, l.vote = term, 0
	}
	rec.HardTerm, rec.Vote = l.hardTerm, l.vote
}

// finish does what was decided and makes everything durable.
func (r *recovery) finish(tmp []string) error {
	r.conclude()
	l, a := r.log, &r.log.active
	for _, name := range r.stale {
		tmp = append(tmp, name, indexPath(name))
	}
	if len(tmp) > 0 { // what makes them superfluous is in sight, but its own sync may have failed
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
		r.rec.Clean = false
		if err := r.cut(); err != nil {
			return err
		}
	}
	if err := r.rewrite(); err != nil {
		return err
	}
	a.file.end.Store(a.size)
	if err := a.file.Sync(); err != nil {
		return err
	}
	if err := l.syncDir(); err != nil {
		return err
	}
	mark := appendSyncMark(nil, a.last, r.opt.BootID, l.seal.local)
	if err := a.file.write(mark, a.size); err != nil {
		return err
	}
	a.size += int64(len(mark))
	l.synced, l.vouched, l.loose = a.last, a.last, false
	l.committed = min(max(l.FirstIndex()-1, l.applied), a.last)
	l.tail, l.tailFirst = nil, a.last+1
	return a.file.Sync()
}

// cut keeps the tail beside the segment and truncates.
func (r *recovery) cut() error {
	a := &r.log.active
	tail := make([]byte, r.file.size-r.cutAt)
	if _, err := r.file.h.ReadAt(tail, r.cutAt); err != nil {
		return fmt.Errorf("read the tail to cut: %w", err)
	}
	kept, err := freeName(r.fsys, fmt.Sprintf("%s.%d", a.file.path, r.cutAt), ".broken")
	if err != nil {
		return err
	}
	if err := r.log.writeSmall(filepath.Base(kept), tail); err != nil {
		return err
	}
	r.rec.CutBytes, r.rec.BrokenCopy = int64(len(tail)), kept
	return a.file.truncate(r.cutAt)
}

// rewrite writes again what is not known to have been synced. When a sync
// failed before a restart, the kernel holds those pages for clean although
// they never reached the disk; only this makes the next sync write them.
func (r *recovery) rewrite() error {
	a := &r.log.active
	from := r.scan.proof.end
	if e, ok := byIndex(r.log.index.entries, r.scan.proof.index); ok {
		from = max(from, e.Pos) // not the next entry's place: lines between the two are not proven
	}
	buf := make([]byte, min(scanChunk, max(a.size-from, 0)))
	for pos := from; pos < a.size; pos += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), a.size-pos)]
		if _, err := r.file.h.ReadAt(buf, pos); err != nil {
			return fmt.Errorf("read the tail: %w", err)
		}
		if _, err := r.file.h.WriteAt(buf, pos); err != nil {
			return fmt.Errorf("write the tail again: %w", err)
		}
	}
	return nil
}
