package logfile

import (
	"errors"
	"hash/crc32"
	"strconv"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC32C (Castagnoli) of a frame's body alone, Frame.BodySum.
func Checksum(body []byte) uint32 { return crc32.Checksum(body, castagnoli) }

// sealer binds checksums to the identity of a log, so that a line or a frame
// that strayed from another file does not pass.
type sealer struct {
	topic []byte // cluster id, topic id and partition: the same on all replicas
	local uint32 // start value for lines of this replica only
}

func newSealer(id Identity) sealer {
	b := strconv.AppendQuote(nil, id.ClusterID)
	b = append(b, ' ')
	b = strconv.AppendQuote(b, id.TopicID)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(id.Partition), 10)
	b = append(b, ' ')
	replica := strconv.AppendUint(b[:len(b):len(b)], id.ReplicaID, 10)
	return sealer{topic: b, local: Checksum(replica)}
}

// entry is the body CRC as it stands in a frame: over the body, then what
// identifies the entry.
func (s sealer) entry(f *Frame) uint32 {
	var scratch [96]byte
	b := strconv.AppendUint(scratch[:0], f.Index, 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, f.Term, 10)
	b = append(b, ' ', byte(f.Kind), ' ')
	b = strconv.AppendInt(b, f.BaseOffset, 10)
	return crc32.Update(crc32.Update(f.BodySum, castagnoli, s.topic), castagnoli, b)
}

// appendSeal ends the line that starts at dst[start] with its checksum.
func appendSeal(dst []byte, start int, seed uint32) []byte {
	sum := crc32.Update(seed, castagnoli, dst[start:])
	return append(appendHex(append(dst, ' '), sum), '\n')
}

var errLineSum = errors.New("line checksum does not match")

// unseal checks a line without its LF and returns it without its checksum.
func unseal(line []byte, seed uint32) ([]byte, error) {
	text, sum, ok := splitSeal(line)
	if !ok {
		return nil, errors.New("line carries no checksum")
	}
	if crc32.Update(seed, castagnoli, text) != sum {
		return nil, errLineSum
	}
	return text, nil
}

// splitSeal takes a line apart into text and checksum.
func splitSeal(line []byte) (text []byte, sum uint32, ok bool) {
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
