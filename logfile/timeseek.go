package logfile

// OffsetForTime returns the offset of the first record, in the order of
// offsets, whose timestamp (milliseconds since 1970) is at or after ts, or the
// high watermark when there is none. Errors: as Read, ErrStale among them.
func (v *View) OffsetForTime(ts int64) (int64, error) {
	offset, err := v.offsetForTime(ts)
	reportDamage(v.damaged, err)
	return offset, stale(err)
}

func (v *View) offsetForTime(ts int64) (int64, error) {
	closed := append(v.parts, v.sealed...)
	for i := 0; i <= len(closed); i++ {
		s, entries := &v.active, v.entries
		if i < len(closed) {
			s = closed[i]
		}
		from := max(s.base, v.start)
		// Records below the floor are in parts, even if a segment still has them as well.
		if !s.part {
			from = max(from, v.floor)
		}
		// What is known of the segment says that nothing in it is so late, which spares
		// most of them.
		if s.next <= from || s.maxTime < ts {
			continue
		}
		if s.base >= v.hw {
			break
		}
		if i < len(closed) {
			var err error
			if entries, err = s.load(v.sums, v.interval); err != nil {
				return 0, s.readError(err)
			}
		}
		// Up to there all timestamps are earlier.
		if e, ok := byTime(entries, ts); ok {
			from = max(from, e.Offset)
		}
		offset, found, err := v.scanForTime(s, entries, from, ts)
		if i < len(closed) {
			err = s.readError(err)
		}
		if err != nil || found {
			return offset, err
		}
	}
	return v.hw, nil
}

// scanForTime looks for the record in one segment, from an offset on.
func (v *View) scanForTime(s *segment, entries []entry, from, ts int64) (int64, bool, error) {
	const step = 1000
	end, at, found := min(s.next, v.hw), int64(0), false
	emit := func(rec *Record) {
		if !found && rec.Timestamp >= ts {
			at, found = rec.Offset, true
		}
	}
	for from < end && !found {
		r := &recordReader{emit: emit, next: from, end: end, recordsLeft: step, bytesLeft: scanChunk}
		if err := v.readSegment(r, s, entries); err != nil {
			return 0, false, err
		}
		from = r.next
	}
	return at, found, nil
}
