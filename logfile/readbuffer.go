package logfile

import "sync"

// How a readBuffer gets its memory.
type bufferKind byte

const (
	bufferReused  bufferKind = iota // one piece, used again for each read
	bufferPerRead                   // a new piece for each read: slices of it stay valid
	bufferPooled                    // as bufferReused, from a pool, for reads that are over soon
)

// bufferSizes are the sizes of pooled buffers in bytes. Larger ones are allocated
// for each use.
var bufferSizes = [...]int{64 << 10, 256 << 10, 1 << 20}

var bufferPools [len(bufferSizes)]sync.Pool // of *[]byte

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
		for i, size := range bufferSizes {
			if n <= size {
				if r.pooled, _ = bufferPools[i].Get().(*[]byte); r.pooled == nil {
					piece := make([]byte, size)
					r.pooled = &piece
				}
				r.b = (*r.pooled)[:n]
				return
			}
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
	for i, size := range bufferSizes {
		if len(*r.pooled) == size {
			bufferPools[i].Put(r.pooled)
		}
	}
	r.b, r.pooled = nil, nil
}
