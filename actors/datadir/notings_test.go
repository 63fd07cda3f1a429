package datadir

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNotings(t *testing.T) {
	n := NewNotings(100)
	type end struct {
		noted  []int
		failed int
	}
	ended := map[uint64]end{}
	begin := func(brokers ...int) uint64 {
		var number uint64
		calls := 0
		number = n.Begin(brokers, func(noted []int, failed int) {
			calls++
			require.Equal(t, 1, calls)
			ended[number] = end{noted, failed} // 0 if it is called at once
		})
		return number
	}
	assert.EqualValues(t, 100, begin())
	assert.Equal(t, map[uint64]end{0: {}}, ended, "there was none to ask")
	assert.EqualValues(t, 99, begin(1, 2, 3))
	assert.EqualValues(t, 98, begin(2))
	assert.True(t, n.Answered(99, 1, nil))
	assert.True(t, n.Answered(99, 1, nil), "it says so twice")
	assert.True(t, n.Answered(99, 2, errors.New("no space")))
	assert.True(t, n.Answered(98, 7, nil), "it was not asked")
	assert.Len(t, ended, 1)
	assert.True(t, n.Answered(98, 2, nil))
	assert.Equal(t, end{[]int{2}, 0}, ended[98])
	n.TimeOut(99)
	assert.Equal(t, end{[]int{1}, 2}, ended[99])
	n.TimeOut(99)
	assert.True(t, n.Answered(99, 3, nil), "late, and of no use, but none of an introduction")
	for _, number := range []uint64{0, 1, 97, 101} {
		assert.False(t, n.Answered(number, 1, nil), number)
	}
}

// What a broker has to learn grows while it is written, and is over when all of it is.
func TestWitnessesTellWhatTheyKnowOfOthers(t *testing.T) {
	w := &Witnesses{}
	assert.Empty(t, w.Learned())
	w.Learn(2, 7)
	w.Learn(3, 5)
	w.Learn(2, 6)
	first := w.Learned()
	assert.Equal(t, map[int]uint64{2: 7, 3: 5}, first)
	w.Learn(3, 8)
	w.HasLearned(first)
	assert.Equal(t, map[int]uint64{3: 8}, w.Learned())
	w.HasLearned(w.Learned())
	assert.Empty(t, w.Learned())
}
