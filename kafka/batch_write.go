package kafka

import (
	"encoding/binary"
	"hash/crc32"

	"ottla/protocol"
)

// batchWriter makes a record batch of records that are read. It is the sink of one
// read of one partition.
type batchWriter struct {
	b         []byte
	base      protocol.Offset
	last      protocol.Offset
	firstTime int64
	maxTime   int64
	count     int
	scratch   []byte
	headers   headerList
}

// Expect implements protocol.RecordSink.
func (w *batchWriter) Expect(bytes int) {
	if w.b == nil {
		w.b = make([]byte, 0, batchHeaderBytes+bytes)
	}
}

// Forget implements protocol.RecordSink.
func (w *batchWriter) Forget() { w.b, w.count = w.b[:0], 0 }

// Take implements protocol.RecordSink.
func (w *batchWriter) Take(r *protocol.Record) {
	if w.count == 0 {
		w.b = append(w.b[:0], make([]byte, batchHeaderBytes)...)
		w.base, w.firstTime, w.maxTime = r.Offset, r.Timestamp, r.Timestamp
	}
	w.count++
	w.last = r.Offset
	w.maxTime = max(w.maxTime, r.Timestamp)

	s := append(w.scratch[:0], 0) // attributes
	s = appendVarint(s, r.Timestamp-w.firstTime)
	s = appendVarint(s, int64(r.Offset-w.base))
	s = appendField(s, r.Key, appendKey)
	s = appendField(s, r.Value, appendValue)
	if len(r.Headers) == 0 {
		s = append(s, 0)
	} else {
		w.headers.read(r.Headers)
		s = appendVarint(s, int64(w.headers.n))
		s = append(s, w.headers.body...)
	}
	w.scratch = s
	w.b = appendVarint(w.b, int64(len(s)))
	w.b = append(w.b, s...)
}

// appendField appends the content of a token behind its length, which is -1 for null.
func appendField(dst, token []byte, content func(dst, token []byte) ([]byte, bool)) []byte {
	start := len(dst)
	dst, ok := content(dst, token)
	if !ok {
		return appendVarint(dst, -1)
	}
	n := len(dst) - start
	var length [binary.MaxVarintLen64]byte
	used := binary.PutVarint(length[:], int64(n))
	dst = append(dst, length[:used]...) // room for it
	copy(dst[start+used:], dst[start:start+n])
	copy(dst[start:], length[:used])
	return dst
}

// bytes is the batch, empty if there are no records.
func (w *batchWriter) bytes() []byte {
	if w.count == 0 {
		return []byte{}
	}
	return w.finish()
}

func (w *batchWriter) finish() []byte {
	h := w.b
	binary.BigEndian.PutUint64(h, uint64(w.base))
	binary.BigEndian.PutUint32(h[batchLengthAt:], uint32(len(h)-batchPrefix))
	binary.BigEndian.PutUint32(h[batchLengthAt+4:], 0xffffffff) // leader epoch: not known
	h[batchMagicAt] = 2
	binary.BigEndian.PutUint32(h[batchLastDeltaAt:], uint32(w.last-w.base))
	binary.BigEndian.PutUint64(h[batchFirstTimeAt:], uint64(w.firstTime))
	binary.BigEndian.PutUint64(h[batchMaxTimeAt:], uint64(w.maxTime))
	for i := batchProducerAt; i < batchCountAt; i++ {
		h[i] = 0xff // producer, epoch and sequence: -1
	}
	binary.BigEndian.PutUint32(h[batchCountAt:], uint32(w.count))
	binary.BigEndian.PutUint32(h[batchCRCAt:], crc32.Checksum(h[batchAttributesAt:], castagnoli))
	return h
}

// emptyBatch stands for offsets that have no records any more, so that clients go on
// behind them.
func emptyBatch(from, to protocol.Offset) []byte {
	w := batchWriter{b: make([]byte, batchHeaderBytes), base: from, last: to, firstTime: -1, maxTime: -1}
	return w.finish()
}

// appendVarint appends a number as Kafka's records have it: zigzag, seven bits a byte.
func appendVarint(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }
