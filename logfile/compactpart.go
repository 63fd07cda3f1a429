package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// A compacted log keeps the records below some offset in parts, files beside the
// segments with names <base offset>-<generation>.log. A part holds the first line
// of a segment, frames of kind 'k', and a last line that says which part of which
// generation it is. The last part says the number of parts and is renamed last:
// with it the generation is complete and replaces every older one.
//
//	#k 1 <generation> <to> <part> <parts> <frames> <base> <next> <records> <tombstones> <max time> <append time> <crc>

// CompactedInfo describes a generation of parts, the compacted beginning of a log.
type CompactedInfo struct {
	Generation uint64 // raft index of the entry that requested it; 0: never compacted
	To         uint64 // raft index of the last entry it covers
	Start      int64  // the first offset it covers
	Next       int64  // the offset after the last one it covers
	Records    int64
	Tombstones int64 // of Records
	AppendTime int64 // of its last record, in milliseconds since 1970
}

// CompactedSet is one generation of parts.
type CompactedSet struct {
	CompactedInfo
	parts []*segment
	tmp   []string // temporary names of the parts, until StageCompacted
	log   *Log     // the fields of the log that never change
}

// partEnd is what the last line of a part says.
type partEnd struct {
	CompactedInfo // Start and Next are those of this part, the counts are up to and with it
	part, parts   int
	frames        uint64
	maxTime       int64
}

const maxPartEnd = 1 << 10 // bytes of a "#k" line

func appendPartEnd(dst []byte, e *partEnd, seed uint32) []byte {
	start := len(dst)
	dst = append(dst, "#k 1"...)
	dst = appendUint(appendUint(dst, e.Generation), e.To)
	dst = appendInt(appendInt(dst, int64(e.part)), int64(e.parts))
	dst = appendUint(dst, e.frames)
	for _, v := range [...]int64{e.Start, e.Next, e.Records, e.Tombstones, e.maxTime, e.AppendTime} {
		dst = appendInt(dst, v)
	}
	return appendLineSum(dst, start, seed)
}

func parsePartEnd(line []byte, seed uint32) (e partEnd, err error) {
	text, err := checkLineSum(line, seed)
	if err != nil {
		return e, err
	}
	text, ok := bytes.CutPrefix(text, []byte("#k "))
	if !ok {
		return e, errors.New("the line is not the last one of a part")
	}
	f := fields{rest: text}
	if v := f.uint(); v != formatVersion && f.err == nil {
		return e, fmt.Errorf("part of format version %d: %w", v, ErrNewerFormat)
	}
	e.Generation, e.To = f.uint(), f.uint()
	e.part, e.parts = int(f.int()), int(f.int())
	e.frames = f.uint()
	e.Start, e.Next, e.Records, e.Tombstones = f.int(), f.int(), f.int(), f.int()
	e.maxTime, e.AppendTime = f.int(), f.int()
	if f.err == nil && (e.Start < 0 || e.Next < e.Start || e.part < 0 || e.parts < 0) {
		f.fail(errors.New("a number in the last line of the part is out of range"))
	}
	return e, f.end()
}

// partPath is the name of a part.
func partPath(dir string, base int64, generation uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d-%020d.log", base, generation))
}

// partName returns what the name of a part says.
func partName(name string) (base int64, generation uint64, ok bool) {
	stem, isLog := strings.CutSuffix(name, ".log")
	if !isLog || len(stem) != 41 || stem[20] != '-' {
		return 0, 0, false
	}
	base, err := strconv.ParseInt(stem[:20], 10, 64)
	if err != nil || base < 0 {
		return 0, 0, false
	}
	generation, err = strconv.ParseUint(stem[21:], 10, 64)
	return base, generation, err == nil
}

// readPart reads the first and the last line of a part, which begins at endPos. A
// part was complete before it got its name, so anything wrong with them is damage.
func readPart(h Handle, path string) (id Identity, e partEnd, endPos int64, err error) {
	fail := func(pos int64, err error) (Identity, partEnd, int64, error) {
		return id, e, 0, &CorruptError{Path: path, Offset: pos, Err: err}
	}
	size, err := h.Size()
	if err != nil {
		return id, e, 0, err
	}
	sc := &scanner{h: h, path: path, limit: size, chunk: 4096}
	it, err := sc.peek()
	if err != nil {
		if bad := (*badItem)(nil); !errors.As(err, &bad) && size > 0 {
			return id, e, 0, err
		}
		return fail(0, noHeader(err))
	}
	head, err := parseSegmentHead(it.line)
	if err != nil {
		return fail(0, err)
	}
	from := max(size-maxPartEnd, 0)
	tail := make([]byte, size-from)
	if n, err := h.ReadAt(tail, from); n < len(tail) {
		return id, e, 0, fmt.Errorf("read %s: %w", path, err)
	}
	at := bytes.LastIndex(tail, []byte("\n#k ")) + 1
	if at == 0 || tail[len(tail)-1] != '\n' {
		return fail(size, errors.New("the part does not end with its last line"))
	}
	e, err = parsePartEnd(tail[at:len(tail)-1], newChecksums(head.id).local)
	if err != nil {
		return fail(from+int64(at), err)
	}
	return head.id, e, from + int64(at), nil
}

// followPart checks that frames of a part follow each other.
func (w *walker) followPart(f *Frame, pos int64) error {
	fail := func(format string, args ...any) error {
		return &badItem{pos: pos, whole: true, err: fmt.Errorf(format, args...)}
	}
	switch {
	case f.Kind != KindCompacted:
		return fail("a frame of kind %q stands in a part", byte(f.Kind))
	case f.Index != w.last+1:
		return fail("frame %d follows frame %d", f.Index, w.last)
	case f.BaseOffset < w.next || f.Count == 0:
		return fail("frame %d of %d records begins at offset %d, the one before it ends at %d", f.Index, f.Count, f.BaseOffset, w.next)
	}
	if err := checkBody(f); err != nil {
		return fail("%w", err)
	}
	recs, err := ParseRecords(*f)
	if err != nil {
		return fail("%w", err)
	}
	w.last, w.next = f.Index, recs[len(recs)-1].Offset+1
	return nil
}
