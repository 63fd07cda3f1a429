package pool

import (
	"math/bits"
	"sync"
)

// BySize keeps values that own a buffer, to be used again where a buffer of about that
// size is wanted: with one pool for all, nearly every buffer would become as large as the
// largest. The zero value is empty. It is safe for concurrent use.
//
// Classes are 64, 96, 128, 192, 256 bytes and so on: with powers of two alone a buffer for a
// little more than one would be nearly twice too large.
type BySize[T any] struct {
	classes [48]sync.Pool // of *T, whose buffers have at least sizeOf(i) bytes, and fewer than sizeOf(i+1)
}

// Get returns a value whose buffer has at least n bytes, or nil. It has fewer than twice as many,
// or 96.
func (p *BySize[T]) Get(n int) *T {
	i := classOf(n)
	if i >= len(p.classes) {
		return nil
	}
	v, _ := p.classes[i].Get().(*T)
	return v
}

// Put takes a value whose buffer has size bytes. One that is too large is dropped.
func (p *BySize[T]) Put(v *T, size int) {
	i := 2 * (bits.Len(uint(size)) - 1)
	if i < 0 || i >= len(p.classes) {
		return
	}
	if size >= sizeOf(i+1) {
		i++
	}
	p.classes[i].Put(v)
}

// SizeFor is how many bytes a buffer for n bytes should have, so that it is found again
// for as many: at most half as many again, and 64 at least.
func SizeFor(n int) int { return sizeOf(classOf(n)) }

// classOf is the first class of which every buffer has n bytes.
func classOf(n int) int {
	n = max(n, 64)
	i := 2 * bits.Len(uint(n-1))
	if n <= sizeOf(i-1) {
		i--
	}
	return i
}

// sizeOf is the least size of a class: even ones are powers of two, odd ones lie between.
func sizeOf(class int) int {
	if class%2 == 0 {
		return 1 << (class / 2)
	}
	return 3 << (class / 2) >> 1
}
