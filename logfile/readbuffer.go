package logfile

import "sync"

// How a readBuffer gets its memory.
type bufferKind byte

const (
	bufferOwn    bufferKind = iota // one piece, used again for each read
	bufferFresh                    // a new piece for each read: slices of it stay valid
	bufferPooled                   // as bufferOwn, out of a pool, for reads that are over soon
)

// bufferSizes are those of pooled buffers; larger ones are made when they are
// needed.
var bufferSizes = [...]int{64 << 10, 256 << 10, 1 << 20}

var bufferPools [len(bufferSizes)]sync.Pool // of *[]byte

// readBuffer is the memory that a file is read into.
type readBuffer struct {
	kind bufferKind
	b    []byte
	lent *[]byte // what b is part of, if that is to go back to a pool
}

// need makes b n bytes, of any content. What it held is lost.
func (r *readBuffer) need(n int) {
	if r.kind != bufferFresh && cap(r.b) >= n {
		r.b = r.b[:n]
		return
	}
	if r.kind == bufferPooled {
		r.giveBack()
		for i, size := range bufferSizes {
			if n <= size {
				if r.lent, _ = bufferPools[i].Get().(*[]byte); r.lent == nil {
					piece := make([]byte, size)
					r.lent = &piece
				}
				r.b = (*r.lent)[:n]
				return
			}
		}
	}
	r.b = make([]byte, n)
}

// giveBack ends the use of b and of all slices of it, if it is of a pool.
func (r *readBuffer) giveBack() {
	if r.lent == nil {
		return
	}
	poison(*r.lent)
	for i, size := range bufferSizes {
		if len(*r.lent) == size {
			bufferPools[i].Put(r.lent)
		}
	}
	r.b, r.lent = nil, nil
}
