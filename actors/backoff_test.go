package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBackoff(t *testing.T) {
	now, s := time.Unix(1000, 0), time.Second
	var b backoff
	for i, want := range []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s} {
		assert.Equal(t, want, b.next(now), "failure %d", i)
	}
	b.works(now)
	assert.True(t, b.isWorking())
	now = now.Add(backoffForgotten)
	assert.Equal(t, 60*s, b.next(now), "not long enough ago")
	assert.False(t, b.isWorking())
	now = now.Add(2 * backoffForgotten)
	assert.Equal(t, 60*s, b.next(now), "it has been failing all the time")
	b.works(now)
	now = now.Add(backoffForgotten + 1)
	assert.Equal(t, s, b.next(now), "forgotten")
}
