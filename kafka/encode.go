package kafka

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"ottla/protocol"
)

// encoder makes lines of the batches of a request, on the connection's goroutine.
//
// Memory for them is taken as it is needed (room), which may wait for other requests to end.
// What it holds is given back with the request. The buffers for keys, values and headers are
// used for one record after the other; lines are copies, so nothing of the batches is needed
// when all are encoded.
type encoder struct {
	o     *Options
	room  func(bytes int) bool // takes memory, before it is allocated
	limit int                  // bytes that the request's batches may still have when they are decompressed

	inflated int  // bytes of all records, decompressed
	full     bool // there was no room once; what is left of the request is refused
	taken    int  // bytes of room for buffer
	buffer   *[]byte
	key      []byte
	value    []byte
	headers  []byte
	keyless  []int32 // records of the last batch, by their number in it, that a compacted topic does not take
}

// inflators are buffers of decompressed batches.
var inflators = sync.Pool{New: func() any { return new([]byte) }}

// done gives the encoder's buffer back, before the request waits to be committed. A large one
// is left to the garbage collector: the pool is not counted in any budget.
func (e *encoder) done() {
	if e.buffer != nil && cap(*e.buffer) <= keptBody {
		inflators.Put(e.buffer)
	}
	e.buffer = nil
}

// take takes memory. After it was refused once the rest of the request does not wait
// for it: each wait may take a second, and a request may have a thousand partitions.
func (e *encoder) take(bytes int) bool {
	e.full = e.full || !e.room(bytes)
	return !e.full
}

const noRoom = "too many bytes of requests are in memory"

// encode makes the lines of a request of the one batch that it has for a partition.
//
// The size of the lines is estimated, and taken, before they are made: a batch that was
// compressed well can become a hundred times as large. The number of records has been checked
// against the bytes by then (inflate), or a few bytes could claim memory for millions.
func (e *encoder) encode(req *protocol.ProduceRequest, records []byte) (code int16, why string) {
	e.keyless = e.keyless[:0]
	b, code := readBatch(records)
	if code == errNone {
		code = e.inflate(&b)
	}
	switch {
	case code == errNotEnoughReplicas:
		return code, noRoom
	case code == errUnsupportedCompression:
		return code, "the codec is not known, or a zstd frame needs a window of more than 16 MiB: use level 19 at most"
	case code != errNone:
		return code, ""
	}
	if e.inflated += len(b.records); b.producerID >= 0 {
		req.ProducerID = protocol.KafkaProducerPrefix + strconv.FormatInt(b.producerID, 10)
		req.Epoch, req.Sequence = int64(b.epoch), int64(b.sequence)
	}
	lines := &req.Lines
	const offsetBytes = 8
	size := len(b.records) + b.count*(lineOverhead+len(req.Topic.Name))
	if !e.take(size + offsetBytes*b.count) {
		return errNotEnoughReplicas, noRoom
	}
	lines.Buf, lines.Gaps = make([]byte, 0, size), make([]int, 0, b.count)
	return e.lines(req, &b)
}

// lineOverhead is what a line has in bytes besides its topic, key, value and headers.
const lineOverhead = 64

// inflate decompresses the records of a batch. The limit is for all batches of the request
// together. No memory is NOT_ENOUGH_REPLICAS, upon which clients send the batch again.
func (e *encoder) inflate(b *batch) int16 {
	if b.codec != codecNone {
		if e.buffer == nil {
			e.buffer = inflators.Get().(*[]byte)
		}
		to := inflation{dst: *e.buffer, limit: e.limit, room: e.take, taken: e.taken}
		records, err := decompress(b.codec, b.records, &to)
		*e.buffer, e.taken = to.dst, to.taken
		switch {
		case err == nil:
		case errors.Is(err, errTooLarge):
			return errMessageTooLarge
		case errors.Is(err, errNoRoom):
			return errNotEnoughReplicas
		case errors.Is(err, errWindow): // not errCorruptMessage, for which clients would send it again
			return errUnsupportedCompression
		default:
			return errCorruptMessage
		}
		e.limit -= len(records)
		b.records = records
	}
	if b.count > len(b.records)/leastRecordBytes {
		return errInvalidRecord
	}
	return errNone
}

// now is for records without a timestamp, in milliseconds since 1970: those of a batch whose first
// one is -1, as kcat with an old librdkafka sends it. All of a batch get the same.
func (e *encoder) now() int64 {
	if e.o.Millis != nil {
		return e.o.Millis()
	}
	return time.Now().UnixMilli()
}

// keyless is what is wrong with a record.
const keyless = "a record without a key cannot be in a compacted topic"

// recordErrorBytes is what it takes to say of one record that it is wrong.
const recordErrorBytes = 128

// lines adds the records of a batch to a request. A batch is taken whole or not at all, so the
// first record that is wrong ends it; only of records without a key all are looked for, because
// the answer names them.
func (e *encoder) lines(req *protocol.ProduceRequest, b *batch) (code int16, why string) {
	limit := e.o.MaxRecordBytes
	if own := req.Topic.MaxRecordBytes; own > 0 {
		limit = min(limit, own)
	}
	lines := &req.Lines
	room := cap(lines.Buf)
	now := e.now()
	s := scanner{b: b.records}
	for i := range b.count {
		r := s.record(i)
		if s.bad {
			return errInvalidRecord, ""
		}
		if size := len(r.key) + len(r.value) + len(r.headers); size > limit {
			return errMessageTooLarge, "a record has " + strconv.Itoa(size) + " bytes, more than the limit of " + strconv.Itoa(limit)
		}
		if req.Topic.Compacted && r.key == nil {
			if !e.take(recordErrorBytes) {
				return errNotEnoughReplicas, noRoom
			}
			e.keyless = append(e.keyless, int32(i))
			continue
		}
		if len(e.keyless) > 0 {
			continue // nothing is written of the batch
		}
		at := b.firstTime + r.timeDelta
		switch {
		case b.firstTime == -1:
			at = now
		case at < 0 || at > maxTimestamp:
			return errInvalidTimestamp, ""
		}
		e.key, e.value, e.headers = appendKeyToken(e.key[:0], r.key), e.o.appendValueToken(e.value[:0], r.value), e.headers[:0]
		if r.nHeaders > 0 {
			if e.headers, code = e.o.appendHeadersToken(e.headers, &r); code != errNone {
				return code, "a header has a name that is too long or no UTF-8, or there are too many"
			}
		}
		action := protocol.ActionProduce
		if r.value == nil {
			action = protocol.ActionTombstone
		}
		lines.Add(at, req.Topic.Name, req.Partition, e.key, e.value, action, e.headers)
		if more := cap(lines.Buf) - room; more > 0 { // escapes and base64 take more than was estimated
			if !e.take(more) {
				return errNotEnoughReplicas, noRoom
			}
			room += more
		}
	}
	if len(s.b) > 0 {
		return errInvalidRecord, ""
	}
	if len(e.keyless) > 0 {
		return errInvalidRecord, keyless
	}
	return errNone, ""
}
