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
		assert.Less(t, size, max(2*n, 65))
		b := make([]byte, 0, size)
		p.Put(&b, cap(b))
		if got := p.Get(4*n + 256); got != nil {
			t.Errorf("a buffer of %d bytes for %d", cap(*got), 4*n+256)
		}
		if got := p.Get(n/4 - 64); n > 400 && got != nil {
			t.Errorf("a buffer of %d bytes for %d", cap(*got), n/4-64)
		}
		for p.Get(n) != nil { // sync.Pool drops some under the race detector
			continue
		}
	}
	big := make([]byte, 1<<24)
	p.Put(&big, len(big))
	assert.Nil(t, p.Get(len(big)), "too large")
	p.Put(&big, 0)
	assert.Equal(t, 4096, SizeFor(4096))
	odd := make([]byte, 0, 4097)
	p.Put(&odd, cap(odd))
	if got := p.Get(4097); got != nil {
		t.Errorf("found where buffers may be as small as %d", 4096)
	}
}
