package logfile

import (
	"fmt"
	"slices"
)

// Append stages frames at the end of the log. When the first one's index is
// already there, it and everything after it is truncated first; how far back
// that can go is bounded by Committed, and if it goes behind what was appended
// since Open, Append reads a few KiB to find the place. A gap, a falling term,
// a wrong base offset or a body that does not hold what the frame says is
// refused (ErrRefused): then nothing is staged. Rolls the segment when it is
// full and has records.
func (l *Log) Append(b *Batch, frames []Frame) error {
	if len(frames) == 0 {
		return nil
	}
	cut := frames[0].Index <= l.active.last
	at := framePos{offset: l.active.next}
	if cut {
		if frames[0].Index <= l.committed {
			return fmt.Errorf("%w: entry %d is committed", ErrRefused, frames[0].Index)
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
		if err := l.truncate(b, frames[0].Index, at); err != nil {
			return err
		}
	}
	b.data = slices.Grow(b.data, stagedBytes(frames))
	for i := range frames {
		if l.active.size >= l.opt.SegmentBytes {
			l.Roll(b)
		}
		l.put(b, &frames[i])
	}
	return nil
}

// check refuses frames that do not continue the log at their first index.
func (l *Log) check(frames []Frame, offset int64) error {
	index := frames[0].Index
	if index > l.active.last+1 {
		return fmt.Errorf("%w: entry %d after %d", ErrRefused, index, l.active.last)
	}
	term, ok := l.Term(index - 1)
	if !ok {
		return fmt.Errorf("%w: entry %d is below the log", ErrRefused, index)
	}
	for i := range frames {
		f := &frames[i]
		switch {
		case f.Index != index+uint64(i):
			return fmt.Errorf("%w: entry %d where %d is due", ErrRefused, f.Index, index+uint64(i))
		case f.Term < term:
			return fmt.Errorf("%w: entry %d of term %d after term %d", ErrRefused, f.Index, f.Term, term)
		case f.BaseOffset != offset:
			return fmt.Errorf("%w: entry %d at offset %d, next is %d", ErrRefused, f.Index, f.BaseOffset, offset)
		case !f.Kind.valid():
			return fmt.Errorf("%w: entry %d is of unknown kind %q", ErrRefused, f.Index, byte(f.Kind))
		}
		if err := checkBody(f); err != nil {
			return fmt.Errorf("%w: entry %d: %w", ErrRefused, f.Index, err)
		}
		term, offset = f.Term, offset+int64(f.Count)
	}
	return nil
}

// maxHeadBytes is more than a head takes whose numbers have all their digits.
const maxHeadBytes = 256

// stagedBytes is how much frames take at most, without a roll between them.
func stagedBytes(frames []Frame) (n int) {
	for i := range frames {
		size := len(frames[i].Body)
		n += maxHeadBytes + blockLineLen(size) + size
	}
	return n
}

// put stages one frame that was checked.
func (l *Log) put(b *Batch, f *Frame) {
	a := &l.active
	b.opens(l, a.file, a.size)
	before := len(b.data)
	b.data = appendFrameHead(b.data, l.seal, f, l.synced)
	head := len(b.data) - before
	b.data = append(b.data, f.Body...)
	b.closes()
	l.vouched = max(l.vouched, l.synced)

	l.index.add(f, a.size, a.size+int64(head))
	l.tail = append(l.tail, framePos{a.size, a.next})
	a.size += int64(head + len(f.Body))
	l.accept(f)
}

// accept moves the end of the log behind a frame that lies in the active
// segment.
func (l *Log) accept(f *Frame) {
	a := &l.active
	a.last = f.Index
	a.next += int64(f.Count)
	a.lastAt = max(a.lastAt, f.AppendTime)
	a.maxTime = l.index.maxTime()
	l.lastAt = max(l.lastAt, f.AppendTime)
	l.noteTerm(f.Index, f.Term)
}

// line stages a "#" line in the active segment.
func (l *Log) line(b *Batch, add func(dst []byte) []byte) {
	b.opens(l, l.active.file, l.active.size)
	before := len(b.data)
	b.data = add(b.data)
	b.closes()
	l.active.size += int64(len(b.data) - before)
}

// SetHardState stages raft's current term and vote.
func (l *Log) SetHardState(b *Batch, term, vote uint64) {
	l.hardTerm, l.vote, l.loose = term, vote, true
	l.line(b, func(dst []byte) []byte { return appendHardState(dst, term, vote, l.seal.local) })
}

// StageCheckpoint stages a checkpoint in the active segment: after a change of
// membership, and on a clean stop.
func (l *Log) StageCheckpoint(b *Batch) {
	l.loose = true
	cp := l.checkpoint(false)
	l.line(b, func(dst []byte) []byte { return appendCheckpoint(dst, cp, l.lastAt, l.seal.local) })
}

// StageSyncMark stages a sync mark, a "#s" line saying that the last synced
// entry and every line before the mark are on disk, unless the log says so
// already. It may only be called when nothing is pending: all batches staged so
// far are executed and synced. It reports whether it staged anything.
func (l *Log) StageSyncMark(b *Batch) bool {
	if l.vouched >= l.synced && !l.loose {
		return false
	}
	l.vouched, l.loose = l.synced, false
	l.line(b, func(dst []byte) []byte { return appendSyncMark(dst, l.synced, l.opt.BootID, l.seal.local) })
	return true
}
