package logfile

import "ottla/pool"

// How a readBuffer gets its memory.
type bufferKind byte

const (
	bufferReused  bufferKind = iota // one piece, used again for each read
	bufferPerRead                   // a new piece for each read: slices of it stay valid
	bufferPooled                    // as bufferReused, from a pool, for reads that are over soon
)

// readBuffers are the buffers of reads that are over soon.
var readBuffers pool.BySize[[]byte]

// Sizes of them in bytes. A read that turns out to be longer than its first step needs no
// second buffer, as a rule; larger ones are allocated for each use.
const (
	minReadBuffer = 64 << 10
	maxReadBuffer = 1 << 20
)

// readBuffer is the memory that a file is read into.
type readBuffer struct {
	kind   bufferKind
	b      []byte
	pooled *[]byte // the buffer of a pool that b is part of, nil if it is of none
}

// need makes b n bytes long. Its content is undefined afterwards.
func (r *readBuffer) need(n int) {
	if r.kind != bufferPerRead && cap(r.b) >= n {
		r.b = r.b[:n]
		return
	}
	if r.kind == bufferPooled {
		r.release()
		if n <= maxReadBuffer {
			size := max(n, minReadBuffer)
			if r.pooled = readBuffers.Get(size); r.pooled == nil {
				piece := make([]byte, pool.SizeFor(size))
				r.pooled = &piece
			}
			r.b = (*r.pooled)[:n]
			return
		}
	}
	r.b = make([]byte, n)
}

// release returns b to its pool, if it is of one. No slice of it may be used
// any more.
func (r *readBuffer) release() {
	if r.pooled == nil {
		return
	}
	poison(*r.pooled)
	readBuffers.Put(r.pooled, len(*r.pooled))
	r.b, r.pooled = nil, nil
}
