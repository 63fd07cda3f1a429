package protocol

import (
	"math/bits"
	"sync"
)

// BySize keeps values that own a buffer, to be used again where a buffer of about that
// size is wanted: with one pool for all, nearly every buffer would become as large as the
// largest. The zero value is empty. It is safe for concurrent use.
type BySize[T any] struct {
	classes [24]sync.Pool // of *T, whose buffers have at least 1<<i bytes, and fewer than twice that
}

// Get returns a value whose buffer has at least n bytes, or nil. It has fewer than four times as
// many, if all buffers are made with SizeFor.
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
	if i := bits.Len(uint(size)) - 1; i >= 0 && i < len(p.classes) {
		p.classes[i].Put(v)
	}
}

// SizeFor is how many bytes a buffer for n bytes should have, so that it is found again
// for as many: less than twice n, and 64 at least.
func SizeFor(n int) int { return 1 << classOf(n) }

// classOf is the first class of which every buffer has n bytes.
func classOf(n int) int { return bits.Len(uint(max(n, 64) - 1)) }
