package protocol

// IsCompactJSON reports whether bytes that come without a type are kept as JSON, which
// gives them back unchanged: they are one value that is not null, without white space
// around or in it, within the limits of levels and digits, and with no half of a
// surrogate pair.
func IsCompactJSON(b []byte, maxDepth, maxDigits int) bool {
	r := NewJSONReader(b)
	v, ok := r.Value()
	return ok && r.End() == nil && !v.Spaced && len(v.Raw) == len(b) && string(b) != "null" &&
		int(v.Depth) <= maxDepth && int(v.Digits) <= maxDigits && !v.HalfSurrogate()
}
