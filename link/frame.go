package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A frame is a header and a body:
//
//	 0       1       2       4         8       12        16        20        24
//	+-------+-------+-------+---------+-------+---------+---------+---------+------
//	| magic | type  | kind  | length  | call  | left ms | CRC of  | CRC of  | body
//	| a7    |       |       | of body |       |         | body    | 0..20   |
//	+-------+-------+-------+---------+-------+---------+---------+---------+------
//
// Numbers are little endian, checksums CRC32C; that of the body is 0 where TLS sees
// to it. Kind is the caller's; call numbers
// the calls of a connection; left is the rest of a call's time.
const (
	headerSize = 24
	magic      = 0xa7
)

// frameType says what a frame is to the link.
type frameType uint8

const (
	typeHello   frameType = 1 + iota // the first frame each way
	typeRefusal                      // instead of the second hello
	typeMessage
	typeCall
	typeReply   // to a call
	typeFailure // to a call: an error
	typePing
	typePong
	typeBye     // the node ends
	typeRelay   // a call for another node, whose id (8 bytes) stands before the body
	typeRelayed // a call of another node, whose id (8 bytes) stands before the body
	typesEnd
)

const (
	maxHello   = 16 << 10
	maxFailure = 1 << 20
	maxPing    = 1 << 10
)

// maxLength is the limit of a frame's body.
func (t frameType) maxLength() int {
	switch t {
	case typeHello, typeRefusal:
		return maxHello
	case typePing, typePong, typeBye:
		return maxPing
	case typeFailure:
		return maxFailure
	case typeRelay, typeRelayed:
		return MaxBody + 8
	default:
		return MaxBody
	}
}

// header has a checksum of its own, because a wrong length would have the reader take any
// bytes for the next header.
type header struct {
	typ    frameType
	kind   uint16
	length uint32
	call   uint32
	left   uint32 // milliseconds
	sum    uint32 // of the body
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errHeader = errors.New("link: damaged header of a frame")
	errBody   = errors.New("link: damaged body of a frame")
)

// appendTo appends the header's bytes.
func (h header) appendTo(b []byte) []byte {
	at := len(b)
	b = append(b, magic, byte(h.typ))
	b = binary.LittleEndian.AppendUint16(b, h.kind)
	b = binary.LittleEndian.AppendUint32(b, h.length)
	b = binary.LittleEndian.AppendUint32(b, h.call)
	b = binary.LittleEndian.AppendUint32(b, h.left)
	b = binary.LittleEndian.AppendUint32(b, h.sum)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

// parseHeader reads a header, and holds the length of the body against its limit.
func parseHeader(b []byte) (header, error) {
	if len(b) < headerSize || b[0] != magic || crc32.Checksum(b[:20], castagnoli) != binary.LittleEndian.Uint32(b[20:]) {
		return header{}, errHeader
	}
	h := header{
		typ:    frameType(b[1]),
		kind:   binary.LittleEndian.Uint16(b[2:]),
		length: binary.LittleEndian.Uint32(b[4:]),
		call:   binary.LittleEndian.Uint32(b[8:]),
		left:   binary.LittleEndian.Uint32(b[12:]),
		sum:    binary.LittleEndian.Uint32(b[16:]),
	}
	// A frame that cannot be understood ends the connection: a later version must not send
	// new types before it knows, by the hello, that they are understood.
	if h.typ == 0 || h.typ >= typesEnd {
		return header{}, fmt.Errorf("link: a frame of type %d, which this version does not know", h.typ)
	}
	if limit := h.typ.maxLength(); int64(h.length) > int64(limit) {
		return header{}, fmt.Errorf("link: a frame of type %d has %d bytes, the limit is %d", h.typ, h.length, limit)
	}
	return h, nil
}

// readFrame reads one frame, and compares its body's checksum if sums. The body is a fresh slice, nil when it is empty. At
// the end of the stream, between frames, the error is io.EOF.
func readFrame(r io.Reader, limit int, sums bool) (header, []byte, error) {
	var raw [headerSize]byte
	if _, err := io.ReadFull(r, raw[:]); err != nil {
		return header{}, nil, err
	}
	h, err := parseHeader(raw[:])
	if err != nil {
		return header{}, nil, err
	}
	if int64(h.length) > int64(limit) {
		return header{}, nil, fmt.Errorf("link: a frame of type %d has %d bytes, %d are allowed here", h.typ, h.length, limit)
	}
	var body []byte
	if h.length > 0 {
		// A new one each time: handlers keep what they get, and nothing is copied after
		// this.
		body = make([]byte, h.length)
		if _, err := io.ReadFull(r, body); err != nil {
			return header{}, nil, unexpected(err)
		}
	}
	if sums && crc32.Checksum(body, castagnoli) != h.sum {
		return header{}, nil, errBody
	}
	return h, body, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// outFrame is a frame that waits to be written. Nobody changes its parts. They are written
// without being copied, so they must stay as they are until the frame is written or dropped.
type outFrame struct {
	header
	prefix []byte // before the parts; nil mostly
	parts  [][]byte
	call   *call // whose outcome depends on it, nil for others
}

func makeFrame(typ frameType, kind uint16, parts [][]byte) outFrame {
	f := outFrame{header: header{typ: typ, kind: kind}, parts: parts}
	f.length = f.bodySize()
	return f
}

func (f *outFrame) bodySize() uint32 {
	n := len(f.prefix)
	for _, p := range f.parts {
		n += len(p)
	}
	return uint32(min(n, 1<<32-1)) // too long for any limit
}

// tooLong says that the other side would refuse the frame.
func (f *outFrame) tooLong() bool { return int64(f.length) > int64(f.typ.maxLength()) }

func (f *outFrame) size() int { return headerSize + int(f.length) }

// checksum fills in the sum of the body.
func (f *outFrame) checksum() {
	f.sum = crc32.Update(0, castagnoli, f.prefix)
	for _, p := range f.parts {
		f.sum = crc32.Update(f.sum, castagnoli, p)
	}
}

// bytes is the frame as one slice, for those that are rare.
func (f *outFrame) bytes() []byte {
	f.checksum()
	b := f.appendTo(make([]byte, 0, f.size()))
	b = append(b, f.prefix...)
	for _, p := range f.parts {
		b = append(b, p...)
	}
	return b
}
