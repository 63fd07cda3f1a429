package pool

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestBuffersAreKeptBySize(t *testing.T) {
	var p BySize[[]byte]
	assert.Nil(t, p.Get(100))
	for _, n := range []int{0, 1, 64, 65, 100, 128, 129, 5000, 1 << 20, 1<<20 + 1} {
		size := SizeFor(n)
		assert.GreaterOrEqual(t, size, n)
		assert.Less(t, size, max(2*n, 96))
		b := make([]byte, 0, size)
		p.Put(&b, cap(b))
		if got := p.Get(size + 1); got != nil {
			t.Errorf("a buffer of %d bytes for %d", cap(*got), size+1)
		}
		if got := p.Get(size / 2); size >= 96 && got != nil {
			t.Errorf("a buffer of %d bytes for %d", cap(*got), size/2)
		}
		for p.Get(n) != nil { // sync.Pool drops some under the race detector
			continue
		}
	}
	big := make([]byte, 1<<24)
	p.Put(&big, len(big))
	assert.Nil(t, p.Get(len(big)), "too large")
	p.Put(&big, 0)
	assert.Equal(t, 64, SizeFor(0))
	assert.Equal(t, 64, SizeFor(64))
	assert.Equal(t, 96, SizeFor(65))
	assert.Equal(t, 4096, SizeFor(4096))
	odd := make([]byte, 0, 4097)
	p.Put(&odd, cap(odd))
	if got := p.Get(4097); got != nil {
		t.Errorf("found where buffers may be as small as %d", 4096)
	}
}
