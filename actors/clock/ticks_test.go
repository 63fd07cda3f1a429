package clock

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTicks(t *testing.T) {
	var ticks Ticks
	ticks.Take()
	assert.True(t, ticks.Send())
	assert.False(t, ticks.Send(), "the last one waits")
	ticks.Take()
	ticks.Take()
	assert.True(t, ticks.Send())
	assert.False(t, ticks.Send())
	(*Ticks)(nil).Take()
}
