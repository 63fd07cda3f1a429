package logfile

// BaseOffset is the offset of the first record present, or of the next one
// when there is none: the offset that goes with FirstIndex.
func (l *Log) BaseOffset() int64 { return l.firstSegment().base }

// OffsetOf returns the base offset of the entry at index, FirstIndex to LastIndex,
// or the offset of the next one for LastIndex+1. It reads a few KiB when the entry
// is committed or was there at Open. Errors: ErrRefused below FirstIndex,
// ErrBeyondEnd, *CorruptError, errors of the disk.
func (l *Log) OffsetOf(index uint64) (int64, error) {
	if index == l.active.last+1 {
		return l.active.next, nil
	}
	at, err := l.locate(index)
	return at.offset, err
}

// View returns a snapshot for readers. Everything below the high watermark
// must be committed and its batches executed.
func (l *Log) View(highWatermark int64) *View {
	return &View{
		parts: l.parts(), floor: l.Compacted().Next, sealed: l.sealed, active: l.active, entries: l.index.entries, start: l.logStart,
		hw: max(min(highWatermark, l.active.next), l.logStart), sums: l.sums, interval: l.opt.IndexInterval, damaged: l.damaged,
		recent: l.recent,
	}
}

// Scrub returns a snapshot of everything that is sealed.
func (l *Log) Scrub() *Scrub {
	return &Scrub{fsys: l.fsys, id: l.id, segs: append(l.parts(), l.sealed...)}
}

// Reader returns a snapshot for reading entries on another goroutine.
func (l *Log) Reader() *FrameReader {
	return &FrameReader{
		sealed: l.sealed, active: l.active, entries: l.index.entries, epoch: l.active.file.epoch.Load(),
		sums: l.sums, interval: l.opt.IndexInterval, damaged: l.damaged,
	}
}

// ReadFrames reads entries lo to hi-1: at least one, and no further one once
// their bodies have maxBytes together. The bodies belong to the caller. It does
// I/O. Errors: ErrBeyondEnd, also for entries whose batches are not executed yet,
// ErrBelowStart, *CorruptError, errors of the disk.
func (l *Log) ReadFrames(lo, hi uint64, maxBytes int) ([]Frame, error) {
	return l.Reader().ReadFrames(lo, hi, maxBytes)
}

// CompactedReader returns a snapshot of the parts, nil when there are none.
func (l *Log) CompactedReader() *CompactedReader {
	if l.compacted == nil {
		return nil
	}
	return &CompactedReader{CompactedInfo: l.Compacted(), view: &View{
		parts: l.parts(), floor: l.Compacted().Next, sums: l.sums, interval: l.opt.IndexInterval,
	}}
}

// CompactionSource takes a snapshot. The entries up to Compaction.To must have
// been executed.
func (l *Log) CompactionSource() *CompactionSource {
	s := &CompactionSource{
		log:    &Log{fsys: l.fsys, dir: l.dir, id: l.id, opt: l.opt, sums: l.sums, st: l.st},
		sealed: l.sealed, active: l.active,
	}
	if l.compacted != nil {
		s.old, s.parts = l.compacted.CompactedInfo, l.compacted.parts
	}
	return s
}

// NewPartWriter begins a generation; the counts in info are ignored. pace is called
// before so many bytes are written; it may wait, and its error ends the writing.
func (l *Log) NewPartWriter(info CompactedInfo, pace func(bytes int) error) *PartWriter {
	return newPartWriter(&Log{fsys: l.fsys, dir: l.dir, id: l.id, opt: l.opt, sums: l.sums, st: l.st}, info, pace)
}
