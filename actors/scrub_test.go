package actors

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"ottla/actors/routing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestScrubPlan(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	const week = 7 * 24 * time.Hour
	seen := map[time.Time]bool{}
	for i := range 1000 {
		p := newScrubPlan(week, fmt.Sprintf("broker-1/topic-%d", i), start)
		require.False(t, p.next.Before(start))
		require.True(t, p.next.Before(start.Add(24*time.Hour)), "within a day, also where the process is started each day")
		seen[p.next] = true
		require.True(t, p.due(p.next))
		require.False(t, p.due(p.next.Add(-time.Second)))
		p.job = &scrubJob{}
		require.False(t, p.due(p.next), "one at a time")
	}
	assert.Greater(t, len(seen), 400, "not all at once")
	never := newScrubPlan(0, "x", start)
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

// The clock alone decides when the scrub runs: nothing is read before its
// time, then damage in a cold segment is found that nobody reads, and the
// replica is rebuilt while the others serve.
func TestScrubFindsDamage(t *testing.T) {
	dir := t.TempDir()
	var ahead atomic.Int64
	n := startNode(t, dir, func(o *Options) {
		o.ScrubInterval = 7 * 24 * time.Hour
		o.ScrubBytesPerSecond = 1 << 30
		o.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	defer stopNode(t, n)
	filledTopic(t, n, "cold")
	awaitSettled(t, n)
	tp, perr := n.LookupTopic("", "cold", false, time.Time{})
	require.Nil(t, perr)
	follower := routing.Of(tp).Partitions[0].Leader().Broker%3 + 1
	require.Zero(t, n.Metrics().Scrub.Bytes)

	ahead.Store(int64(24 * time.Hour))
	require.Eventually(t, func() bool {
		m := n.Metrics().Scrub
		return m.Bytes > 900_000 && m.Replicas >= 3 && m.LastEnded > 0 // 400 kB, three times, less what is active
	}, patience, 5*time.Millisecond)
	require.Zero(t, n.Metrics().Scrub.Damage)

	damageRecord(t, dir, follower, "cold", 0, 7)
	ahead.Store(int64(9 * 24 * time.Hour))
	require.Eventually(t, func() bool { return n.Metrics().Scrub.Damage == 1 }, patience, 5*time.Millisecond)
	require.EqualValues(t, 400, produce(t, n, "cold", 0, `"meanwhile"`))
	require.Eventually(t, func() bool {
		return len(replicaDirs(t, dir, follower, "cold-0.replaced-")) == 1
	}, patience, 5*time.Millisecond)
	awaitSettled(t, n)
	awaitSameLines(t, dir, "cold", 0)
}
