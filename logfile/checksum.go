package logfile

import (
	"errors"
	"hash/crc32"
	"strconv"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC32C (Castagnoli) of a frame's body alone, Frame.BodySum.
func Checksum(body []byte) uint32 { return crc32.Checksum(body, castagnoli) }

// checksums binds checksums to the identity of a log, so that a line or a frame
// of another file does not verify.
type checksums struct {
	topic []byte // cluster id, topic id and partition: the same on all replicas
	local uint32 // CRC of the whole identity, which lines of one replica continue
}

func newChecksums(id Identity) checksums {
	b := strconv.AppendQuote(nil, id.ClusterID)
	b = append(b, ' ')
	b = strconv.AppendQuote(b, id.TopicID)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(id.Partition), 10)
	b = append(b, ' ')
	replica := strconv.AppendUint(b[:len(b):len(b)], id.ReplicaID, 10)
	return checksums{topic: b, local: Checksum(replica)}
}

// entry returns the body crc of a frame header: the CRC32C of the body, continued
// over topic and over index, term, kind and base offset.
func (s checksums) entry(f *Frame) uint32 {
	var scratch [96]byte
	b := strconv.AppendUint(scratch[:0], f.Index, 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, f.Term, 10)
	b = append(b, ' ', byte(f.Kind), ' ')
	b = strconv.AppendInt(b, f.BaseOffset, 10)
	return crc32.Update(crc32.Update(f.BodySum, castagnoli, s.topic), castagnoli, b)
}

// appendLineSum ends the line that starts at dst[start] with its checksum.
func appendLineSum(dst []byte, start int, seed uint32) []byte {
	sum := crc32.Update(seed, castagnoli, dst[start:])
	return append(appendHex(append(dst, ' '), sum), '\n')
}

var errLineSum = errors.New("the checksum of the line does not match")

// checkLineSum checks a line without its LF and returns it without its checksum.
func checkLineSum(line []byte, seed uint32) ([]byte, error) {
	text, sum, ok := splitLineSum(line)
	if !ok {
		return nil, errors.New("the line has no checksum")
	}
	if crc32.Update(seed, castagnoli, text) != sum {
		return nil, errLineSum
	}
	return text, nil
}

// splitLineSum splits a line into text and checksum.
func splitLineSum(line []byte) (text []byte, sum uint32, ok bool) {
	n := len(line) - 9
	if n < 0 || line[n] != ' ' {
		return nil, 0, false
	}
	sum, ok = parseHex(line[n+1:])
	return line[:n], sum, ok
}

const hexDigits = "0123456789abcdef"

// appendHex appends 8 lower case digits.
func appendHex(dst []byte, v uint32) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[v>>shift&15])
	}
	return dst
}

// parseHex reads exactly 8 lower case digits.
func parseHex(b []byte) (v uint32, ok bool) {
	if len(b) != 8 {
		return 0, false
	}
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		v = v<<4 | uint32(c)
	}
	return v, true
}
