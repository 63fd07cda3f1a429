package logfile

import (
	"fmt"
	"slices"
)

// Append stages frames at the end of the log. When the log already has an entry
// with the first one's index, that entry and everything after it is truncated
// first. Committed bounds how far back that can go; when it goes back to entries
// that were there at Open, Append reads a few KiB to find the place. A segment
// that is full and has records is rolled. Frames with a gap, a falling term, a
// wrong base offset or a body that does not hold what the header says are refused
// with ErrRefused, and then nothing is staged. Bodies must not change before the batch
// is executed.
func (l *Log) Append(b *Batch, frames []Frame) error {
	if len(frames) == 0 {
		return nil
	}
	// All that can fail is looked at before anything is staged: half an append would be
	// worse than none.
	cut := frames[0].Index <= l.active.last
	at := framePos{offset: l.active.next}
	if cut {
		if frames[0].Index <= l.committed {
			return fmt.Errorf("append: %w: entry %d is committed and cannot be replaced", ErrRefused, frames[0].Index)
		}
		var err error
		if at, err = l.locate(frames[0].Index); err != nil {
			return err
		}
	}
	if err := l.check(frames, at.offset); err != nil {
		return err
	}
	if cut {
		// It may hold the records of entries that go now.
		l.recent.clear()
		if err := l.truncate(b, frames[0].Index, at); err != nil {
			return err
		}
	}
	// At once, and not with each frame.
	b.data = slices.Grow(b.data, stagedBytes(frames, l.opt.LargeBody))
	for i := range frames {
		// Looked at before a frame and never within one, so a segment may grow beyond this
		// by one entry.
		if l.active.size >= l.opt.SegmentBytes {
			l.Roll(b)
		}
		l.stageFrame(b, &frames[i], &l.surveys[i])
	}
	if len(frames) > keptSurveys {
		l.surveys = nil
	}
	return nil
}

// check refuses frames that do not continue the log at their first index. It leaves
// the surveys of their bodies in l.surveys.
func (l *Log) check(frames []Frame, offset int64) error {
	index := frames[0].Index
	if index > l.active.last+1 {
		return fmt.Errorf("append: %w: entry %d leaves a gap after entry %d", ErrRefused, index, l.active.last)
	}
	// The entry before may be one that a truncation leaves in place.
	term, ok := l.Term(index - 1)
	if !ok {
		return fmt.Errorf("append: %w: entry %d is below the first one of the log", ErrRefused, index)
	}
	for len(l.surveys) < len(frames) {
		l.surveys = append(l.surveys, survey{})
	}
	for i := range frames {
		f := &frames[i]
		switch {
		case f.Index != index+uint64(i):
			return fmt.Errorf("append: %w: entry %d instead of entry %d", ErrRefused, f.Index, index+uint64(i))
		case f.Term < term:
			return fmt.Errorf("append: %w: entry %d of term %d follows one of term %d", ErrRefused, f.Index, f.Term, term)
		case f.BaseOffset != offset:
			return fmt.Errorf("append: %w: entry %d begins at offset %d instead of %d", ErrRefused, f.Index, f.BaseOffset, offset)
		case !f.Kind.valid():
			return fmt.Errorf("append: %w: entry %d has the unknown kind %q", ErrRefused, f.Index, byte(f.Kind))
		}
		// Whoever sent them: a body with a line that looks like a header would be read as
		// entries later.
		if err := surveyBody(f, &l.surveys[i]); err != nil {
			return fmt.Errorf("append: %w: entry %d: %w", ErrRefused, f.Index, err)
		}
		term, offset = f.Term, offset+int64(f.Count)
	}
	return nil
}

// keptSurveys is how many surveys a log keeps memory for.
const keptSurveys = 4

// maxHeadBytes is more than the longest header line has.
const maxHeadBytes = 256

// stagedBytes is an upper bound for the bytes that frames take in a batch, which bodies of
// large bytes or more are not copied into.
func stagedBytes(frames []Frame, large int) (n int) {
	for i := range frames {
		size := len(frames[i].Body)
		n += maxHeadBytes + blockLineLen(size)
		if size < large {
			n += size
		}
	}
	return n
}

// stageFrame stages one frame that was checked.
func (l *Log) stageFrame(b *Batch, f *Frame, s *survey) {
	a := &l.active
	b.beginWrite(l, a.file, a.size)
	before := len(b.data)
	// The header also says what is synced, so that a log under load needs no marks.
	b.data = appendFrameHead(b.data, l.sums, f, l.synced)
	head := len(b.data) - before
	if len(f.Body) >= l.opt.LargeBody {
		b.endWrite(before)
		b.writeBody(f.Body)
	} else {
		b.data = append(b.data, f.Body...)
		b.endWrite(before)
	}
	l.marked = max(l.marked, l.synced)

	l.index.addSurveyed(f, s, a.size, a.size+int64(head))
	l.recent.add(f)
	// Where it begins, for the case that another leader replaces it.
	l.uncommitted = append(l.uncommitted, framePos{a.size, a.next})
	a.size += int64(head + len(f.Body))
	l.advance(f)
}

// advance moves the end of the log past a frame that stands in the active
// segment.
func (l *Log) advance(f *Frame) {
	a := &l.active
	if a.next == a.base && f.Count > 0 {
		l.since = f.AppendTime
	}
	l.since = min(l.since, f.AppendTime) // the clock was ahead when the first records came
	a.last = f.Index
	a.next += int64(f.Count)
	a.lastAt, a.endAt = max(a.lastAt, f.AppendTime), f.AppendTime
	// Of timestamps, which clients give and which need not ascend.
	a.maxTime = l.index.maxTime()
	l.lastAt = f.AppendTime
	l.noteTerm(f.Index, f.Term)
}

// stageLine stages a "#" line in the active segment.
func (l *Log) stageLine(b *Batch, add func(dst []byte) []byte) {
	b.beginWrite(l, l.active.file, l.active.size)
	before := len(b.data)
	b.data = add(b.data)
	b.endWrite(before)
	l.active.size += int64(len(b.data) - before)
}

// SetHardState stages raft's current term and vote.
func (l *Log) SetHardState(b *Batch, term, vote uint64) {
	l.hardTerm, l.vote, l.unmarked = term, vote, true
	l.stageLine(b, func(dst []byte) []byte { return appendHardState(dst, term, vote, l.sums.local) })
}

// StageCheckpoint stages a checkpoint in the active segment. It is called after a
// change of membership and on a clean stop.
func (l *Log) StageCheckpoint(b *Batch) {
	l.unmarked = true
	cp := l.checkpoint(false)
	l.stageLine(b, func(dst []byte) []byte { return appendCheckpoint(dst, cp, l.lastAt, l.sums.local) })
}

// StageSyncMark stages a sync mark, a "#s" line saying that the last synced
// entry and every line before the mark are on disk, unless the log says so
// already. It may only be called when nothing is pending: all batches staged so
// far are executed and synced. It reports whether it staged anything.
func (l *Log) StageSyncMark(b *Batch) bool {
	if l.marked >= l.synced && !l.unmarked {
		return false
	}
	l.marked, l.unmarked = l.synced, false
	l.stageLine(b, func(dst []byte) []byte { return appendSyncMark(dst, l.synced, l.opt.BootID, l.sums.local) })
	return true
}
