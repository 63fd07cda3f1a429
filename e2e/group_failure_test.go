package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A member whose process is killed closes its connection in the middle of a
// long poll. Its partitions move within its session timeout, not only when the
// poll would have ended, and nothing is lost in between.
func TestSilentDeathDuringALongPoll(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("dead", 4)
	d := newDeliveries()
	vanish := s.member(t.Context(), &consumer{id: 1, query: "topic=dead&group=g&session_timeout_ms=2000&timeout_ms=30000", to: d})
	s.waitForMember("g", 1)
	s.member(t.Context(), &consumer{id: 2, query: "topic=dead&group=g&session_timeout_ms=2000&timeout_ms=30000", to: d})
	s.settled("g", 4, 1, 2)
	died := time.Now()
	vanish()
	s.settled("g", 4, 2)
	assert.Less(t, time.Since(died), 20*time.Second, "partitions of a vanished member move within its session timeout")
	assert.Greater(t, time.Since(died), 900*time.Millisecond, "but not before it could have come back")
	s.delivered(d, s.produceAll("dead", "v", 100))
}

// A member that was paused for longer than its lease is refused whatever it
// wants to finish, and joins again like a new one.
func TestPausedMemberReturns(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("z", 2)
	s.produceAll("z", "v", 20)
	paused := s.poll("topic=z", "group=g", "consumer_id=1", "auto_commit=false", "session_timeout_ms=1000")
	require.NotEmpty(t, paused.Records)
	d := newDeliveries()
	end := s.member(t.Context(), &consumer{id: 2, query: "topic=z&group=g", ack: true, to: d})
	s.settled("g", 2, 2)
	refused := func(a *answer) {
		t.Helper()
		assert.Equal(t, "none", a.wantError(http.StatusConflict, "stale_generation").Outcome)
	}
	refused(s.post("/offset", object{"consumer_id": 1, "group": "g"}))
	refused(s.post("/offset", object{"consumer_id": 1, "group": "g", "generation": paused.Generation}))
	refused(s.post("/offset", object{"consumer_id": 1, "group": "g", "offsets": []object{{"topic": "z", "partition": 0, "offset": 1}}}))
	refused(s.get(eventsPath("topic=z", "group=g", "consumer_id=1", "auto_commit=false", "ack="+paused.Cursor)))
	refused(s.get(eventsPath("topic=z", "group=g", "consumer_id=1", "auto_commit=false", "after="+paused.Cursor)))
	assert.NotContains(t, s.owners("g"), int64(1), "a refused poll does not join")
	assert.Len(t, s.members("g"), 1)
	s.poll("topic=z", "group=g", "consumer_id=1", "auto_commit=false", "timeout_ms=0")
	s.settled("g", 2, 1, 2)
	end()
}

// A poll that commits what it acknowledges, and then finds nobody to read
// from, says that it has committed.
func TestFailedPollTellsThatItsAckWasApplied(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.post("/topic", object{"name": "one", "partitions": 1, "replication_factor": 1}).want(http.StatusCreated)
	s.produceAll("one", "v", 3)
	got := s.poll("topic=one", "group=g", "consumer_id=1", "auto_commit=false")
	require.Len(t, got.Records, 3)
	var info struct {
		Partitions []struct {
			Leader int `json:"leader_broker_id"`
		} `json:"partitions"`
	}
	s.get("/topic/one").want(http.StatusOK).as(&info)
	s.setBroker(info.Partitions[0].Leader, "stop", "stopped")
	failed := s.get(eventsPath("topic=one", "group=g", "consumer_id=1", "auto_commit=false", "timeout_ms=100", "ack="+got.Cursor))
	e := failed.wantError(http.StatusServiceUnavailable, "not_enough_replicas")
	s.setBroker(info.Partitions[0].Leader, "start", "running")
	s.waitReady()
	require.EqualValues(t, 3, s.committed("g", "one", 0))
	require.Equal(t, "applied", e.Outcome, "%s", failed.body)
}

// Offsets, members and generations outlive the process; nothing that a member
// committed is delivered again, nothing else is lost.
func TestKillWhileAGroupConsumes(t *testing.T) {
	t.Parallel()
	for _, ack := range []bool{false, true} {
		t.Run(fmt.Sprintf("ack %v", ack), func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.topic("k", 6)
			d := newDeliveries()
			var all []string
			for round := range 3 {
				ctx, cancel := context.WithCancel(t.Context())
				gone := func(int, []byte, error) bool { cancel(); return true }
				var ends []func()
				for id := int64(1); id <= 3; id++ {
					ends = append(ends, s.member(ctx, &consumer{id: id, query: "topic=k&group=g&max_records=5&session_timeout_ms=3000", ack: ack, to: d, onError: gone}))
				}
				all = append(all, s.produceAll("k", fmt.Sprint(round), 300)...)
				before := s.groupOffsets("g")
				s.kill()
				for _, end := range ends {
					end()
				}
				s.again()
				for at, offset := range s.groupOffsets("g") {
					assert.GreaterOrEqual(t, offset, before[at], "%s stepped back", at)
				}
			}
			for id := int64(1); id <= 3; id++ {
				s.member(t.Context(), &consumer{id: id, query: "topic=k&group=g", ack: ack, to: d})
			}
			if ack {
				s.delivered(d, all)
				return
			}
			// At most once: what was committed for a response that the kill cut
			// off is gone for the group, at most one batch of each of the
			// members each time.
			s.eventually(waitTimeout, "all is committed", func() error {
				total := int64(0)
				for _, offset := range s.groupOffsets("g") {
					total += offset
				}
				if total < int64(len(all)) {
					return fmt.Errorf("%d of %d", total, len(all))
				}
				return nil
			})
			s.eventually(waitTimeout, "the last responses arrive", func() error {
				if n := d.missing(all); n > 3*3*5 {
					return fmt.Errorf("%d are missing", n)
				}
				return nil
			})
			assert.Empty(t, d.twice(), "auto_commit never delivers twice")
		})
	}
}

// groupOffsets maps topic-partition to the committed offset.
func (s *server) groupOffsets(group string) map[string]int64 {
	s.t.Helper()
	var list struct {
		Offsets []struct {
			Topic     string `json:"topic"`
			Partition int    `json:"partition"`
			Committed *int64 `json:"committed"`
			End       int64  `json:"end"`
			Lag       int64  `json:"lag"`
		} `json:"offsets"`
	}
	s.get("/offset?group=" + group).want(http.StatusOK).as(&list)
	offsets := map[string]int64{}
	for _, o := range list.Offsets {
		if o.Committed != nil {
			offsets[fmt.Sprintf("%s-%d", o.Topic, o.Partition)] = *o.Committed
			assert.Equal(s.t, o.End-*o.Committed, o.Lag)
		}
	}
	return offsets
}

// Stopping any broker, the coordinator's among them, in the middle of
// consumption costs the members nothing but a moment.
func TestBrokersStopWhileAGroupConsumes(t *testing.T) {
	t.Parallel()
	for _, ack := range []bool{false, true} {
		t.Run(fmt.Sprintf("ack %v", ack), func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.topic("b", 6)
			d := newDeliveries()
			for id := int64(1); id <= 3; id++ {
				s.member(t.Context(), &consumer{id: id, query: "topic=b&group=g&max_records=5", ack: ack, to: d})
			}
			s.settled("g", 6, 1, 2, 3)
			generation := s.groupGeneration("g")
			var all []string
			longest := time.Duration(0)
			before := map[string]int64{}
			for round := range 2 {
				for id := 1; id <= 3; id++ {
					all = append(all, s.produceAll("b", fmt.Sprintf("d%d-%d", round, id), 100)...)
					s.setBroker(id, "stop", "stopped")
					began := time.Now()
					now := s.groupOffsets("g")
					longest = max(longest, time.Since(began))
					for at, offset := range before {
						assert.GreaterOrEqual(t, now[at], offset, "%s stepped back", at)
					}
					before = now
					all = append(all, s.produceAll("b", fmt.Sprintf("u%d-%d", round, id), 100)...)
					s.setBroker(id, "start", "running")
					s.waitInSync("b", 3)
				}
			}
			s.delivered(d, all)
			if !ack {
				assert.Empty(t, d.twice())
			}
			assert.Less(t, longest, 8*time.Second, "a read of offsets follows the coordinator")
			assert.Equal(t, generation, s.groupGeneration("g"), "a failover is no rebalance")
			t.Logf("slowest read of offsets right after a stop: %s", longest)
		})
	}
}

func (s *server) groupGeneration(group string) int64 {
	s.t.Helper()
	var g struct {
		Generation int64 `json:"generation"`
	}
	s.get("/groups/" + group).want(http.StatusOK).as(&g)
	return g.Generation
}
