package logfile

import "slices"

// RetentionStart returns the log start that retention asks for: the end of the
// oldest sealed segments whose entries are all committed and which were last
// appended to more than retentionMs before now (milliseconds since 1970), or
// without which the log still has retentionBytes; -1 is no limit. It equals
// LogStart when nothing is due. The active segment is never due, however old.
func (l *Log) RetentionStart(now, retentionMs, retentionBytes int64, committed uint64) int64 {
	start, total := l.logStart, l.Bytes()
	partsAged, aged := l.aged(now, retentionMs)
	if c := l.Compacted(); c.Next > start {
		total -= l.partBytes()
		if !partsAged && (retentionBytes < 0 || total < retentionBytes) {
			return start
		}
		start = c.Next
	}
	for i, s := range l.sealed {
		bySize := retentionBytes >= 0 && total-s.size >= retentionBytes
		if s.last > committed || i >= aged && !bySize {
			break
		}
		total -= s.size
		start = max(start, s.next)
	}
	return start
}

// aged reports whether the parts, and how many of the oldest sealed segments, were last
// appended to more than ms before now, which is never if ms is negative. What has a time
// that is further ahead of now than clocks differ is as old as what was written after it.
// Anything else is as old as it says, also if a later entry has an earlier time: the clock
// of whoever wrote that was behind.
func (l *Log) aged(now, ms int64) (parts bool, n int) {
	if ms < 0 {
		return false, 0
	}
	latest := now + l.opt.ClockJump.Milliseconds()
	later := l.lastAt
	if l.active.lastAt <= latest {
		later = max(later, l.active.lastAt)
	}
	n = len(l.sealed)
	for i := n - 1; i >= 0; i-- {
		later = l.sealed[i].appended(latest, later)
		if later+ms >= now {
			n = i
		}
	}
	at := l.Compacted().AppendTime
	if at > latest {
		at = later
	}
	return at+ms < now, n
}

// appended is when a sealed segment was last appended to, as far as that can be said: the
// greatest append time that is not after latest, or later, the time of what follows it.
func (s *segment) appended(latest, later int64) int64 {
	switch {
	case s.lastAt <= latest:
		return s.lastAt
	case s.endAt <= latest:
		return s.endAt
	}
	return later
}

// SetLogStart hides all records below offset from new views and stages the
// removal of segments wholly below it, the oldest first, after a checkpoint that
// replaces what they say. Only segments whose entries are committed and covered by
// SetApplied are removed; others stay until the next call. An offset below the
// present start is ignored, one beyond the end means the end.
func (l *Log) SetLogStart(b *Batch, offset int64) {
	l.logStart = max(l.logStart, min(offset, l.active.next))
	n := 0
	for n < len(l.sealed) && l.removable(l.sealed[n]) {
		n++
	}
	l.dropSealed(b, n)
	l.dropParts(b)
}

// StartDue reports whether SetLogStart would remove segments that stayed when the log
// start moved.
func (l *Log) StartDue() bool {
	return len(l.sealed) > 0 && l.removable(l.sealed[0])
}

// removable reports whether a sealed segment is wholly below the log start, committed
// and applied.
func (l *Log) removable(s *segment) bool {
	return s.next <= l.logStart && s.last <= l.committed && s.last <= l.applied
}

// dropParts stages the removal of parts wholly below the log start.
func (l *Log) dropParts(b *Batch) {
	parts := l.parts()
	if len(parts) == 0 || l.Compacted().Next > l.logStart || l.firstSegment().base > l.logStart {
		return
	}
	l.compacted = nil
	l.StageCheckpoint(b)
	file := l.active.file
	b.stageStep(l, func() error {
		if err := file.Sync(); err != nil {
			return err
		}
		for _, s := range parts {
			s.file.retire()
		}
		return l.unlink(parts)
	})
}

// dropSealed stages the removal of the n oldest segments, after a checkpoint
// that replaces what they say.
func (l *Log) dropSealed(b *Batch, n int) {
	if n == 0 {
		return
	}
	dropped := l.sealed[:n]
	l.sealed = slices.Clone(l.sealed[n:])
	l.trimTerms()
	l.StageCheckpoint(b)
	file := l.active.file
	b.stageStep(l, func() error {
		if err := file.Sync(); err != nil {
			return err
		}
		for _, s := range dropped {
			s.file.retire()
		}
		return l.unlink(dropped)
	})
}

// BytesAfter is about how many bytes of the segments the entries behind index take.
func (l *Log) BytesAfter(index uint64) (n int64) {
	share := func(s *segment) int64 {
		switch {
		case s.last <= index:
			return 0
		case s.first > index:
			return s.size
		}
		return int64(float64(s.size) * float64(s.last-index) / float64(s.last-s.first+1))
	}
	for i := len(l.sealed) - 1; i >= 0 && l.sealed[i].last > index; i-- {
		n += share(l.sealed[i])
	}
	return n + share(&l.active)
}
