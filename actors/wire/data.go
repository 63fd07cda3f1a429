package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"ottla/logfile"
	"ottla/protocol"
)

// Flags of a produce request.
const (
	flagNoAck = 1 << iota
	flagAgain
)

// ProduceHead is a produce request but for its lines, which follow it in the
// message and are not copied into it.
func ProduceHead(p Partition, req *protocol.ProduceRequest) []byte {
	b := AppendPartition(nil, p)
	flags := uint64(0)
	if req.NoAck {
		flags |= flagNoAck
	}
	if req.Again {
		flags |= flagAgain
	}
	b = binary.AppendUvarint(b, flags)
	b = appendString(b, req.ProducerID)
	b = binary.AppendVarint(b, req.Epoch)
	b = binary.AppendVarint(b, req.Sequence)
	b = binary.AppendUvarint(b, req.BodyHash)
	b = binary.AppendUvarint(b, uint64(len(req.Lines.Gaps)))
	prev := 0
	for _, gap := range req.Lines.Gaps {
		b = binary.AppendUvarint(b, uint64(gap-prev))
		prev = gap
	}
	return binary.AppendUvarint(b, uint64(len(req.Lines.Buf)))
}

// DecodeProduce reads what ProduceHead and the lines behind it say. The lines lie
// in b. Left is what is left of the sender's time, 0: no limit.
func DecodeProduce(b []byte, left time.Duration) (p Partition, req *protocol.ProduceRequest, err error) {
	p, rest, err := TakePartition(b)
	if err != nil {
		return p, nil, err
	}
	r := reader{b: rest}
	req = &protocol.ProduceRequest{Partition: p.Partition}
	flags := r.uvarint()
	req.NoAck, req.Again = flags&flagNoAck != 0, flags&flagAgain != 0
	req.ProducerID = r.text()
	req.Epoch, req.Sequence, req.BodyHash = r.varint(), r.varint(), r.uvarint()
	n := r.uvarint()
	if r.bad || n > uint64(len(r.b)) {
		return p, nil, errShort
	}
	req.Lines.Gaps = make([]int, n)
	at := uint64(0)
	for i := range req.Lines.Gaps {
		at += r.uvarint()
		req.Lines.Gaps[i] = int(at)
	}
	req.Lines.Buf = r.bytes()
	if r.bad || len(r.b) > 0 || at > uint64(len(req.Lines.Buf)) {
		return p, nil, errShort
	}
	if left > 0 {
		req.Deadline = time.Now().Add(left)
	}
	return p, req, nil
}

// EncodeProduced is the answer of a produce that did not fail.
func EncodeProduced(res *protocol.ProduceResult) []byte {
	b := binary.AppendVarint(nil, int64(res.BaseOffset))
	dup := uint64(0)
	if res.Duplicate {
		dup = 1
	}
	b = binary.AppendUvarint(b, dup)
	return binary.AppendVarint(b, res.Timestamp)
}

// DecodeProduced is the reverse.
func DecodeProduced(b []byte) (res protocol.ProduceResult, err error) {
	r := reader{b: b}
	res.BaseOffset = protocol.Offset(r.varint())
	res.Duplicate = r.uvarint() == 1
	res.Timestamp = r.varint()
	if r.bad {
		return res, errShort
	}
	return res, nil
}

// Bounds are what a view of a log says without a read.
type Bounds struct {
	Earliest, HighWatermark int64
}

// ReadQuestion asks for records.
type ReadQuestion struct {
	Partition
	Offset               int64
	MaxRecords, MaxBytes int
	HighWatermark        int64 // nothing from here on is wanted
}

// EncodeRead is the form of a ReadQuestion.
func EncodeRead(q *ReadQuestion) []byte {
	b := AppendPartition(nil, q.Partition)
	b = binary.AppendVarint(b, q.Offset)
	b = binary.AppendUvarint(b, uint64(q.MaxRecords))
	b = binary.AppendUvarint(b, uint64(q.MaxBytes))
	return binary.AppendVarint(b, q.HighWatermark)
}

// DecodeRead is the reverse.
func DecodeRead(b []byte) (q ReadQuestion, err error) {
	if q.Partition, b, err = TakePartition(b); err != nil {
		return q, err
	}
	r := reader{b: b}
	q.Offset = r.varint()
	q.MaxRecords, q.MaxBytes = int(min(r.uvarint(), 1<<30)), int(min(r.uvarint(), 1<<30))
	q.HighWatermark = r.varint()
	if r.bad {
		return q, errShort
	}
	return q, nil
}

// AppendRecord appends a record to the answer of a read.
func AppendRecord(b []byte, r *logfile.Record) []byte {
	b = binary.AppendVarint(b, r.Offset)
	b = binary.AppendVarint(b, r.Timestamp)
	b = appendBytes(b, r.Key)
	b = appendBytes(b, r.Value)
	b = appendBytes(b, r.Headers)
	return appendBytes(b, r.Action)
}

func appendBytes(b, field []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(field)))
	return append(b, field...)
}

// Ends of a read: the first byte of its answer.
const (
	readOK         = 0
	readBelowStart = 1
	readStale      = 2
	readFailed     = 3
)

// ReadEnd begins the answer of a read with how it has ended. Records follow, or the
// text of an error.
func ReadEnd(err error) []byte {
	switch {
	case err == nil:
		return []byte{readOK}
	case errors.Is(err, logfile.ErrBelowStart):
		return append([]byte{readBelowStart}, err.Error()...)
	case errors.Is(err, logfile.ErrStale):
		return append([]byte{readStale}, err.Error()...)
	}
	return append([]byte{readFailed}, err.Error()...)
}

// EachRecord calls emit with each record of a read's answer. Their tokens lie in b.
// Errors: those of the read, among them logfile.ErrBelowStart and logfile.ErrStale.
func EachRecord(b []byte, emit func(*logfile.Record)) error {
	if len(b) == 0 {
		return errShort
	}
	end, rest := b[0], b[1:]
	switch end {
	case readOK:
	case readBelowStart:
		return fmt.Errorf("%s: %w", rest, logfile.ErrBelowStart)
	case readStale:
		return fmt.Errorf("%s: %w", rest, logfile.ErrStale)
	default:
		return errors.New(string(rest))
	}
	r := reader{b: rest}
	for len(r.b) > 0 {
		rec := logfile.Record{Offset: r.varint(), Timestamp: r.varint(), Key: r.bytes(), Value: r.bytes(), Headers: r.bytes(), Action: r.bytes()}
		if r.bad {
			return errShort
		}
		emit(&rec)
	}
	return nil
}

// DecodeSeek is the offset in the answer of a SeekTime call, whose end is ReadEnd's.
// Errors: those of EachRecord.
func DecodeSeek(b []byte) (int64, error) {
	if len(b) == 0 || b[0] != readOK {
		return 0, EachRecord(b, nil)
	}
	r := reader{b: b[1:]}
	offset := r.varint()
	if r.bad {
		return 0, errShort
	}
	return offset, nil
}
