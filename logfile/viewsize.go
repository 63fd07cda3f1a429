package logfile

// Size is the number of bytes of the log's segments, sealed ones and the
// active one, when the view was taken.
func (v *View) Size() int64 {
	n := v.active.size
	for _, s := range v.sealed {
		n += s.size
	}
	return n
}
