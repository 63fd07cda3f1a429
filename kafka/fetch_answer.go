package kafka

import (
	"encoding/binary"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchAnswer answers a fetch. It is written by hand, so that batches go to the client
// from where they were made. From take until sent the buffers belong to the answer, and their
// memory is counted by the shares of the connection.
type fetchAnswer struct {
	*kmsg.FetchResponse // of which only the version counts
	topics              []fetchedTopic
	used                []*[]byte // what the batches lie in
}

type fetchedTopic struct {
	name       string
	id         [16]byte
	partitions []fetchedPartition
}

// fetchedPartition is what a fetch has brought of a partition.
type fetchedPartition struct {
	index      int32
	code       int16
	start, end int64 // -1: not known
	records    []byte
}

// batchBuffers are buffers of batches: of all connections, as few have one at the same time.
var batchBuffers = sync.Pool{New: func() any { return new([]byte) }}

// keptBatch is the size, in bytes, of the largest buffer of batches that is used again.
const keptBatch = 4 << 20

// take takes over the buffer of a batch, which is in the answer. The writer must not write to it
// any more.
func (a *fetchAnswer) take(w *batchWriter) {
	if w.buffer != nil {
		*w.buffer = w.b
		a.used = append(a.used, w.buffer)
	}
}

// sent gives the buffers back. Nothing may read the answer any more, its records included.
func (a *fetchAnswer) sent() {
	for _, b := range a.used {
		keepBatch(b)
	}
	a.used = nil
}

// noTags is the end of a structure in flexible versions.
const noTags = 0

// parts appends the answer to what is in head, and returns it in pieces: head, cut
// where batches belong, and the batches. The cuts are made at the end, because head may be
// moved while it grows.
//
// Versions from 12 on are flexible, from 13 on topics have ids instead of names (KIP-516). The
// last stable offset is the high watermark. Records are never null, also with an error:
// librdkafka takes that for a broken answer (KAFKA-18646). No preferred replica (KIP-392) is -1.
func (a *fetchAnswer) parts(head []byte) (head2 []byte, pieces net.Buffers) {
	version := a.Version
	flexible := version >= 12
	length := func(n int) {
		if flexible {
			head = binary.AppendUvarint(head, uint64(n)+1)
		} else {
			head = binary.BigEndian.AppendUint32(head, uint32(n))
		}
	}
	head = binary.BigEndian.AppendUint32(head, 0) // not throttled
	if version >= 7 {
		head = append(head, 0, 0, 0, 0, 0, 0) // no error, no session
	}
	var cuts []int
	length(len(a.topics))
	for i := range a.topics {
		t := &a.topics[i]
		switch {
		case version >= 13:
			head = append(head, t.id[:]...)
		case flexible:
			head = append(binary.AppendUvarint(head, uint64(len(t.name))+1), t.name...)
		default:
			head = append(binary.BigEndian.AppendUint16(head, uint16(len(t.name))), t.name...)
		}
		length(len(t.partitions))
		for j := range t.partitions {
			p := &t.partitions[j]
			head = binary.BigEndian.AppendUint32(head, uint32(p.index))
			head = binary.BigEndian.AppendUint16(head, uint16(p.code))
			head = binary.BigEndian.AppendUint64(head, uint64(p.end))
			head = binary.BigEndian.AppendUint64(head, uint64(p.end)) // last stable offset: there are no transactions
			if version >= 5 {
				head = binary.BigEndian.AppendUint64(head, uint64(p.start))
			}
			length(-1) // aborted transactions: null
			if version >= 11 {
				head = append(head, 0xff, 0xff, 0xff, 0xff) // no preferred replica
			}
			length(len(p.records))
			if len(p.records) > 0 {
				cuts = append(cuts, len(head))
			}
			if flexible {
				head = append(head, noTags)
			}
		}
		if flexible {
			head = append(head, noTags)
		}
	}
	if flexible {
		head = append(head, noTags)
	}
	return head, a.cut(head, cuts)
}

// cut cuts head where batches belong, and puts them there. Without TLS all of it then goes out
// by writev, and no batch is copied.
func (a *fetchAnswer) cut(head []byte, cuts []int) net.Buffers {
	pieces := make(net.Buffers, 0, 2*len(cuts)+1)
	last, n := 0, 0
	for i := range a.topics {
		for j := range a.topics[i].partitions {
			if records := a.topics[i].partitions[j].records; len(records) > 0 {
				pieces = append(pieces, head[last:cuts[n]], records)
				last = cuts[n]
				n++
			}
		}
	}
	return append(pieces, head[last:])
}
