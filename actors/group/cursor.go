package group

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"
	"strings"

	"ottla/protocol"
)

// Cursor is what a client keeps between two polls: its positions, as which
// consumer it had them, and in which generation. To the client it is an opaque
// token.
type Cursor struct {
	ClusterID    string
	Group        string
	GroupCreated int64 // tells a deleted group from one of the same name
	ConsumerID   protocol.ConsumerID
	Generation   protocol.Generation
	Term         uint64 // of the coordinator that made it
	Positions    []CursorPosition

	// Unsealed says that the cursor may be anybody's: the cluster seals its cursors, and it
	// was made before.
	Unsealed bool `json:"-"`
}

// CursorPosition is the next offset to read of a partition.
type CursorPosition struct {
	TopicID   string
	Partition int
	Offset    protocol.Offset
}

const (
	cursorVersion  = 1       // with a checksum
	sealedVersion  = 2       // with a seal in its place
	maxCursorBytes = 1 << 20 // as text; more than 100,000 positions
)

var (
	cursorText = base64.RawURLEncoding.Strict()
	cursorSums = crc32.MakeTable(crc32.Castagnoli)
)

// EncodeCursor returns the URL-safe token of c, sealed if there is a seal. The bytes under the base64:
//
//	version (1 byte), then as uvarints, strings and lists after their length:
//	cluster id, group, group created, consumer id, generation, term,
//	topics: topic id, positions: (partition - the one before, offset)
//	the first 16 bytes of HMAC-SHA256 of all that; without a seal its CRC32C (4 bytes, big endian)
//
// Order of the positions does not matter; a partition is there once.
func EncodeCursor(c *Cursor, seal *Seal) string {
	positions := slices.Clone(c.Positions)
	slices.SortFunc(positions, func(a, b CursorPosition) int {
		return cmp.Or(cmp.Compare(a.TopicID, b.TopicID), cmp.Compare(a.Partition, b.Partition))
	})
	b := append(make([]byte, 0, 128+16*len(positions)), cursorVersion)
	if seal != nil {
		b[0] = sealedVersion
	}
	b = appendString(b, c.ClusterID)
	b = appendString(b, c.Group)
	b = binary.AppendUvarint(b, uint64(c.GroupCreated))
	b = binary.AppendUvarint(b, uint64(c.ConsumerID))
	b = binary.AppendUvarint(b, uint64(c.Generation))
	b = binary.AppendUvarint(b, c.Term)
	topics := slices.Collect(chunkTopics(positions))
	b = binary.AppendUvarint(b, uint64(len(topics)))
	for _, chunk := range topics {
		b = appendString(b, chunk[0].TopicID)
		b = binary.AppendUvarint(b, uint64(len(chunk)))
		last := 0
		for _, p := range chunk {
			b = binary.AppendUvarint(b, uint64(p.Partition-last))
			b = binary.AppendUvarint(b, uint64(p.Offset))
			last = p.Partition
		}
	}
	if seal != nil {
		b = seal.appendTo(b)
	} else {
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, cursorSums))
	}
	return cursorText.EncodeToString(b)
}

// chunkTopics splits sorted positions by topic.
func chunkTopics(positions []CursorPosition) func(yield func([]CursorPosition) bool) {
	return func(yield func([]CursorPosition) bool) {
		for len(positions) > 0 {
			n := slices.IndexFunc(positions, func(p CursorPosition) bool { return p.TopicID != positions[0].TopicID })
			if n < 0 {
				n = len(positions)
			}
			if !yield(positions[:n]) {
				return
			}
			positions = positions[n:]
		}
	}
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// DecodeCursor reads a token. Seal is that of the cluster, nil if it has none, or it is
// not known here. Errors: invalid_cursor, for everything that EncodeCursor has not made; starting, where a
// seal cannot be checked; foreign_cursor, for a sealed one that names another cluster.
func DecodeCursor(token string, seal *Seal) (*Cursor, *protocol.Error) {
	if len(token) > maxCursorBytes {
		return nil, protocol.Errorf(protocol.CodeInvalidCursor, "the cursor of %d bytes is longer than any that a poll returns: send the cursor of the latest poll unchanged", len(token)).With("limit", maxCursorBytes)
	}
	b, err := cursorText.DecodeString(token)
	if err != nil || len(b) < 1+crc32.Size || strings.ContainsAny(token, "\r\n") { // which base64 skips
		return nil, protocol.Errorf(protocol.CodeInvalidCursor, "this is not a cursor: send the cursor of the latest poll unchanged")
	}
	body, refusal := opened(b, seal)
	if refusal != nil {
		return nil, refusal
	}
	r := cursorReader{b: body[1:]}
	c := r.cursor()
	c.Unsealed = seal != nil && b[0] != sealedVersion
	if r.bad || len(r.b) > 0 {
		return nil, protocol.Errorf(protocol.CodeInvalidCursor, "the cursor has a valid checksum but cannot be decoded: another program made it; poll without a cursor")
	}
	return c, nil
}

// errNoSeal refuses a cursor at a node that does not know the key of its cluster yet.
var errNoSeal = protocol.Errorf(protocol.CodeStarting, "the node does not know yet how the cluster seals its cursors")

// opened is a cursor without its seal or checksum, which are checked as far as they can be.
func opened(b []byte, seal *Seal) ([]byte, *protocol.Error) {
	changed := protocol.Errorf(protocol.CodeInvalidCursor, "the cursor was changed or cut short on its way: send the cursor of the latest poll unchanged")
	switch b[0] {
	case cursorVersion:
		body, sum := b[:len(b)-crc32.Size], binary.BigEndian.Uint32(b[len(b)-crc32.Size:])
		if crc32.Checksum(body, cursorSums) != sum {
			return nil, changed
		}
		return body, nil
	case sealedVersion:
		body := b[:max(0, len(b)-sealBytes)]
		if seal == nil {
			return nil, errNoSeal
		}
		if len(body) == 0 {
			return nil, changed
		}
		if !seal.isOf(b[len(body):], body) {
			if r := (cursorReader{b: body[1:]}); r.str() != seal.cluster && !r.bad {
				return nil, protocol.Errorf(protocol.CodeForeignCursor, "the cursor belongs to another cluster, or was changed on its way")
			}
			return nil, changed
		}
		return body, nil
	}
	return nil, protocol.Errorf(protocol.CodeInvalidCursor, "the cursor has version %d, this server reads up to %d, or it was changed on its way", b[0], sealedVersion)
}

// cursorReader decodes a cursor. After the first thing that does not fit, bad is
// true and every read returns zero.
type cursorReader struct {
	b   []byte
	bad bool
}

// maxCursorOffset is the largest offset that a client may name anywhere.
const maxCursorOffset = 1<<62 - 1

func (r *cursorReader) cursor() *Cursor {
	c := &Cursor{
		ClusterID: r.str(), Group: r.str(), GroupCreated: r.int(math.MaxInt64),
		ConsumerID: protocol.ConsumerID(r.int(math.MaxInt64)), Generation: protocol.Generation(r.int(math.MaxInt64)),
		Term: r.uvarint(),
	}
	for topics := r.count(2); topics > 0 && !r.bad; topics-- {
		id := r.str()
		partition := int64(0)
		for n := r.count(2); n > 0 && !r.bad; n-- {
			partition += r.int(math.MaxInt32)
			if partition > math.MaxInt32 {
				r.bad = true
			}
			c.Positions = append(c.Positions, CursorPosition{id, int(partition), protocol.Offset(r.int(maxCursorOffset))})
		}
	}
	return c
}

func (r *cursorReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// int reads a number that is at most limit.
func (r *cursorReader) int(limit uint64) int64 {
	v := r.uvarint()
	if v > limit {
		r.bad = true
		return 0
	}
	return int64(v)
}

// count reads the length of a list whose elements take at least size bytes.
func (r *cursorReader) count(size int) int64 { return r.int(uint64(len(r.b) / size)) }

func (r *cursorReader) str() string {
	n := r.int(uint64(len(r.b)))
	if r.bad || n > int64(len(r.b)) {
		r.bad = true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}
