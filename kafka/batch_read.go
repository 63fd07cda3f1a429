package kafka

import (
	"encoding/binary"
	"hash/crc32"
)

// The layout of a record batch of format 2: a header of 61 bytes, and the records,
// which may be compressed. The checksum covers everything from the attributes on.
const (
	batchLengthAt     = 8
	batchMagicAt      = 16
	batchCRCAt        = 17
	batchAttributesAt = 21
	batchLastDeltaAt  = 23
	batchFirstTimeAt  = 27
	batchMaxTimeAt    = 35
	batchProducerAt   = 43
	batchEpochAt      = 51
	batchSequenceAt   = 53
	batchCountAt      = 57
	batchHeaderBytes  = 61

	batchPrefix = 12 // bytes that the length does not count

	attributeCodec         = 0x07
	attributeLogAppendTime = 0x08
	attributeTransactional = 0x10
	attributeControl       = 0x20

	leastRecordBytes = 7 // of the smallest record: length, attributes, two deltas, two lengths and a count
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch is a record batch that a producer has sent.
type batch struct {
	producerID int64 // -1: none
	epoch      int16
	sequence   int32
	firstTime  int64
	count      int
	codec      int    // of records; codecNone once they are decompressed
	records    []byte // as sent, until they are decompressed
}

// readBatch reads the one batch that a produce request has for a partition, and
// checks everything but its records, which it does not decompress.
func readBatch(b []byte) (batch, int16) {
	if len(b) < batchHeaderBytes {
		return batch{}, errCorruptMessage
	}
	switch magic := b[batchMagicAt]; {
	case magic < 2:
		return batch{}, errUnsupportedForMessage
	case magic > 2:
		return batch{}, errCorruptMessage
	}
	length := int64(int32(binary.BigEndian.Uint32(b[batchLengthAt:])))
	switch {
	case length+batchPrefix > int64(len(b)) || length < batchHeaderBytes-batchPrefix:
		return batch{}, errCorruptMessage
	case length+batchPrefix < int64(len(b)):
		return batch{}, errInvalidRecord // another batch behind it
	case crc32.Checksum(b[batchAttributesAt:], castagnoli) != binary.BigEndian.Uint32(b[batchCRCAt:]):
		return batch{}, errCorruptMessage
	}
	attributes := binary.BigEndian.Uint16(b[batchAttributesAt:])
	out := batch{
		producerID: int64(binary.BigEndian.Uint64(b[batchProducerAt:])),
		epoch:      int16(binary.BigEndian.Uint16(b[batchEpochAt:])),
		sequence:   int32(binary.BigEndian.Uint32(b[batchSequenceAt:])),
		firstTime:  int64(binary.BigEndian.Uint64(b[batchFirstTimeAt:])),
		count:      int(int32(binary.BigEndian.Uint32(b[batchCountAt:]))),
		records:    b[batchHeaderBytes:],
	}
	lastDelta := int64(int32(binary.BigEndian.Uint32(b[batchLastDeltaAt:])))
	switch {
	case attributes&(attributeTransactional|attributeControl) != 0:
		return batch{}, errInvalidRecord
	case attributes&attributeLogAppendTime != 0: // which only a broker says
		return batch{}, errInvalidTimestamp
	case out.count <= 0 || lastDelta != int64(out.count)-1:
		return batch{}, errInvalidRecord
	case out.producerID >= 0 && (out.epoch < 0 || out.sequence < 0):
		return batch{}, errInvalidRecord
	}
	if out.codec = int(attributes & attributeCodec); out.codec > codecZstd {
		return batch{}, errUnsupportedCompression
	}
	return out, errNone
}

// kafkaRecord is one record of a batch. Its bytes are those of the batch.
type kafkaRecord struct {
	timeDelta  int64
	key, value []byte // nil: null
	headers    []byte // of headerCount headers, as they stand
	nHeaders   int
}

// scanner reads what a batch consists of, until something is wrong.
type scanner struct {
	b   []byte
	bad bool
}

func (s *scanner) varint() int64 {
	v, n := binary.Varint(s.b)
	if n <= 0 {
		s.bad = true
		return 0
	}
	s.b = s.b[n:]
	return v
}

// bytes reads a length and as many bytes; nil where the length is -1.
func (s *scanner) bytes() []byte {
	n := s.varint()
	if s.bad || n < -1 || n > int64(len(s.b)) {
		s.bad = true
		return nil
	}
	if n == -1 {
		return nil
	}
	out := s.b[:n:n]
	s.b = s.b[n:]
	return out
}

// record reads the next record, which is number i of its batch.
func (s *scanner) record(i int) (r kafkaRecord) {
	body := scanner{b: s.bytes()}
	if s.bad || len(body.b) == 0 {
		s.bad = true
		return r
	}
	body.b = body.b[1:] // attributes, of which there are none yet
	r.timeDelta = body.varint()
	if offsetDelta := body.varint(); offsetDelta != int64(i) {
		s.bad = true
		return r
	}
	r.key, r.value = body.bytes(), body.bytes()
	n := body.varint()
	if n < 0 || n > int64(len(body.b)) {
		s.bad = true
		return r
	}
	r.nHeaders, r.headers = int(n), body.b
	for range r.nHeaders {
		if body.bytes() == nil && !body.bad { // the name
			body.bad = true
		}
		body.bytes()
		if body.bad {
			break
		}
	}
	s.bad = s.bad || body.bad || len(body.b) > 0
	return r
}
