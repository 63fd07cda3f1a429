package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	scanChunk   = 256 << 10
	maxMetaLine = 64 << 20 // bytes of a "#c" line, which holds the producer table
)

// scanner walks the items of a segment: frames and "#" lines between them.
type scanner struct {
	h     io.ReaderAt
	path  string
	sums  checksums
	pos   int64 // of the next item
	limit int64 // nothing from this position on is read
	chunk int   // bytes to read at a time
	buf   readBuffer
	start int64 // position in the file of the buffer's first byte
	cur   item  // the result of the last peek; here so that it needs no allocation
}

// item is the header of a frame, or one "#" line.
type item struct {
	letter  byte // after the "#": 'f', 'h', 's', 'c', 'i' or 'k'
	pos     int64
	line    []byte // without LF
	head    frameHead
	bodyPos int64
	end     int64
}

// badItem says why there is no valid item at pos.
type badItem struct {
	pos   int64
	end   int64 // where the item would end by its valid header; 0: unknown
	short bool  // the item would be longer than the file
	whole bool  // its checksum is right, and yet it does not belong here
	err   error
}

func (b *badItem) Error() string { return b.err.Error() }
func (b *badItem) Unwrap() error { return b.err }

// intact reports whether the bytes are what somebody wrote, so that no crash
// has made them.
func (b *badItem) intact() bool { return b.whole || errors.Is(b.err, ErrNewerFormat) }

// errShort says that an item is longer than the file.
var errShort = errors.New("is cut short by the end of the file")

// corrupt turns a *badItem into a *CorruptError; other errors stay.
func (s *scanner) corrupt(err error) error {
	var bad *badItem
	if errors.As(err, &bad) {
		return &CorruptError{Path: s.path, Offset: bad.pos, Err: bad.err}
	}
	return err
}

// window returns n bytes at pos, or fewer at the limit.
func (s *scanner) window(pos int64, n int) ([]byte, error) {
	// The limit and not the size of the file: in a log that is in use more is being written
	// after it.
	n = int(min(int64(n), s.limit-pos))
	if n <= 0 {
		return nil, nil
	}
	if off := pos - s.start; off >= 0 && off+int64(n) <= int64(len(s.buf.b)) {
		// With its capacity cut, so that whoever appends to it does not write into the
		// buffer.
		return s.buf.b[off : off+int64(n) : off+int64(n)], nil
	}
	// More than was asked for, for the next item is most likely what is asked for next.
	s.buf.need(int(min(int64(max(n, s.chunk)), s.limit-pos)))
	s.start = pos
	got, err := s.h.ReadAt(s.buf.b, pos)
	// A file may be shorter than its limit, when it was truncated since: what is missing is
	// the caller's to judge.
	s.buf.b = s.buf.b[:got]
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s at byte %d: %w", s.path, pos, err)
	}
	return s.buf.b[:min(n, got):min(n, got)], nil
}

// line returns the line at pos without its LF, of at most max bytes.
func (s *scanner) line(pos int64, max int) ([]byte, error) {
	// Most lines are short. Only a checkpoint with many producers needs more than the first
	// look.
	for n := min(maxHeadLine, max); ; n = min(n*8, max) {
		w, err := s.window(pos, n)
		if err != nil {
			return nil, err
		}
		if end := bytes.IndexByte(w, '\n'); end >= 0 {
			return w[:end], nil
		}
		if len(w) < n {
			short := bytes.IndexByte(w, 0) < 0 // a write that was cut short leaves no zeros
			return nil, &badItem{pos: pos, short: short, err: fmt.Errorf("the line %w", errShort)}
		}
		if n == max {
			return nil, &badItem{pos: pos, err: fmt.Errorf("the line has no end within %d bytes", max)}
		}
	}
}

// peek parses the item at s.pos without reading a frame's body. It returns
// io.EOF at the limit, a *badItem when there is no valid item.
func (s *scanner) peek() (item, error) {
	it := item{pos: s.pos}
	if s.pos >= s.limit {
		return it, io.EOF
	}
	first, err := s.window(s.pos, 3)
	if err != nil {
		return it, err
	}
	if len(first) == 0 {
		return it, io.EOF
	}
	// Without this the search for the end of a line would read megabytes of something that
	// is none.
	if !plausible(first) {
		return it, &badItem{pos: s.pos, err: errors.New("no frame and no # line begins here")}
	}
	// The header of a frame is short whatever the frame holds; a checkpoint grows with the
	// producers.
	longest := maxMetaLine
	if len(first) > 1 && first[1] == 'f' {
		longest = maxHeadLine
	}
	line, err := s.line(s.pos, longest)
	if err != nil {
		return it, err
	}
	if len(line) < 2 {
		return it, &badItem{pos: s.pos, err: errors.New("the line is too short")}
	}
	// For a line that is no frame this is all of it: its checksum is looked at by who
	// parses it.
	it.letter, it.line = line[1], line
	it.bodyPos = s.pos + int64(len(line)) + 1
	it.end = it.bodyPos
	s.cur = it
	if it.letter == 'f' {
		err = s.peekFrame(&s.cur)
	}
	return s.cur, err
}

// plausible reports whether an item, or what a short write left of it, may begin
// with b.
func plausible(b []byte) bool {
	return b[0] == '#' && (len(b) < 2 || bytes.IndexByte([]byte("fhscik"), b[1]) >= 0) && (len(b) < 3 || b[2] == ' ')
}

func (s *scanner) peekFrame(it *item) error {
	head, blockLine, err := parseHeadLine(it.line)
	if err != nil {
		return &badItem{pos: s.pos, err: err}
	}
	var blocks []byte
	if blockLine > 0 {
		lineLen := len(it.line)
		// Both lines in one piece, because the header's checksum covers both. The first one
		// may have moved with the buffer.
		w, err := s.window(s.pos, lineLen+1+blockLine)
		if err != nil {
			return err
		}
		if len(w) < lineLen+1+blockLine {
			return &badItem{pos: s.pos, short: true, err: fmt.Errorf("the line of block checksums %w", errShort)}
		}
		it.line, blocks = w[:lineLen], w[lineLen+1:]
	}
	if err := head.check(s.sums, it.line, blocks); err != nil {
		return &badItem{pos: s.pos, err: err}
	}
	// Now that its checksum is right, the length in it can be trusted.
	it.head = head
	it.bodyPos += int64(blockLine)
	it.end = it.bodyPos + int64(head.length)
	return nil
}

// frame reads and verifies the body of a frame.
func (s *scanner) frame(it *item) (Frame, error) {
	f := it.head.Frame
	body, err := s.window(it.bodyPos, it.head.length)
	if err != nil {
		return f, err
	}
	if len(body) < it.head.length {
		return f, &badItem{pos: it.pos, end: it.end, short: true, err: fmt.Errorf("the body %w", errShort)}
	}
	// The header is sound, so where the next entry begins is known although this one is
	// not.
	if f.BodySum, err = it.head.checkBody(s.sums, body); err != nil {
		return f, &badItem{pos: it.pos, end: it.end, err: err}
	}
	f.Body = body
	return f, nil
}
