package front

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"

	"ottla/protocol"
)

// The cursor of a reading, a URL-safe token. The bytes under the base64:
//
//	's', then as uvarints, strings after their length:
//	topic name, topic id, number of positions,
//	positions: (partition - the one before, offset << 1) or (..., time << 1 | 1)
//	CRC32C of all that (4 bytes, big endian)
//
// Positions are ordered by partition. One that is not in it is read from the
// earliest record on: the partition was added later, or nothing was read of it yet.
const (
	readCursorVersion  = 's' // a poll's cursor begins with 1
	maxReadCursorBytes = 1 << 20
)

var (
	readCursorText = base64.RawURLEncoding.Strict()
	readCursorSums = crc32.MakeTable(crc32.Castagnoli)
)

// cursorWriter encodes cursors, again and again into the same memory.
type cursorWriter struct {
	raw, text []byte

	// The cursor of which one position moves; see follow.
	fixed int    // how many bytes come before the position's offset
	sum   uint32 // their CRC32C
	after []byte // the positions behind it
}

// size is about how long the cursor of that many positions is, in bytes.
func (w *cursorWriter) size(at []readPosition) int { return max(len(w.text), 64+8*len(at)) }

// encode writes a cursor. Positions of which nothing is known are left out: they are read
// from the earliest record on, which is what they would say.
func (w *cursorWriter) encode(t *protocol.Topic, at []readPosition) string {
	w.body(t, at, nil)
	w.raw = binary.BigEndian.AppendUint32(w.raw, crc32.Checksum(w.raw, readCursorSums))
	w.text = readCursorText.AppendEncode(w.text[:0], w.raw)
	return string(w.text)
}

// follow prepares for the cursors of a position of at, whose offset is known, while it
// moves and the others do not. They differ in a few bytes at the end.
func (w *cursorWriter) follow(t *protocol.Topic, at []readPosition, moves *readPosition) {
	w.fixed = 0
	end := w.body(t, at, moves)
	w.after = append(w.after[:0], w.raw[end:]...)
	w.sum = crc32.Checksum(w.raw[:w.fixed], readCursorSums)
	w.text = readCursorText.AppendEncode(w.text[:0], w.raw[:w.fixed/3*3])
}

// moved is the cursor with that offset for the position that is followed. It is valid
// until the next call, as nothing but calls of moved may come between follow and moved.
func (w *cursorWriter) moved(offset protocol.Offset) []byte {
	w.raw = binary.AppendUvarint(w.raw[:w.fixed], uint64(offset)<<1)
	w.raw = append(w.raw, w.after...)
	w.raw = binary.BigEndian.AppendUint32(w.raw, crc32.Update(w.sum, readCursorSums, w.raw[w.fixed:]))
	w.text = readCursorText.AppendEncode(w.text[:w.fixed/3*4], w.raw[w.fixed/3*3:])
	return w.text
}

// body makes raw a cursor without its checksum, and fixed what comes before the offset
// of moves, which ends at end.
func (w *cursorWriter) body(t *protocol.Topic, at []readPosition, moves *readPosition) (end int) {
	b := append(w.raw[:0], readCursorVersion)
	b = appendCursorString(b, t.Name)
	b = appendCursorString(b, t.ID)
	count, last := 0, 0
	for i := range at {
		if at[i].known || at[i].since > 0 {
			count++
		}
	}
	b = binary.AppendUvarint(b, uint64(count))
	for i := range at {
		p := &at[i]
		value := uint64(p.offset) << 1
		switch {
		case p.known:
		case p.since > 0:
			value = uint64(p.since)<<1 | 1
		default:
			continue
		}
		b = binary.AppendUvarint(b, uint64(p.partition-last))
		fixed := len(b)
		b = binary.AppendUvarint(b, value)
		if p == moves {
			w.fixed, end = fixed, len(b)
		}
		last = p.partition
	}
	w.raw = b
	return end
}

func appendCursorString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decodeReadCursor returns the positions in a cursor of a reading of t. A topic that
// was deleted and made again has none: all its records are new. Errors:
// invalid_cursor, for everything that encode has not made; foreign_cursor, for that of
// another topic.
func decodeReadCursor(token string, t *protocol.Topic) ([]readPosition, *protocol.Error) {
	bad := protocol.Errorf(protocol.CodeInvalidCursor, "this is not a cursor of a topic's stream: send the last id that the stream gave unchanged")
	if len(token) > maxReadCursorBytes || strings.ContainsAny(token, "\r\n") { // which base64 skips
		return nil, bad
	}
	b, err := readCursorText.DecodeString(token)
	if err != nil || len(b) < 1+crc32.Size || b[0] != readCursorVersion {
		return nil, bad
	}
	body, sum := b[:len(b)-crc32.Size], binary.BigEndian.Uint32(b[len(b)-crc32.Size:])
	if crc32.Checksum(body, readCursorSums) != sum {
		return nil, protocol.Errorf(protocol.CodeInvalidCursor, "the cursor was changed or cut short on its way: send the last id that the stream gave unchanged")
	}
	d := readCursorDecoder{b: body[1:]}
	name, id := d.text(), d.text()
	at := d.positions()
	if d.bad || len(d.b) > 0 {
		return nil, bad
	}
	if name != t.Name {
		return nil, protocol.Errorf(protocol.CodeForeignCursor, "the cursor belongs to topic %.200q, not to %q", name, t.Name)
	}
	if id != t.ID {
		return nil, nil
	}
	return at, nil
}

// readCursorDecoder decodes a cursor. After the first thing that does not fit, bad is
// true and every read returns zero.
type readCursorDecoder struct {
	b   []byte
	bad bool
}

func (d *readCursorDecoder) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 || v > limit {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *readCursorDecoder) text() string {
	n := d.uvarint(uint64(len(d.b)))
	if n > uint64(len(d.b)) {
		d.bad = true
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *readCursorDecoder) positions() (list []readPosition) {
	partition := uint64(0)
	for n := d.uvarint(uint64(len(d.b) / 2)); n > 0 && !d.bad; n-- {
		delta := d.uvarint(math.MaxInt32)
		if partition += delta; partition > math.MaxInt32 || delta == 0 && len(list) > 0 {
			d.bad = true
		}
		value := d.uvarint(math.MaxInt64)
		at := readPosition{partition: int(partition)}
		if value&1 == 0 {
			at.offset, at.known = protocol.Offset(value>>1), true
		} else {
			at.since = max(1, int64(value>>1))
		}
		list = append(list, at)
	}
	return list
}
