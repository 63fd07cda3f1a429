package logfile

import (
	"bytes"
)

// patch is a few bytes of a file as they must be.
type patch struct {
	pos   int64
	bytes []byte
}

// patched reads a segment with its patches.
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

// maxCorrect bounds the lines in which one wrong bit is put right. CRC32C tells
// any two texts of up to 655 bytes apart that differ in five bits or fewer, so
// a line of that length with up to four wrong bits is never put right wrongly.
const maxCorrect = 655

// correct looks for the one bit at pos, or shortly behind, whose change makes
// a valid line of it. Other copies know nothing of a replica's own lines.
func (p *patched) correct(pos, limit int64, seal sealer, valid func(*scanner, *item) error) bool {
	if valid == nil {
		valid = checkLine
	}
	text := make([]byte, min(maxCorrect, limit-pos))
	if n, err := p.ReadAt(text, pos); n < len(text) || err != nil && n == 0 {
		return false
	}
	from := text
	for range 3 { // a flipped bit can make two lines of one, or one of two
		at := bytes.IndexByte(from, '\n')
		if at < 0 {
			at = len(from) - 1
		}
		from = from[at+1:]
	}
	for at := range text[:len(text)-len(from)] {
		for bit := range 8 {
			text[at] ^= 1 << bit
			sc := &scanner{h: bytes.NewReader(text), seal: seal, limit: int64(len(text)), chunk: len(text)}
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

// validHead checks the first line of a segment, or the second one once that is
// right.
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
		_, _, perr := parseCheckpoint(it.line, newSealer(head.id).local)
		return perr
	}
}
