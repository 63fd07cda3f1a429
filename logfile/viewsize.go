package logfile

import "sort"

// Size is the number of bytes of the log's segments, sealed ones and the
// active one, when the view was taken.
func (v *View) Size() int64 {
	n := v.active.size
	for _, s := range v.sealed {
		n += s.size
	}
	return n
}

// Estimate returns about how many bytes the lines of up to n records from offset
// on have, by the indexes; 0 when there are none.
func (v *View) Estimate(offset int64, n int) int64 {
	sum, end := int64(0), min(v.hw, offset+int64(n))
	for offset = max(offset, v.start); offset < end; {
		s, entries, err := v.segmentAt(offset)
		if err != nil {
			return sum + s.size // the read that follows reports the error
		}
		to := min(end, s.next)
		if _, i := byOffset(entries, offset); i >= 0 {
			sum += interpolate(entries, i, offset, to, s)
		}
		offset = to
	}
	return sum
}

// interpolate estimates the bytes of the records from offset from to offset to,
// as if all records between two entries of the index had one size; i is the entry
// of the first.
func interpolate(entries []entry, i int, from, to int64, s *segment) int64 {
	k := i + sort.Search(len(entries)-i, func(k int) bool { return entries[i+k].Offset >= to })
	records, bytes := s.next-entries[i].Offset, s.file.end.Load()-entries[i].Line
	if k < len(entries) {
		records, bytes = entries[k].Offset-entries[i].Offset, entries[k].Line-entries[i].Line
	}
	if records <= 0 {
		return max(bytes, 0)
	}
	return max(bytes, 0) * min(to-from, records) / records
}
