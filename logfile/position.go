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
