package replica

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
)

// A raft entry's Data is entryHeaderSize bytes of header and then the body as
// it stands in the log file:
//
//	0      format version (1)
//	1      kind (logfile.Kind: records or control)
//	2:10   base offset
//	10:14  record count
//	14:22  append time, milliseconds since 1970
//	22:26  CRC32C of the body
//
// The leader encodes it once; the bytes are shared by every replica in the
// process and immutable from then on. A leader's empty entry has no Data, and
// a membership change keeps raft's own encoding.
const (
	entryFormat     = 1
	entryHeaderSize = 26
)

// entryHeader is what precedes the body in a raft entry.
type entryHeader struct {
	kind       logfile.Kind
	baseOffset int64
	count      int
	appendTime int64
	bodySum    uint32
}

func (h entryHeader) put(dst []byte) {
	_ = dst[entryHeaderSize-1]
	dst[0] = entryFormat
	dst[1] = byte(h.kind)
	binary.LittleEndian.PutUint64(dst[2:], uint64(h.baseOffset))
	binary.LittleEndian.PutUint32(dst[10:], uint32(h.count))
	binary.LittleEndian.PutUint64(dst[14:], uint64(h.appendTime))
	binary.LittleEndian.PutUint32(dst[22:], h.bodySum)
}

func parseEntryHeader(data []byte) (entryHeader, []byte, error) {
	if len(data) < entryHeaderSize {
		return entryHeader{}, nil, fmt.Errorf("raft entry of %d bytes is shorter than its header", len(data))
	}
	if data[0] != entryFormat {
		return entryHeader{}, nil, fmt.Errorf("raft entry has format version %d, this program reads %d: use the program that wrote it", data[0], entryFormat)
	}
	return entryHeader{
		kind:       logfile.Kind(data[1]),
		baseOffset: int64(binary.LittleEndian.Uint64(data[2:])),
		count:      int(binary.LittleEndian.Uint32(data[10:])),
		appendTime: int64(binary.LittleEndian.Uint64(data[14:])),
		bodySum:    binary.LittleEndian.Uint32(data[22:]),
	}, data[entryHeaderSize:], nil
}

// encodeEntry makes the Data of an entry from a buffer that begins with
// entryHeaderSize free bytes, followed by the body.
func encodeEntry(buf []byte, kind logfile.Kind, baseOffset int64, count int, appendTime int64) []byte {
	h := entryHeader{kind: kind, baseOffset: baseOffset, count: count, appendTime: appendTime}
	h.bodySum = logfile.Checksum(buf[entryHeaderSize:])
	h.put(buf)
	return buf
}

// frameOf converts a raft entry to the frame that goes to disk. nextOffset and
// now are for entries that carry no offset and time of their own.
func frameOf(e *raftpb.Entry, nextOffset, now int64) (logfile.Frame, error) {
	f := logfile.Frame{Index: e.Index, Term: e.Term, BaseOffset: nextOffset, AppendTime: now}
	switch {
	case e.Type != raftpb.EntryNormal:
		f.Kind = logfile.KindConfChange
		f.Body = logfile.OpaqueBody(append([]byte{byte(e.Type)}, e.Data...))
		f.BodySum = logfile.Checksum(f.Body)
	case len(e.Data) == 0:
		f.Kind = logfile.KindEmpty
	default:
		h, body, err := parseEntryHeader(e.Data)
		if err != nil {
			return f, err
		}
		f.Kind, f.BaseOffset, f.Count, f.AppendTime = h.kind, h.baseOffset, h.count, h.appendTime
		f.Body, f.BodySum = body, h.bodySum
	}
	return f, nil
}

// entryOf is the inverse of frameOf, for entries read back from disk.
func entryOf(f *logfile.Frame) (raftpb.Entry, error) {
	e := raftpb.Entry{Index: f.Index, Term: f.Term}
	switch f.Kind {
	case logfile.KindEmpty:
	case logfile.KindConfChange:
		data, err := logfile.OpaqueData(f.Body)
		if err == nil && len(data) == 0 {
			err = errors.New("it is empty")
		}
		if err != nil {
			return e, fmt.Errorf("membership entry %d: %w", f.Index, err)
		}
		e.Type, e.Data = raftpb.EntryType(data[0]), data[1:]
	default:
		buf := make([]byte, entryHeaderSize+len(f.Body))
		copy(buf[entryHeaderSize:], f.Body)
		h := entryHeader{kind: f.Kind, baseOffset: f.BaseOffset, count: f.Count, appendTime: f.AppendTime, bodySum: f.BodySum}
		h.put(buf)
		e.Data = buf
	}
	return e, nil
}
