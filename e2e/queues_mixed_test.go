package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// taken has an ack sent of each record, and returns of which it was taken.
func (s *server) taken(records []record) (offsets []int64) {
	s.t.Helper()
	for len(records) > 0 {
		n := min(len(records), 100)
		a := s.ack(records[:n]...)
		switch a.status {
		case http.StatusOK:
			for _, r := range records[:n] {
				offsets = append(offsets, r.Offset)
			}
		case http.StatusConflict:
			a.wantError(http.StatusConflict, "stale_receipt") // each
		default:
			var said struct {
				Results []struct{ Error *errorBody }
			}
			a.want(http.StatusMultiStatus).loosely(&said)
			require.Len(s.t, said.Results, n)
			for i := range said.Results {
				if err := said.Results[i].Error; err == nil {
					offsets = append(offsets, records[i].Offset)
				} else {
					require.Equal(s.t, "stale_receipt", err.Code)
				}
			}
		}
		records = records[n:]
	}
	return offsets
}

// takeAll takes n records of the queue.
func (s *server) takeAll(n int) (records []record) {
	s.t.Helper()
	s.eventually(waitTimeout, "records", func() error {
		if records = append(records, s.work("w", "jobs", n-len(records), time.Second)...); len(records) < n {
			return fmt.Errorf("%d of %d", len(records), n)
		}
		return nil
	})
	return records
}

// endTwice writes n records, and ends each by its second delivery: the last ones as dead
// letters, the others by an ack. It returns the deliveries.
func (s *server) endTwice(n, dead int) (firsts, seconds []record) {
	s.t.Helper()
	before := s.queueInfo("w").Partitions[0].Dead
	s.produceAll("jobs", "job", n)
	firsts = s.takeAll(n)
	s.nack(object{"delay_ms": 0}, firsts...).want(http.StatusOK)
	seconds = s.takeAll(n)
	s.ack(seconds[:n-dead]...).want(http.StatusOK)
	s.nack(object{"dead": true}, seconds[n-dead:]...).want(http.StatusOK)
	s.eventually(waitTimeout, "dead letters", func() error {
		if got := s.queueInfo("w").Partitions[0].Dead - before; got != int64(dead) {
			return fmt.Errorf("%d", got)
		}
		return nil
	})
	return firsts, seconds
}

// A fleet with a queue is upgraded, goes back to the version before and forward again. Each
// version knows what the other has written of how records ended.
func TestQueueOverAnUpgradeAndBack(t *testing.T) {
	t.Parallel()
	old := programBefore(t)
	f := nodesOf(t, old, 3)
	all := func(program string) {
		for _, s := range f.nodes {
			s.runs(program, "OTTLA_NODE_FINALIZE=manual")
			f.waitReady()
		}
	}
	s := f.nodes[0]
	s.eventually(waitTimeout, "the level", func() error { // of the version before
		if info := s.fleetInfo(); info.Level != info.Newest {
			return fmt.Errorf("%+v", info)
		}
		return nil
	})
	s.topic("jobs", 1)
	s.queue("w", "jobs", object{"ack_wait_ms": 600_000})

	all("")
	info := s.fleetInfo()
	require.Less(t, info.Level, info.Newest)
	firsts, seconds := s.endTwice(200, 20)
	assert.Empty(t, s.taken(firsts))
	acked := s.taken(seconds)
	assert.Len(t, acked, 200-20, "all are remembered")

	all(old)
	assert.Empty(t, s.taken(firsts))
	assert.Equal(t, acked, s.taken(seconds))
	for _, s := range f.nodes {
		assert.NotContains(t, s.stderr.tail(1<<20), "cannot be applied")
	}

	all("")
	s.post("/fleet/finalize", nil).want(http.StatusOK)
	assert.Equal(t, info.Newest, s.fleetInfo().Level)
	for _, s := range f.nodes {
		s.eventually(waitTimeout, "all know the level", func() error {
			if got := s.fleetInfo().Level; got != info.Newest {
				return fmt.Errorf("level %d", got)
			}
			return nil
		})
	}
	moreFirsts, moreSeconds := s.endTwice(300, 20)
	for range 2 {
		assert.Empty(t, s.taken(firsts))
		assert.Equal(t, acked, s.taken(seconds))
		assert.Empty(t, s.taken(moreFirsts))
		assert.Len(t, s.taken(moreSeconds), 280, "all are remembered")
		all("")
	}
}
