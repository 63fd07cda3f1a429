package background

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestScrubPlan(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	const week = 7 * 24 * time.Hour
	seen := map[time.Time]bool{}
	for i := range 1000 {
		p := NewScrubPlan(week, fmt.Sprintf("broker-1/topic-%d", i), start)
		require.False(t, p.next.Before(start))
		require.True(t, p.next.Before(start.Add(24*time.Hour)), "within a day, also where the process is started each day")
		seen[p.next] = true
		require.True(t, p.due(p.next))
		require.False(t, p.due(p.next.Add(-time.Second)))
		p.job = &scrubJob{}
		require.False(t, p.due(p.next), "one at a time")
	}
	assert.Greater(t, len(seen), 400, "not all at once")
	never := NewScrubPlan(0, "x", start)
	require.False(t, never.due(start.Add(100*week)))
}

func TestPacer(t *testing.T) {
	now := time.Unix(1000, 0)
	p := &pacer{rate: 1 << 20, now: func() time.Time { return now }}
	require.Zero(t, p.take(1<<20))
	require.Equal(t, time.Second, p.take(1<<19), "the bytes before take a second")
	require.Equal(t, 1500*time.Millisecond, p.take(1))
	now = now.Add(time.Minute)
	require.Zero(t, p.take(1<<20), "time that was not used is not saved up")
	require.Equal(t, time.Second, p.take(1<<20))
}
