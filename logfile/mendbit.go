package logfile

import (
	"bytes"
)

// patch is a correction: bytes that a file should have at pos.
type patch struct {
	pos   int64
	bytes []byte
}

// patched is a segment that is read with its corrections.
type patched struct {
	Handle
	seg *mendSegment
}

// ReadAt implements Handle.
func (p *patched) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.Handle.ReadAt(b, off)
	for _, one := range p.seg.patches {
		if from := one.pos - off; from < int64(n) && from+int64(len(one.bytes)) > 0 {
			copy(b[max(from, 0):n], one.bytes[max(-from, 0):])
		}
	}
	return n, err
}

// maxCorrect is the length in bytes up to which one wrong bit of a line is
// corrected. CRC32C distinguishes any two texts of up to 655 bytes that differ in
// five bits or fewer, so a line of that length with up to four wrong bits is never
// corrected to something else.
const maxCorrect = 655

// correct looks for the one bit in the line at pos, or in the next two, whose
// change makes the line at pos valid. A replica's own lines can be corrected in
// this way only, since the other copies do not have them. It reports whether it
// found the bit, and adds it to the patches of the segment.
func (p *patched) correct(pos, limit int64, sums checksums, valid func(*scanner, *item) error) bool {
	if valid == nil {
		valid = checkLine
	}
	text := make([]byte, min(maxCorrect, limit-pos))
	if n, err := p.ReadAt(text, pos); n < len(text) || err != nil && n == 0 {
		return false
	}
	from := text
	for range 3 { // a wrong bit can make two lines of one, or one line of two
		at := bytes.IndexByte(from, '\n')
		if at < 0 {
			at = len(from) - 1
		}
		from = from[at+1:]
	}
	for at := range text[:len(text)-len(from)] {
		for bit := range 8 {
			text[at] ^= 1 << bit
			sc := &scanner{h: bytes.NewReader(text), sums: sums, limit: int64(len(text)), chunk: len(text)}
			it, err := sc.peek()
			if err == nil && it.bodyPos > int64(at) && valid(sc, &it) == nil {
				p.seg.patches = append(p.seg.patches, patch{pos + int64(at), []byte{text[at]}})
				return true
			}
			text[at] ^= 1 << bit
		}
	}
	return false
}

// validHead returns a check for the first line of a segment, or for the second one
// once the first one is right.
func validHead(h Handle, path string, size int64) func(*scanner, *item) error {
	sc := &scanner{h: h, path: path, limit: size, chunk: 4096}
	first, err := sc.peek()
	var head *segmentHead
	if err == nil {
		head, err = parseSegmentHead(first.line)
	}
	return func(_ *scanner, it *item) error {
		if err != nil {
			_, perr := parseSegmentHead(it.line)
			return perr
		}
		_, _, perr := parseCheckpoint(it.line, newChecksums(head.id).local)
		return perr
	}
}
