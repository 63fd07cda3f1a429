package kafka

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/bits"

	"ottla/protocol"
)

// batchWriter makes a record batch of records that are read. It is the sink of one
// read of one partition.
//
// Batches are made anew by each read: the log has lines, in which those of producers are not to
// be told apart any more. So a batch has no producer, no sequence, and as many records as the
// answer has room for, wherever it was asked for: clients never get records before their offset.
type batchWriter struct {
	most      int     // bytes of lines that the read brings, about
	buffer    *[]byte // where b comes from
	b         []byte
	base      protocol.Offset
	last      protocol.Offset
	firstTime int64
	maxTime   int64
	count     int
	gap       bool // there are no records from base to last
	headers   headerList
}

// Expect implements protocol.RecordSink. No record is longer here than its line, so that the
// memory which the read takes for lines is enough for the batch, too.
func (w *batchWriter) Expect(bytes int) {
	if w.buffer == nil {
		w.buffer = batchBuffers.Get().(*[]byte)
		w.b = (*w.buffer)[:0]
	}
	const slack = 4 << 10
	if n := batchHeaderBytes + min(bytes, w.most+slack); cap(w.b) < n {
		w.b = make([]byte, 0, n)
	}
}

// Forget implements protocol.RecordSink.
func (w *batchWriter) Forget() { w.b, w.count, w.gap = w.b[:0], 0, false }

// Take implements protocol.RecordSink.
func (w *batchWriter) Take(r *protocol.Record) {
	if w.count == 0 {
		w.b = append(w.b[:0], make([]byte, batchHeaderBytes)...)
		w.base, w.firstTime, w.maxTime = r.Offset, r.Timestamp, r.Timestamp
	}
	w.count++
	w.last = r.Offset
	w.maxTime = max(w.maxTime, r.Timestamp)
	// The length of the record stands before it, and each field's before the field. Where
	// a token is its content, they are known before it is written.
	key, keyNull, keyPlain := plainKey(r.Key)
	value, valueNull, valuePlain := plainValue(r.Value)
	if !keyPlain || !valuePlain || len(r.Headers) > 0 {
		w.takeCoded(r)
		return
	}
	time, offset := r.Timestamp-w.firstTime, int64(r.Offset-w.base)
	size := 2 + varintSize(time) + varintSize(offset) + fieldSize(key, keyNull) + fieldSize(value, valueNull) // with attributes, and the number of headers
	b := appendVarint(w.b, int64(size))
	b = append(b, 0) // attributes
	b = appendVarint(b, time)
	b = appendVarint(b, offset)
	b = appendPlain(b, key, keyNull)
	b = appendPlain(b, value, valueNull)
	w.b = append(b, 0) // headers
}

// takeCoded takes a record of which something has to be decoded.
func (w *batchWriter) takeCoded(r *protocol.Record) {
	start := len(w.b)
	s := append(w.b, 0) // attributes
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
	w.b = behindLength(s, start)
}

// plainKey is the content of a key's token if that stands in it as it is.
func plainKey(token []byte) (content []byte, null, plain bool) {
	if len(token) > 1 && token[0] == '"' {
		content = token[1 : len(token)-1]
		return content, false, bytes.IndexByte(content, '\\') < 0
	}
	return plainValue(token)
}

// plainValue is the content of a token if that stands in it as it is.
func plainValue(token []byte) (content []byte, null, plain bool) {
	switch protocol.KindOfToken(token) {
	case protocol.TokenNull:
		return nil, true, true
	case protocol.TokenJSON:
		return token, false, true
	case protocol.TokenText:
		content = token[2 : len(token)-1]
		return content, false, bytes.IndexByte(content, '\\') < 0
	}
	return nil, false, false
}

func varintSize(v int64) int {
	u := uint64(v<<1) ^ uint64(v>>63)
	return (bits.Len64(u|1) + 6) / 7
}

// fieldSize is how many bytes a field has with its length.
func fieldSize(content []byte, null bool) int {
	if null {
		return 1
	}
	return varintSize(int64(len(content))) + len(content)
}

func appendPlain(dst, content []byte, null bool) []byte {
	if null {
		return append(dst, 1) // a length of -1
	}
	return append(appendVarint(dst, int64(len(content))), content...)
}

// appendField appends the content of a token behind its length, which is -1 for null.
func appendField(dst, token []byte, content func(dst, token []byte) ([]byte, bool)) []byte {
	start := len(dst)
	dst, ok := content(dst, token)
	if !ok {
		return appendVarint(dst, -1)
	}
	return behindLength(dst, start)
}

// behindLength puts the length of what is from start on before it. The length takes one to five
// bytes, which is not known before, so what follows is moved.
func behindLength(dst []byte, start int) []byte {
	n := len(dst) - start
	var length [binary.MaxVarintLen64]byte
	used := binary.PutVarint(length[:], int64(n))
	dst = append(dst, length[:used]...) // room for it
	copy(dst[start+used:], dst[start:start+n])
	copy(dst[start:], length[:used])
	return dst
}

// size is how many bytes the batch has, 0 as long as nothing was read: then Expect may have made
// room, and an answer has no batch.
func (w *batchWriter) size() int {
	if w.count == 0 && !w.gap {
		return 0
	}
	return len(w.b)
}

// bytes is the batch, empty if there are no records.
func (w *batchWriter) bytes() []byte {
	if w.size() == 0 {
		return []byte{}
	}
	return w.finish()
}

// empty makes the batch one that stands for offsets that have no records any more, so
// that clients go on behind them. Kafka's log cleaner leaves such batches as well; they know
// from the last offset of a batch where to go on, not from its records.
func (w *batchWriter) empty(from, to protocol.Offset) {
	w.b = append(w.b[:0], make([]byte, batchHeaderBytes)...)
	w.base, w.last, w.firstTime, w.maxTime, w.gap = from, to, -1, -1, true
}

// finish writes the header. The leader epoch is -1, for not known: with any other, 0 included,
// clients would want to know whether the log was truncated behind their position (KIP-320).
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

// appendVarint appends a number as Kafka's records have it: zigzag, seven bits a byte.
func appendVarint(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }
