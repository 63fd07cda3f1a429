package clock

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestSteadyClock(t *testing.T) {
	at := time.UnixMilli(1_000_000)
	clock := Steady(func() time.Time { return at })
	assert.EqualValues(t, 1_000_000, clock())
	at = at.Add(1500 * time.Millisecond)
	assert.EqualValues(t, 1_001_500, clock())
	began := time.Now()
	assert.GreaterOrEqual(t, Steady(time.Now)(), began.UnixMilli())
}
