package remedy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBackoff(t *testing.T) {
	now, s := time.Unix(1000, 0), time.Second
	var b Backoff
	for i, want := range []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s} {
		assert.Equal(t, want, b.Next(now), "failure %d", i)
	}
	b.Works(now)
	assert.True(t, b.Working())
	now = now.Add(ForgottenAfter)
	assert.Equal(t, 60*s, b.Next(now), "not long enough ago")
	assert.False(t, b.Working())
	now = now.Add(2 * ForgottenAfter)
	assert.Equal(t, 60*s, b.Next(now), "it has been failing all the time")
	b.Works(now)
	now = now.Add(ForgottenAfter + 1)
	assert.Equal(t, s, b.Next(now), "forgotten")
}
