package logfile

import (
	"bytes"
	"fmt"
	"io"
)

// blocks emits records of a large frame, reading and verifying only the 64 KiB
// blocks that hold them.
func (r *recordReader) blocks(sc *scanner, it *item, from entry) error {
	at, offset := int64(0), it.head.BaseOffset // in the body
	if from.Pos == it.pos && from.Line > it.bodyPos && from.Offset <= r.next {
		at, offset = from.Line-it.bodyPos, from.Offset
	}
	w := blockWindow{sc: sc, it: it, buf: r.buffer(), until: r.bytesEnd - it.bodyPos}
	defer w.buf.release()
	for !r.full && r.next < r.limit && at < int64(it.head.length) {
		line, err := w.line(at, r.bytesLeft)
		if err != nil {
			return err
		}
		at += int64(len(line)) + 1
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if offset >= r.next {
			if err := r.line(line, offset); err != nil {
				return &badItem{pos: it.pos, err: err}
			}
		}
		offset++
	}
	// Only at the end of the body: before it nobody has counted all of the records.
	if !r.full && r.next < r.limit && offset != it.head.BaseOffset+int64(it.head.Count) {
		return &badItem{pos: it.pos, err: errFewRecords}
	}
	return nil
}

// blockWindow is a verified part of a large body, whole blocks.
type blockWindow struct {
	sc    *scanner
	it    *item
	buf   readBuffer
	start int64 // in the body
	until int64 // in the body: the wanted records end here, or a little before
}

// line returns the line at a position of the body. It reads ahead as far as the
// caller wants bytes.
func (w *blockWindow) line(at int64, bytesLeft int) ([]byte, error) {
	for want := int64(1); ; {
		if off, b := at-w.start, w.buf.b; off >= 0 && off < int64(len(b)) {
			if n := bytes.IndexByte(b[off:], '\n'); n >= 0 {
				return b[off : off+int64(n) : off+int64(n)], nil
			}
			if w.start+int64(len(b)) >= int64(w.it.head.length) {
				return nil, &badItem{pos: w.it.pos, err: errNoFinalLF}
			}
			// The line is longer than what is here: one block more.
			want = int64(len(b)) - off + blockSize
		}
		want = max(want, min(int64(max(bytesLeft, 0)), w.until-at, scanChunk))
		if err := w.read(at, at+want); err != nil {
			return nil, err
		}
	}
}

// read fills the window with the blocks that cover [from, to) of the body.
func (w *blockWindow) read(from, to int64) error {
	length := int64(w.it.head.length)
	// Whole blocks, because their checksums are of whole ones.
	first := from / blockSize
	end := min((to+blockSize-1)/blockSize*blockSize, length)
	w.start = first * blockSize
	w.buf.need(int(end - w.start))
	if n, err := w.sc.h.ReadAt(w.buf.b, w.it.bodyPos+w.start); n < len(w.buf.b) {
		if err == io.EOF {
			return &badItem{pos: w.it.pos, err: fmt.Errorf("the body %w", errShort)}
		}
		return fmt.Errorf("read %s: %w", w.sc.path, err)
	}
	for b := w.buf.b; len(b) > 0; {
		n := min(len(b), blockSize)
		if Checksum(b[:n]) != w.it.head.blocks[first] {
			return &badItem{pos: w.it.pos, err: fmt.Errorf("the checksum of block %d of the body does not match", first)}
		}
		b = b[n:]
		first++
	}
	return nil
}
