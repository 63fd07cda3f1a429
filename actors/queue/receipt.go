package queue

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"math"

	"ottla/protocol"
)

// Receipt names one delivery of a record. To the client it is an opaque token.
type Receipt struct {
	ClusterID string
	Group     string
	Created   int64 // tells a deleted queue from one of the same name
	ID        protocol.PartitionID
	Offset    int64
	Count     int // deliveries of the record with this one

	body, seal []byte
}

const (
	receiptVersion  = 1
	sealBytes       = 16
	maxReceiptBytes = 2048 // as text
)

var receiptText = base64.RawURLEncoding.Strict()

// SecretBytes is the length of the secret that seals a queue's receipts.
const SecretBytes = 32

// sealer makes and checks seals. Not safe for concurrent use; a sum is good until the next
// call.
type sealer struct {
	mac hash.Hash
	sum []byte
}

func newSealer(secret []byte) *sealer { return &sealer{mac: hmac.New(sha256.New, secret)} }

func (s *sealer) of(body []byte) []byte {
	s.mac.Reset()
	s.mac.Write(body)
	s.sum = s.mac.Sum(s.sum[:0])
	return s.sum[:sealBytes]
}

// receipt is the URL-safe token of a delivery. The bytes under the base64:
//
//	version (1 byte), then as uvarints, strings after their length:
//	cluster id, group, created, topic id, partition, offset, count
//	the first 16 bytes of HMAC-SHA256 of all that
func (s *sealer) receipt(clusterID, group string, created int64, id protocol.PartitionID, offset int64, count int) string {
	b := append(make([]byte, 0, 160), receiptVersion)
	b = appendString(b, clusterID)
	b = appendString(b, group)
	b = binary.AppendUvarint(b, uint64(created))
	b = appendString(b, id.TopicID)
	b = binary.AppendUvarint(b, uint64(id.Partition))
	b = binary.AppendUvarint(b, uint64(offset))
	b = binary.AppendUvarint(b, uint64(count))
	return receiptText.EncodeToString(append(b, s.of(b)...))
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// errNoReceipt refuses what no receipt looks like, or has another seal.
func errNoReceipt() *protocol.Error {
	return protocol.Errorf(protocol.CodeInvalidReceipt, "this is not a receipt of a delivery: send those of a poll's records unchanged")
}

// DecodeReceipt reads a token, without its seal: only its queue can check that.
// Error: invalid_receipt.
func DecodeReceipt(token string) (*Receipt, *protocol.Error) {
	if len(token) > maxReceiptBytes {
		return nil, errNoReceipt()
	}
	b, err := receiptText.DecodeString(token)
	if err != nil || len(b) < 1+sealBytes || b[0] != receiptVersion {
		return nil, errNoReceipt()
	}
	body := b[:len(b)-sealBytes]
	r := receiptReader{b: body[1:]}
	out := &Receipt{
		ClusterID: r.str(), Group: r.str(), Created: r.int(math.MaxInt64),
		ID:     protocol.PartitionID{TopicID: r.str(), Partition: int(r.int(math.MaxInt32))},
		Offset: r.int(math.MaxInt64), Count: int(r.int(math.MaxInt32)),
		body: body, seal: b[len(body):],
	}
	// One delivery has exactly one token, to the last bit.
	if r.bad || len(r.b) > 0 || receiptText.EncodeToString(b) != token {
		return nil, errNoReceipt()
	}
	return out, nil
}

// sealed reports whether a receipt has this seal.
func (s *sealer) sealed(r *Receipt) bool {
	return hmac.Equal(s.of(r.body), r.seal)
}

// receiptReader takes fields off a receipt. After the first that does not fit, bad is
// true and every read returns zero.
type receiptReader struct {
	b   []byte
	bad bool
}

func (r *receiptReader) int(limit uint64) int64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || v > limit {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return int64(v)
}

func (r *receiptReader) str() string {
	n := r.int(uint64(len(r.b)))
	if r.bad || n > int64(len(r.b)) {
		r.bad = true
		return ""
	}
	s := string(bytes.Clone(r.b[:n]))
	r.b = r.b[n:]
	return s
}
