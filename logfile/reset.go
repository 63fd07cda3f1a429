package logfile

import (
	"fmt"
	"path/filepath"
	"slices"
)

// resetSuffix ends the name of a new first segment that is to replace everything
// else. Once the file has this name the reset is decided, and recovery finishes it.
const resetSuffix = ".reset"

// Reset stages the replacement of the whole log by an empty one that begins after
// cp, as a snapshot asks for. The greater of the two hard states is kept, and so
// are the parts of a compaction that reach up to where the new log begins. When
// the snapshot is of a compacted log these must be in place before Reset; without
// them nothing can be read below the new beginning.
func (l *Log) Reset(b *Batch, cp Checkpoint) {
	l.recent.clear()
	l.joinHardState(cp.HardTerm, cp.Vote)
	cp.HardTerm, cp.Vote = l.hardTerm, l.vote
	old := append(slices.Clone(l.sealed), new(segment))
	*old[len(old)-1] = l.active
	slices.Reverse(old)
	for _, s := range old {
		b.dropFile(s.file)
	}
	l.sealed = nil
	parts := l.keepCompacted(&cp)
	l.startAfter(&cp)
	l.startSegment(&cp, l.lastAt, &segmentHead{id: l.id, boot: l.opt.BootID, prevBase: -1}, func(f *File, head []byte) {
		reset := f.path + resetSuffix
		// Once create has given the file this name the reset is decided. The old log
		// is removed before the new segment gets its final name, so that recovery
		// never finds segments of both under names that count.
		b.stageStep(l, func() error { return l.create(f, head, reset) })
		b.stageStep(l, func() error {
			for _, s := range append(parts, old...) {
				s.file.retire()
			}
			if err := l.remove(filepath.Join(l.dir, carryName)); err != nil {
				return err
			}
			return l.unlink(append(parts, old...))
		})
		b.stageStep(l, func() error {
			if err := l.fsys.Rename(reset, f.path); err != nil {
				return fmt.Errorf("finish reset: %w", err)
			}
			f.setNamed()
			return l.syncDir()
		})
	})
}

// startAfter sets everything but the segment to the state of a checkpoint.
func (l *Log) startAfter(cp *Checkpoint) {
	if len(cp.Terms) == 0 {
		cp.Terms = []TermStart{{cp.Index, cp.Term}}
	}
	l.terms = slices.Clone(cp.Terms)
	l.logStart = cp.LogStart
	l.applied, l.confState, l.producers, l.compaction = cp.Applied, cp.ConfState, cp.Producers, cp.Compaction
	l.synced, l.marked, l.committed, l.unmarked = cp.Index, cp.Index, cp.Index, false
	l.uncommitted, l.uncommittedFirst = nil, cp.Index+1
}

// joinHardState adopts a term and vote unless the log knows a greater term, or a
// vote in the same term.
func (l *Log) joinHardState(term, vote uint64) {
	switch {
	case term > l.hardTerm:
		l.hardTerm, l.vote = term, vote
	case term == l.hardTerm && l.vote == 0:
		l.vote = vote
	}
}
