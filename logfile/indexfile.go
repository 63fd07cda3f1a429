package logfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// The index of a sealed segment stands in an index file beside it, <base>.idx,
// which is not synced: one that is bad or missing is rebuilt.
//
//	+----------------+---------+-----------+-----------------------------------------------+--------+
//	| ottla index 1\n| key (8) | count (8) | count times: offset, index, pos, line, maxTime| crc (4)|
//	+----------------+---------+-----------+-----------------------------------------------+--------+
//
// Integers are little endian, those of an entry 8 bytes each. The key is
// segment.indexKey, crc the CRC32C of everything before it.
const (
	indexMagic  = "ottla index 1\n"
	entryBytes  = 5 * 8
	maxIndexLen = 1 << 30
)

// indexKey distinguishes a segment from an earlier one of the same name, whose
// index file may come back after a power cut.
func (s *segment) indexKey() uint64 {
	var b []byte
	for _, v := range [...]int64{s.size, s.base, int64(s.first), int64(s.last), s.next, s.lastAt, s.maxTime} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return uint64(Checksum(b))
}

func encodeIndex(entries []entry, key uint64) []byte {
	b := make([]byte, 0, len(indexMagic)+20+len(entries)*entryBytes)
	b = append(b, indexMagic...)
	b = binary.LittleEndian.AppendUint64(b, key)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(entries)))
	for _, e := range entries {
		for _, v := range [...]uint64{uint64(e.Offset), e.Index, uint64(e.Pos), uint64(e.Line), uint64(e.MaxTime)} {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
	}
	return binary.LittleEndian.AppendUint32(b, Checksum(b))
}

var errIndexFile = errors.New("index file is not usable")

func decodeIndex(b []byte, key uint64) ([]entry, error) {
	head := len(indexMagic) + 16
	if len(b) < head+4 || string(b[:len(indexMagic)]) != indexMagic {
		return nil, errIndexFile
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	n := binary.LittleEndian.Uint64(b[head-8:])
	if Checksum(body) != sum || binary.LittleEndian.Uint64(b[head-16:]) != key ||
		n > maxIndexLen/entryBytes || int(n)*entryBytes != len(body)-head {
		return nil, errIndexFile
	}
	entries := make([]entry, n)
	for i := range entries {
		var v [5]uint64
		for k := range v {
			v[k] = binary.LittleEndian.Uint64(body[head+i*entryBytes+k*8:])
		}
		entries[i] = entry{int64(v[0]), v[1], int64(v[2]), int64(v[3]), int64(v[4])}
	}
	return entries, nil
}

func readIndexFile(fsys FS, path string, key uint64) ([]entry, error) {
	b, err := readAll(fsys, path, maxIndexLen)
	if err != nil {
		return nil, err
	}
	return decodeIndex(b, key)
}

func writeIndexFile(fsys FS, path string, entries []entry, key uint64) error {
	h, err := fsys.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, filePerm)
	if err != nil {
		return err
	}
	_, err = h.WriteAt(encodeIndex(entries, key), 0)
	return errors.Join(err, h.Close())
}

// readAll reads a file of at most limit bytes.
func readAll(fsys FS, path string, limit int64) ([]byte, error) {
	h, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer closeQuietly(h)
	size, err := h.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than the limit of %d", path, size, limit)
	}
	b := make([]byte, size)
	n, err := h.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}
