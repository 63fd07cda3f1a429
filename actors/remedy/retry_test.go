package remedy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/replica"
)

func TestRetryDelays(t *testing.T) {
	now := time.Unix(1000, 0)
	opened, panicked := &Retry{Fault: replica.FaultOpen}, &Retry{Fault: replica.FaultPanic}
	var waits []time.Duration
	for range 9 {
		opened.Schedule(now)
		waits = append(waits, opened.At.Sub(now))
	}
	s := time.Second
	assert.Equal(t, []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s, 60 * s}, waits)
	for range PanicTries {
		panicked.Schedule(now)
		require.False(t, panicked.At.IsZero())
	}
	panicked.Schedule(now)
	require.True(t, panicked.At.IsZero(), "given up")
}
