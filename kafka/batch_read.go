package kafka

import (
	"encoding/binary"
	"hash/crc32"
)

// The layout of a record batch of format 2 (KIP-98), the only one since Kafka 4.0: a header of
// 61 bytes, and the records, which may be compressed. Numbers are big-endian. The checksum
// (CRC-32C) covers everything from the attributes on: what stands before, offset and leader
// epoch, is for the broker to change, and is not looked at here.
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
	attributeLogAppendTime = 0x08 // the time of all records is when the broker had them
	attributeTransactional = 0x10 // never taken: there are no transactions
	attributeControl       = 0x20 // likewise: records that end one

	// leastRecordBytes are those of the smallest record: length, attributes, two deltas, two
	// lengths and a count. By them a number of records is judged before it is believed.
	leastRecordBytes = 7
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch is a record batch that a producer has sent. Offsets are not in it: the leader numbers
// the records anew.
type batch struct {
	producerID int64 // -1: none
	epoch      int16
	sequence   int32
	firstTime  int64
	count      int
	codec      int    // of records as they were sent
	records    []byte // as sent, until they are decompressed
}

// readBatch reads the one batch that a produce request has for a partition (more than one were
// allowed only before format 2), and checks everything but its records, which it does not
// decompress.
//
// The codes are those of Kafka, because clients differ by them: CORRUPT_MESSAGE is sent again,
// INVALID_RECORD and INVALID_TIMESTAMP are final. The number of records has to agree with the
// last offset in the batch, as producers never leave gaps: the sequence of an idempotent
// producer's next batch is this one's plus the number of records.
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

// kafkaRecord is one record of a batch. Its bytes are those of the batch, and end with it. Null
// and empty are different, for keys, values and headers.
type kafkaRecord struct {
	timeDelta  int64
	key, value []byte // nil: null
	headers    []byte // of headerCount headers, as they stand
	nHeaders   int
}

// scanner reads what a batch consists of, until something is wrong. Lengths are those that the
// client claims, so each is compared with what is left.
type scanner struct {
	b   []byte
	bad bool
}

// varint reads a number as records have it: zigzag, seven bits a byte, at most ten bytes.
func (s *scanner) varint() int64 {
	v, n := binary.Varint(s.b)
	if n <= 0 {
		s.bad = true
		return 0
	}
	s.b = s.b[n:]
	return v
}

// bytes reads a length and as many bytes; nil where the length is -1. They have no room behind
// them: whoever appended to them would write over what follows.
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

// record reads the next record, which is number i of its batch. Everything in it is checked
// here, headers too, so that whoever reads these again need not. A record has to fill the
// length that it has of itself, or the next one would begin at the wrong place.
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
