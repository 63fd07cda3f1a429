package protocol

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What Retry-After says is right: before it the quota is used up, and then it is not.
func TestQuotasFlow(t *testing.T) {
	now := time.UnixMilli(1795367763123)
	u := NewUsage(TokenQuota{ProduceBytes: 1000, FetchBytes: 1000, Requests: 10, Connections: 2})
	for range 10 {
		require.Nil(t, u.Request(now))
	}
	err := u.Request(now)
	require.NotNil(t, err)
	assert.Equal(t, CodeQuotaExceeded, err.Code)
	assert.Equal(t, OutcomeNone, err.Outcome)
	assert.Equal(t, map[string]any{"quota": "requests_per_s", "limit": int64(10)}, err.Details)
	assert.InDelta(t, 100*time.Millisecond, err.RetryAfter, float64(time.Millisecond))
	assert.NotNil(t, u.Request(now.Add(err.RetryAfter-2*time.Millisecond)))
	assert.Nil(t, u.Request(now.Add(err.RetryAfter+time.Millisecond)))

	assert.Nil(t, u.Produce(900, now))
	err = u.Produce(500, now)
	require.NotNil(t, err)
	assert.InDelta(t, 400*time.Millisecond, err.RetryAfter, float64(time.Millisecond))
	assert.Nil(t, u.Produce(100, now), "what was refused is not counted")
	later := now.Add(time.Hour)
	assert.Nil(t, u.Produce(5000, later), "larger than a second's, when nothing else was used for a second")
	err = u.Produce(1, later)
	require.NotNil(t, err)
	assert.InDelta(t, 4001*time.Millisecond, err.RetryAfter, float64(2*time.Millisecond))

	assert.Nil(t, u.Fetch(now))
	u.Fetched(3000, now)
	assert.NotNil(t, u.Fetch(now.Add(-time.Hour)), "a clock that goes back gives nothing")
	err = u.Fetch(now)
	require.NotNil(t, err)
	assert.InDelta(t, 2001*time.Millisecond, u.FetchWait(now), float64(2*time.Millisecond))
	assert.Nil(t, u.Fetch(now.Add(err.RetryAfter+time.Millisecond)))

	require.Nil(t, u.Connect())
	require.Nil(t, u.Connect())
	assert.NotNil(t, u.Connect())
	u.Disconnect()
	assert.Nil(t, u.Connect())

	u.SetQuota(TokenQuota{Requests: 1, Partitions: 7})
	assert.Nil(t, u.Produce(1<<30, now))
	assert.Zero(t, u.FetchWait(now))
	assert.Equal(t, int64(7), u.Partitions())
	assert.NotNil(t, u.Request(now.Add(100*time.Millisecond)), "what was used stays used")

	var none *Usage
	assert.Nil(t, none.Request(now))
	assert.Nil(t, none.Produce(1, now))
	assert.Nil(t, none.Fetch(now))
	assert.Nil(t, none.Connect())
	none.Fetched(1, now)
	none.Disconnect()
	assert.Zero(t, none.Partitions())
}
