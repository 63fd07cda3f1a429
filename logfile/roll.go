package logfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"ottla/mutate"
)

// Roll seals the active segment, whatever its size, and stages a new one, so that
// retention can remove the old one. A segment without records is not rolled, and
// Roll returns false.
func (l *Log) Roll(b *Batch) bool {
	// A new segment after an empty one would have the same base offset, and so the same
	// name.
	a := &l.active
	if a.next == a.base {
		return false
	}
	old := *a
	// Until the batch is executed the file may lack its last entries, and no index
	// could be rebuilt from it: readers get the one in memory.
	old.file.mu.Lock()
	old.file.entries = l.index.entries
	old.file.mu.Unlock()
	l.stageSeal(b, &old, l.index.entries)
	// A new slice: readers have the old one.
	l.sealed = append(l.sealed[:len(l.sealed):len(l.sealed)], &old)
	// With all that the segments so far say, so that these can go one day.
	cp := l.checkpoint(true)
	l.startSegment(cp, old.lastAt, &segmentHead{
		id: l.id, boot: l.opt.BootID, prevBase: old.base, prevSize: old.size, prevMax: old.maxTime,
	}, func(file *File, head []byte) {
		b.stageStep(l, func() error { return l.create(file, head, file.path) })
	})
	// The seal syncs the old segment, and the header of the new one is a proof of it, so no
	// mark is due.
	l.marked, l.unmarked = max(l.marked, l.synced), false
	return true
}

// RollDue reports whether the oldest records of the active segment were appended ms
// milliseconds or longer before now: until it is sealed, neither retention nor
// compaction reach them. Negative ms is never.
func (l *Log) RollDue(now, ms int64) bool {
	return ms >= 0 && l.active.next > l.active.base && now-l.since >= ms
}

// stageSeal stages the sync of a segment before the next one may exist, the
// release of space reserved after its end, and its index file.
func (l *Log) stageSeal(b *Batch, s *segment, entries []entry) {
	// Its own sync is a step of the batch, before the next segment.
	b.dropFile(s.file)
	b.stageStep(l, func() error {
		if err := s.file.Sync(); err != nil {
			return err
		}
		h, err := s.file.acquire()
		if err != nil {
			return err
		}
		_ = h.Truncate(s.size) // frees the reserved space and changes nothing else
		s.file.release()
		_ = writeIndexFile(l.fsys, indexPath(s.file.path), entries, s.indexKey()) // a missing one is rebuilt
		s.file.mu.Lock()
		s.file.entries = nil // readers load them again: memory must not grow with the log
		s.file.mu.Unlock()
		s.file.sealed.Store(true)
		l.opt.Cache.touch(s.file)
		return nil
	})
}

// startSegment makes a new active segment in memory and calls stage with its file
// and its first lines, which say the greatest append time of the segment before it.
func (l *Log) startSegment(cp *Checkpoint, lastAt int64, head *segmentHead, stage func(*File, []byte)) {
	bytes := appendSegmentHead(nil, head)
	bytes = appendCheckpoint(bytes, cp, lastAt, l.sums.local)
	file := l.newFile(cp.NextOffset)
	l.active = segment{
		file: file, base: cp.NextOffset, first: cp.Index + 1, prev: TermStart{cp.Index, cp.Term},
		size: int64(len(bytes)), last: cp.Index, next: cp.NextOffset, maxTime: noTime,
	}
	// Of its own: the entries so far are those of the segment before.
	l.index = newIndexer(l.opt.IndexInterval)
	stage(file, bytes)
}

// create makes a segment file that holds its first lines. The file is complete and
// durable before it gets the name target. create may be repeated after a failure.
func (l *Log) create(f *File, head []byte, target string) error {
	tmp := f.path + ".tmp"
	h, err := l.fsys.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_RDWR, filePerm)
	if err != nil {
		return fmt.Errorf("create segment: %w", err)
	}
	f.setHandle(h, true)
	f.end.Store(0)
	// Nothing is reserved in a file that has just been emptied.
	f.reserved = 0
	if err := f.write([][]byte{head}, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := l.fsys.Rename(tmp, target); err != nil {
		return fmt.Errorf("create segment: %w", err)
	}
	// The file of a reset gets its own name later.
	if target == f.path {
		f.setNamed()
	}
	return l.syncDir()
}

// syncDir makes the entries of the directory durable. As with files, one failure
// poisons the log.
func (l *Log) syncDir() error {
	if mutate.On(mutate.SkipDirSync) {
		return nil
	}
	if err := l.fsys.SyncDir(l.dir); lacksDescriptors(err) {
		return fmt.Errorf("sync %s: %w", l.dir, err) // it was not even begun, and may be repeated
	} else if err != nil {
		l.st.setPoison(l.dir, err)
		return l.st.poisoned()
	}
	return nil
}

// lacksDescriptors reports whether a call failed because the process, or the machine,
// has as many files open as it may. That is no failure of the disk.
func lacksDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// unlink removes segments and their index files in the order given, each durably
// before the next: not every filesystem keeps the order of unlinks, and a log with
// a hole counts as damaged. unlink may be repeated after a failure.
func (l *Log) unlink(segs []*segment) error {
	for _, s := range segs {
		for _, path := range []string{s.file.path, indexPath(s.file.path)} {
			if err := l.remove(path); err != nil {
				return err
			}
		}
		if err := l.syncDir(); err != nil {
			return err
		}
	}
	return nil
}

// remove unlinks a file; one that is not there is fine.
func (l *Log) remove(path string) error { return removeFile(l.fsys, path) }

// writeSmall replaces the content of a small file durably.
func (l *Log) writeSmall(name string, content []byte) error {
	path := filepath.Join(l.dir, name)
	h, err := l.fsys.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_RDWR, filePerm)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	// The new content is durable before it has the name, so after a crash the file is the
	// old one or the new one.
	if _, err = h.WriteAt(content, 0); err == nil {
		if serr := h.Datasync(); serr != nil {
			l.st.setPoison(path, serr)
			err = l.st.poisoned()
		}
	}
	if cerr := h.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = l.fsys.Rename(path+".tmp", path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return l.syncDir()
}
