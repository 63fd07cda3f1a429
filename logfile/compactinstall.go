package logfile

import (
	"fmt"
	"slices"
)

// Compacted describes the generation of parts that is read; the zero value when
// there is none.
func (l *Log) Compacted() CompactedInfo {
	if l.compacted == nil {
		return CompactedInfo{}
	}
	return l.compacted.CompactedInfo
}

func (l *Log) parts() []*segment {
	if l.compacted == nil {
		return nil
	}
	return slices.Clip(l.compacted.parts)
}

// SetCompaction sets what the next checkpoint says of the last compaction that was
// requested. Like SetApplied it keeps that in memory until then.
func (l *Log) SetCompaction(opaque []byte) { l.compaction = opaque }

// CompactionDue measures a compaction of everything that is sealed and committed:
// the entry and the offset to which it would reach, how many bytes of segments it
// would compact for the first time (dirty), and how many bytes of parts it would
// compact again (clean).
func (l *Log) CompactionDue(committed uint64) (to uint64, next, dirty, clean int64) {
	to, next = l.Compacted().To, l.Compacted().Next
	for _, s := range l.sealed {
		if s.last > committed {
			break
		}
		if s.last > to {
			dirty += s.size
			to, next = s.last, s.next
		}
	}
	return to, next, dirty, l.partBytes()
}

func (l *Log) partBytes() (n int64) {
	for _, p := range l.parts() {
		n += p.size
	}
	return n
}

// StageCompacted stages renaming the parts of a new generation to their final
// names, the last part last. Once that is executed the generation counts, also
// after a crash, and the owner calls AdoptCompacted.
func (l *Log) StageCompacted(b *Batch, set *CompactedSet) {
	for i, p := range set.parts {
		tmp, path := set.tmp[i], p.file.path
		if i == len(set.parts)-1 && i > 0 {
			b.stageStep(l, l.syncDir)
		}
		b.stageStep(l, func() error {
			if err := l.fsys.Rename(tmp, path); err != nil {
				return fmt.Errorf("name part: %w", err)
			}
			return nil
		})
	}
	b.stageStep(l, l.syncDir)
}

// AdoptCompacted makes a generation, whose StageCompacted is executed, the one that
// new views read. The files that it replaces stay for readers of older views until
// DropCompacted. A generation that is not newer than the present one is ignored;
// one that ends below the log start, or before the first segment begins, is only
// noted for removal.
func (l *Log) AdoptCompacted(set *CompactedSet) {
	if set.Generation <= l.Compacted().Generation {
		return
	}
	if set.Next < l.firstSegment().base || set.Next <= l.logStart {
		l.replaced = append(l.replaced, set.parts...)
		return
	}
	l.replaced = append(l.replaced, l.parts()...)
	l.compacted = &CompactedSet{CompactedInfo: set.CompactedInfo, parts: set.parts}
	l.logStart = max(l.logStart, set.Start)
}

// Replaced reports whether there is anything for DropCompacted to remove.
func (l *Log) Replaced() bool { return len(l.replaced) > 0 || l.replacedSegments() > 0 }

func (l *Log) replacedSegments() (n int) {
	to := min(l.Compacted().To, l.committed, l.applied)
	for n < len(l.sealed) && l.sealed[n].last <= to && l.sealed[n].next <= l.Compacted().Next {
		n++
	}
	return n
}

// DropCompacted stages the removal of what compaction has replaced: older parts,
// and segments as far as their entries are committed and covered by SetApplied,
// after a checkpoint that replaces what they say. It reports whether it staged
// anything.
func (l *Log) DropCompacted(b *Batch) bool {
	n, parts := l.replacedSegments(), l.replaced
	if n == 0 && len(parts) == 0 {
		return false
	}
	l.replaced = nil
	l.dropSealed(b, n)
	b.stageStep(l, func() error {
		for _, s := range parts {
			s.file.retire()
		}
		return l.unlink(parts)
	})
	return true
}

// keepCompacted prepares a reset. Parts that do not reach up to the new beginning
// are dropped and returned, and the log then starts at the new beginning.
func (l *Log) keepCompacted(cp *Checkpoint) (gone []*segment) {
	c := l.Compacted()
	if c.Generation > 0 && c.Next >= cp.NextOffset && c.Start <= cp.LogStart {
		return nil
	}
	gone = l.parts()
	l.compacted = nil
	cp.LogStart = max(cp.LogStart, cp.NextOffset)
	return gone
}

// partSegment returns a part as a sealed segment for readers.
func (l *Log) partSegment(path string, e *partEnd, endPos int64) *segment {
	f := &File{fsys: l.fsys, path: path, st: l.st, cache: l.opt.Cache}
	f.end.Store(endPos)
	f.sealed.Store(true)
	return &segment{
		file: f, part: true, base: e.Start, first: 1, last: e.frames, next: e.Next,
		size: endPos, lastAt: e.AppendTime, maxTime: e.maxTime,
	}
}
