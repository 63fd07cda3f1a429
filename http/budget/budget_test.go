package budget

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestBudget(t *testing.T) {
	b := New(10)
	assert.True(t, b.Take(10))
	assert.False(t, b.Take(1))
	b.Give(4)
	assert.False(t, b.Take(5))
	assert.True(t, b.Take(4))
}

// Large requests leave the reserve to small ones, unless nobody else is there.
func TestTheReserveIsForSmallRequests(t *testing.T) {
	b := New(80)
	assert.EqualValues(t, 70, b.Open())
	assert.True(t, b.TakeOpen(0, 75), "alone")
	assert.False(t, b.TakeOpen(75, 6), "there is no more than the limit")
	assert.True(t, b.TakeOpen(75, 5), "still alone")
	b.Give(80)
	assert.True(t, b.Take(5))
	assert.False(t, b.TakeOpen(0, 66))
	assert.True(t, b.TakeOpen(0, 65))
	assert.False(t, b.TakeOpen(65, 1))
	assert.True(t, b.Take(10))
	assert.EqualValues(t, b.Limit(), b.Used())
}
