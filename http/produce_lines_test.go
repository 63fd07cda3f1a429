package http

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"ottla/protocol"
)

func TestLinesOfABatchAreUsedAgain(t *testing.T) {
	fill := func() protocol.Lines {
		l := newLines(2, 200)
		assert.Zero(t, l.Len())
		assert.Empty(t, l.Buf)
		for range 2 {
			l.Add(1, "t", 0, []byte(`"k"`), []byte("1"), protocol.ActionProduce, nil)
		}
		return l
	}
	first := fill()
	want := string(first.Buf)
	recycleLines(&first)
	assert.Nil(t, first.Buf)
	second := fill()
	assert.Equal(t, want, string(second.Buf))
	assert.Equal(t, 2, second.Len())

	big := newLines(1, keptLines+1)
	recycleLines(&big)
	assert.NotNil(t, big.Buf, "too large to be kept")
}
