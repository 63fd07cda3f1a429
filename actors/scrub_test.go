package actors

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

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
	follower := leaderOf(t, tp, 0).Broker%3 + 1
	require.Zero(t, n.Metrics().Scrub.Bytes)

	ahead.Store(int64(24 * time.Hour))
	all, err := filepath.Glob(filepath.Join(dir, "default", "broker-*", "*-[0-9]*"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { // a pass that ends later would plan the next one by the clock of then
		m := n.Metrics().Scrub
		return m.Bytes > 900_000 && m.Replicas == uint64(len(all)) && m.LastEnded > 0 // 400 kB, three times, less what is active
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
