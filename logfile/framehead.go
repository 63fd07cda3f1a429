package logfile

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
)

// Limits and sizes of frames.
const (
	formatVersion = 1
	blockSize     = 64 << 10 // longer bodies have a checksum for each block of this size
	// MaxBody is the largest body of a frame in bytes.
	MaxBody     = 256 << 20
	maxHeadLine = 256 // bytes of a "#f" line
)

// frameHead is the header of a frame, one or two lines before the body:
//
//	#f 1 <index> <term> <kind> <base> <count> <length> <append time> <body crc> <synced> <head crc>
//	#b <crc of block 0> <crc of block 1> ...      only when length > 64 KiB
//
// The head crc covers both lines and continues checksums.local.
type frameHead struct {
	Frame         // without Body and BodySum
	length int    // of the body
	sum    uint32 // body crc, see checksums.entry
	synced uint64 // entries up to this one were on disk when this was written
	blocks []uint32
}

// appendFrameHead appends the header of f, whose body is f.Body.
func appendFrameHead(dst []byte, s checksums, f *Frame, synced uint64) []byte {
	return appendPaddedHead(dst, s, f, synced, 0)
}

// appendPaddedHead appends a header with so many zeros before the append time:
// mending uses them to fill a gap to the byte.
func appendPaddedHead(dst []byte, s checksums, f *Frame, synced uint64, zeros int) []byte {
	start := len(dst)
	dst = append(dst, "#f 1"...)
	dst = appendUint(dst, f.Index)
	dst = appendUint(dst, f.Term)
	dst = append(dst, ' ', byte(f.Kind))
	dst = appendInt(dst, f.BaseOffset)
	dst = appendInt(dst, int64(f.Count))
	dst = appendInt(dst, int64(len(f.Body)))
	dst = append(dst, ' ')
	for range zeros {
		dst = append(dst, '0')
	}
	dst = strconv.AppendInt(dst, f.AppendTime, 10)
	dst = appendHex(append(dst, ' '), s.entry(f))
	dst = appendUint(dst, synced)
	if len(f.Body) <= blockSize {
		return appendLineSum(dst, start, s.local)
	}
	blocks := appendBlockLine(nil, f.Body)
	sum := crc32.Update(s.local, castagnoli, dst[start:])
	sum = crc32.Update(sum, castagnoli, blocks)
	dst = append(appendHex(append(dst, ' '), sum), '\n')
	return append(dst, blocks...)
}

func appendBlockLine(dst, body []byte) []byte {
	dst = append(dst, "#b"...)
	for len(body) > 0 {
		n := min(len(body), blockSize)
		dst = appendHex(append(dst, ' '), Checksum(body[:n]))
		body = body[n:]
	}
	return append(dst, '\n')
}

func blockCount(length int) int { return (length + blockSize - 1) / blockSize }

// blockLineLen is the length of the "#b" line, 0 when there is none.
func blockLineLen(length int) int {
	if length <= blockSize {
		return 0
	}
	return 3 + 9*blockCount(length)
}

// parseHeadLine reads a "#f" line without its LF. It does not verify the checksum,
// for which check needs the "#b" line too; blockLine is the length of that line.
func parseHeadLine(line []byte) (h frameHead, blockLine int, err error) {
	text, _, ok := splitLineSum(line)
	if !ok || len(text) < 3 || string(text[:3]) != "#f " {
		return h, 0, errors.New("the line is no frame header")
	}
	f := fields{rest: text[3:]}
	if v := f.uint(); v != formatVersion && f.err == nil {
		f.fail(fmt.Errorf("frame of format version %d: %w", v, ErrNewerFormat))
	}
	h.Index, h.Term = f.uint(), f.uint()
	if w := f.word(); len(w) == 1 {
		h.Kind = Kind(w[0])
	}
	h.BaseOffset = f.int()
	count, length := f.int(), f.int()
	h.AppendTime = f.int()
	h.sum, h.synced = f.hex(), f.uint()
	if err := f.end(); err != nil {
		return h, 0, err
	}
	if !h.Kind.valid() && h.Kind != KindCompacted {
		return h, 0, errors.New("the frame header has an unknown kind")
	}
	if length < 0 || length > MaxBody || count < 0 || count > length || h.BaseOffset < 0 {
		return h, 0, errors.New("a number in the frame header is out of range")
	}
	h.Count, h.length = int(count), int(length)
	return h, blockLineLen(h.length), nil
}

// check verifies a header line (without LF) and its block line (with LF, empty if
// there is none), and stores the checksums of the blocks.
func (h *frameHead) check(s checksums, line, blockLine []byte) error {
	text, sum, _ := splitLineSum(line)
	got := crc32.Update(crc32.Update(s.local, castagnoli, text), castagnoli, blockLine)
	if got != sum {
		return errLineSum
	}
	if len(blockLine) == 0 {
		return nil
	}
	if string(blockLine[:3]) != "#b " || blockLine[len(blockLine)-1] != '\n' {
		return errors.New("the line after the frame header is no block line")
	}
	f := fields{rest: blockLine[3 : len(blockLine)-1]}
	h.blocks = make([]uint32, blockCount(h.length))
	for i := range h.blocks {
		h.blocks[i] = f.hex()
	}
	return f.end()
}

// checkBody verifies a whole body and returns the CRC32C of the body alone.
func (h *frameHead) checkBody(s checksums, body []byte) (uint32, error) {
	f := h.Frame
	f.BodySum = Checksum(body)
	if s.entry(&f) != h.sum {
		return 0, errors.New("the checksum of the body does not match")
	}
	return f.BodySum, nil
}

func (k Kind) valid() bool {
	switch k {
	case KindRecords, KindEmpty, KindConfChange, KindControl:
		return true
	}
	return false
}

// hasRecords reports whether the body consists of record lines.
func (k Kind) hasRecords() bool { return k == KindRecords || k == KindCompacted }
