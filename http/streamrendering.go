package http

import "ottla/protocol"

// streamRendering is the records of one look of a stream as its client sees them. It
// implements protocol.CursorSink.
type streamRendering struct {
	rendering // without commas
	kind      streamKind
	expected  int    // bytes
	cursor    []byte // after the last record
}

// Expect implements protocol.CursorSink. The memory is taken with the first record: there
// may be none with the key that is asked for, and the look may wait for one.
func (r *streamRendering) Expect(n int) { r.expected = n }

// TakeAt implements protocol.CursorSink.
func (r *streamRendering) TakeAt(rec *protocol.Record, cursor []byte) {
	if n := len(r.prefix) + sizeRendered(rec) + len(cursor) + headRoom; cap(r.buf)-len(r.buf) < n {
		r.enlarge(max(len(r.buf)+n, headRoom+n, r.expected))
	}
	r.cursor = append(r.cursor[:0], cursor...)
	r.begin(rec)
	r.buf = appendStreamed(r.buf, r.kind, r.prefix, rec, cursor)
}

// text is what was taken, valid until release.
func (r *streamRendering) text() []byte {
	return protocol.EscapeLineEnds(r.buf, headRoom)[headRoom:]
}

// appendReading appends the records of a look.
func appendReading(dst []byte, kind streamKind, reply *protocol.ReadingReply) []byte {
	begin := len(dst)
	var r rendering
	for i := range reply.Records {
		r.begin(&reply.Records[i])
		dst = appendStreamed(dst, kind, r.prefix, &reply.Records[i], reply.Cursors[i])
	}
	return protocol.EscapeLineEnds(dst, begin)
}

// appendStreamed appends a record, which begins with prefix, and the cursor after it.
func appendStreamed[T string | []byte](dst []byte, kind streamKind, prefix []byte, rec *protocol.Record, cursor T) []byte {
	if kind == ndjsonStream {
		dst = append(dst, prefix...)
		dst = appendRecordRest(dst, rec)
		dst = append(dst, `,"cursor":"`...)
		dst = append(dst, cursor...) // of characters that need no escape
		return append(dst, "\"}\n"...)
	}
	dst = append(dst, "data: "...)
	dst = append(dst, prefix...)
	dst = appendRecordRest(dst, rec) // is one line, as tokens have no control characters
	dst = append(dst, "}\nid: "...)
	dst = append(dst, cursor...)
	return append(dst, "\n\n"...)
}
