package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type lease struct {
	Generation int64
	LeaseMs    int64 `json:"lease_ms"`
	Assignment []struct {
		Topic     string
		Partition int
	}
}

func (s *server) heartbeat(group string, consumer int64, body any) *answer {
	s.t.Helper()
	return s.post(fmt.Sprintf("/groups/%s/members/%d/heartbeat", group, consumer), body)
}

// A consumer that works on records for longer than its lease keeps its partitions
// by heartbeats, while another one waits for them.
func TestHeartbeatKeepsPartitionsWhileAJobRuns(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("jobs", 2)
	s.produce("jobs", object{"value": 1, "partition": 0})
	const session = 3 * time.Second // longer than a slow machine pauses
	poll := []string{"topic=jobs", "group=g", "auto_commit=false", "timeout_ms=50", "session_timeout_ms=3000"}
	s.poll(append(poll, "consumer_id=2")...) // joins first
	s.poll(append(poll, "consumer_id=1")...)
	generation := s.groupGeneration("g")

	for began := time.Now(); time.Since(began) < 2*session; {
		var l lease
		s.heartbeat("g", 1, nil).want(http.StatusOK).as(&l)
		assert.Equal(t, generation, l.Generation)
		assert.EqualValues(t, session.Milliseconds(), l.LeaseMs)
		require.Len(t, l.Assignment, 1)
		assert.Equal(t, "jobs", l.Assignment[0].Topic)
		s.poll(append(poll, "consumer_id=2")...) // lives, and would take over
	}
	assert.Equal(t, generation, s.groupGeneration("g"), "nobody has lost anything")

	s.heartbeat("g", 1, object{"generation": generation}).want(http.StatusOK)
	e := s.heartbeat("g", 1, object{"generation": generation - 1}).wantError(http.StatusConflict, "stale_generation")
	assert.Contains(t, e.Message, "poll again")
	s.heartbeat("g", 3, nil).wantError(http.StatusNotFound, "unknown_member")
	s.heartbeat("none", 1, nil).wantError(http.StatusNotFound, "group_not_found")

	s.eventually(waitTimeout, "the silent consumer is replaced", func() error {
		s.poll(append(poll, "consumer_id=2")...)
		if now := s.groupGeneration("g"); now == generation {
			return fmt.Errorf("still generation %d", now)
		}
		return nil
	})
	s.heartbeat("g", 1, nil).wantError(http.StatusNotFound, "unknown_member")
}

// A longer lease may be asked for, and survives a restart.
func TestHeartbeatWithALongerLease(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("jobs", 1)
	s.poll("topic=jobs", "group=g", "consumer_id=1", "timeout_ms=0")
	var l lease
	s.heartbeat("g", 1, object{"session_timeout_ms": 120_000}).want(http.StatusOK).as(&l)
	assert.EqualValues(t, 120_000, l.LeaseMs)
	s.kill()
	s.again()
	s.heartbeat("g", 1, nil).want(http.StatusOK).as(&l)
	assert.EqualValues(t, 120_000, l.LeaseMs)
	s.heartbeat("g", 1, object{"session_timeout_ms": 300_001}).wantError(http.StatusBadRequest, "limit_exceeded")
}

// A commit of the position after a rebalance keeps what is still the consumer's, and
// names the rest; a partition of which it was never given a record is no reason to
// refuse anything.
func TestCommitOfThePositionAfterARebalance(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("jobs", 4)
	for partition := range 3 {
		s.produce("jobs", object{"value": 1, "partition": partition})
	}
	poll := []string{"topic=jobs", "auto_commit=false", "timeout_ms=0"}
	require.Len(t, s.poll(append(poll, "group=g", "consumer_id=1")...).Records, 3)
	s.poll(append(poll, "group=g", "consumer_id=2")...)
	var done struct{ Offsets, Moved []record }
	owned := map[int]bool{}
	for _, m := range s.members("g") {
		for _, a := range m.Assignment {
			owned[a.Partition] = m.ConsumerID == 1
		}
	}
	a := s.post("/offset", object{"consumer_id": 1})
	a.loosely(&done)
	want := http.StatusOK
	for partition := range 3 {
		if !owned[partition] {
			want = http.StatusMultiStatus
		}
	}
	assert.Equal(t, want, a.status, "%s", a.body)
	for _, o := range done.Offsets {
		assert.True(t, owned[o.Partition])
	}
	for _, o := range done.Moved {
		assert.False(t, owned[o.Partition])
		assert.Less(t, o.Partition, 3, "nothing was read of the last")
	}
	for partition := range 3 {
		want := int64(0)
		if owned[partition] {
			want = 1
		}
		assert.Equal(t, want, s.committed("g", "jobs", partition))
	}
}
