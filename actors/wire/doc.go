// Package wire is the form in which one node asks another one for what only a
// leader, a broker or a replica there knows: bytes in and bytes out, without
// connections and without actors.
//
// What is on the hot path (records, produced and read) has a form of its own; all
// else is CBOR, whose fields are named, so that a later version may add some.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"ottla/protocol"
)

// Kinds of messages, which nobody answers. They may not be given to anything else,
// ever.
const (
	Raft        uint16 = 1 // a raft message to a replica
	Announce    uint16 = 2 // what runs at the sender
	Replica     uint16 = 3 // any other message to a replica
	Broker      uint16 = 4 // to a broker
	Park        uint16 = 5 // a waiter, at a leader
	Unpark      uint16 = 6
	Wake        uint16 = 7 // a parked waiter
	PollSignal  uint16 = 8 // to a poll
	RaisedCount uint16 = 9 // a broker's count
)

// Kinds of calls. They may not be given to anything else, ever.
const (
	Produce      uint16 = 32
	View         uint16 = 33
	Read         uint16 = 34
	SeekTime     uint16 = 35
	Ask          uint16 = 36 // a question to a leader
	ChangeBroker uint16 = 37
	NoteCounts   uint16 = 38
	ReadFence    uint16 = 39
	Join         uint16 = 48
	Found        uint16 = 49
	Hello        uint16 = 50
	Members      uint16 = 51 // the nodes of the fleet
	Clock        uint16 = 52 // what a node's clock says
)

// errShort says that a message ends too early, or goes on too long.
var errShort = errors.New("the message does not have the right length")

// Partition names a partition of any cluster.
type Partition struct {
	Cluster string // id
	protocol.PartitionID
}

// AppendPartition appends the name of a partition.
func AppendPartition(b []byte, p Partition) []byte {
	b = appendString(b, p.Cluster)
	b = appendString(b, p.TopicID)
	return binary.AppendUvarint(b, uint64(p.Partition))
}

// TakePartition takes the name of a partition off the beginning of b.
func TakePartition(b []byte) (p Partition, rest []byte, err error) {
	r := reader{b: b}
	p.Cluster, p.TopicID = r.text(), r.text()
	n := r.uvarint()
	if r.bad || n > 1<<31 {
		return Partition{}, nil, errShort
	}
	p.Partition = int(n)
	return p, r.b, nil
}

// Encode is the CBOR form of a small message.
func Encode(v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("BUG: %T does not encode: %v", v, err))
	}
	return b
}

// Decode is the reverse of Encode.
func Decode(b []byte, v any) error {
	if err := decMode.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decode %T: %w", v, err)
	}
	return nil
}

var (
	encMode = mustMode(cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.EncMode())
	decMode = mustMode(cbor.DecOptions{MaxArrayElements: 1 << 20, MaxMapPairs: 1 << 20}.DecMode())
)

func mustMode[T any](mode T, err error) T {
	if err != nil {
		panic(err)
	}
	return mode
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// reader takes fields off a message. Once one does not fit, bad is set and all
// that follow are zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

// bytes takes bytes with their length; they lie in the message.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) text() string { return string(r.bytes()) }
