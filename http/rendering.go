package http

import (
	"ottla/http/conn"
	"ottla/pool"
	"ottla/protocol"
)

// renderings are the buffers that answers are rendered into and that are used again.
var renderings pool.BySize[[]byte]

// Sizes of them in bytes. Larger ones are made when needed, because they are rare, and
// one that is kept would hold its memory for smaller answers never to use.
const (
	minRendering = 4 << 10
	maxRendering = 1 << 20
)

// headRoom is how many bytes are left free before the records, for the beginning
// of the answer: it may be known only after them.
const headRoom = 512

// rendering is the records of an answer as clients see them. They are rendered
// while they are read, and nothing of what they are read from is kept. It
// implements protocol.RecordSink.
type rendering struct {
	buf  []byte  // headRoom bytes, then the records between commas
	lent *[]byte // what buf is part of, if it comes from a pool

	topic     string
	partition int
	prefix    []byte // of a record, up to its offset
}

// Expect implements protocol.RecordSink.
func (r *rendering) Expect(n int) {
	if r.buf == nil {
		r.enlarge(headRoom + n)
	}
}

// Take implements protocol.RecordSink.
func (r *rendering) Take(rec *protocol.Record) {
	if n := len(r.prefix) + sizeRendered(rec) + headRoom; cap(r.buf)-len(r.buf) < n {
		r.enlarge(max(len(r.buf), headRoom) + n)
	}
	if len(r.buf) > headRoom {
		r.buf = append(r.buf, ',')
	}
	r.begin(rec)
	r.buf = append(r.buf, r.prefix...)
	r.buf = appendRecordRest(r.buf, rec)
	r.buf = append(r.buf, '}')
}

// begin makes prefix that of rec.
func (r *rendering) begin(rec *protocol.Record) {
	if rec.Topic != r.topic || rec.Partition != r.partition || r.prefix == nil {
		r.topic, r.partition = rec.Topic, rec.Partition
		r.prefix = appendRecordPrefix(r.prefix[:0], rec)
	}
}

// sizeRendered is about what a record takes, without what is always there.
func sizeRendered(rec *protocol.Record) int {
	n := len(rec.Key) + len(rec.Value) + len(rec.Headers)
	if rec.Delivery != nil {
		n += len(rec.Delivery.Receipt)
	}
	return n
}

// Forget implements protocol.RecordSink.
func (r *rendering) Forget() {
	if r.buf != nil {
		r.buf = r.buf[:headRoom]
	}
}

// empty reports whether there is no record.
func (r *rendering) empty() bool { return len(r.buf) <= headRoom }

// size is how many bytes the records take.
func (r *rendering) size() int { return max(0, len(r.buf)-headRoom) }

// enlarge gives buf a capacity of at least n bytes.
func (r *rendering) enlarge(n int) {
	old, lent := r.buf, r.lent
	r.lent = nil
	if n <= maxRendering {
		size := max(n, minRendering)
		if r.lent = renderings.Get(size); r.lent == nil {
			piece := make([]byte, pool.SizeFor(size))
			r.lent = &piece
		}
		r.buf = (*r.lent)[:max(len(old), headRoom)]
	} else {
		r.buf = make([]byte, max(len(old), headRoom), max(n, 2*cap(old)))
	}
	copy(r.buf, old)
	giveRendering(lent)
}

// releaseEmpty gives the buffer back if no record is in it: a read may wait for
// long, and its buffer counts in no budget.
func (r *rendering) releaseEmpty() {
	if len(r.buf) <= headRoom {
		r.release()
	}
}

// release gives the buffer back. Nothing that aliases it may be in use.
func (r *rendering) release() {
	giveRendering(r.lent)
	r.buf, r.lent = nil, nil
}

func giveRendering(lent *[]byte) {
	if lent == nil {
		return
	}
	conn.Spoil(*lent)
	renderings.Put(lent, len(*lent))
}
