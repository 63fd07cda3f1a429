package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// parkedPoll is a long poll under way.
type parkedPoll struct {
	began time.Time
	done  chan *answer
}

// park begins a poll of 25 seconds and waits until its member has what it is
// to have.
func (s *server) park(group string, consumer int64, params ...string) *parkedPoll {
	s.t.Helper()
	p := &parkedPoll{began: time.Now(), done: make(chan *answer, 1)}
	path := eventsPath(append(params, "group="+group, "timeout_ms=25000")...)
	go func() {
		a, err := s.try(http.MethodGet, path, nil)
		assert.NoError(s.root, err)
		p.done <- a
	}()
	s.waitForMember(group, consumer)
	return p
}

// ends waits for the poll, which must be long before its timeout.
func (p *parkedPoll) ends(s *server) *answer {
	s.t.Helper()
	select {
	case a := <-p.done:
		require.NotNil(s.t, a)
		return a
	case <-time.After(20 * time.Second):
		require.FailNow(s.t, "the poll stays parked")
		return nil
	}
}

func (p *parkedPoll) isParked(t *testing.T) {
	t.Helper()
	select {
	case a := <-p.done:
		require.FailNow(t, "the poll has ended", "%d %s", a.status, a.body)
	default:
	}
}

func TestWhatWakesAParkedPoll(t *testing.T) {
	t.Parallel()
	s := start(t)
	var got polled

	s.run("leaving ends it and moves its partitions at once", func(t *testing.T) {
		s.topic("leave", 2)
		one := s.park("leave", 1, "topic=leave", "consumer_id=1")
		two := s.park("leave", 2, "topic=leave", "consumer_id=2")
		s.delete("/groups/leave/members/1").want(http.StatusNoContent)
		one.ends(s).want(http.StatusOK).as(&got)
		assert.Empty(t, got.Records)
		s.settled("leave", 2, 2)
		two.isParked(t)
		first := s.produce("leave", object{"value": "moved", "partition": 0})
		second := s.produce("leave", object{"value": "moved", "partition": 1})
		two.ends(s).want(http.StatusOK).as(&got)
		require.NotEmpty(t, got.Records)
		assert.Contains(t, []int{first.Partition, second.Partition}, got.Records[0].Partition)
	})
	s.run("a seek makes it read from there", func(t *testing.T) {
		s.topic("seek", 1)
		s.produceAll("seek", "v", 3)
		s.poll("topic=seek", "group=seek", "consumer_id=1")
		p := s.park("seek", 1, "topic=seek", "consumer_id=1")
		before := s.groupGeneration("seek")
		s.post("/groups/seek/seek", object{"topic": "seek", "to": 1}).want(http.StatusOK)
		p.ends(s).want(http.StatusOK).as(&got)
		assert.Equal(t, []string{`"v-1"`, `"v-2"`}, values(got.Records))
		assert.Equal(t, before+1, got.Generation)
	})
	s.run("new partitions are picked up", func(t *testing.T) {
		s.topic("grow", 1)
		one := s.park("grow", 1, "topic=grow", "consumer_id=1")
		two := &parkedPoll{done: make(chan *answer, 1)} // has nothing to read yet
		go func() {
			a, err := s.try(http.MethodGet, "/events?topic=grow&group=grow&consumer_id=2&timeout_ms=25000", nil)
			assert.NoError(s.root, err)
			two.done <- a
		}()
		s.settled("grow", 1, 1, 2)
		s.call(http.MethodPatch, "/topic/grow", object{"partitions": 4}).want(http.StatusOK)
		share := s.settled("grow", 4, 1, 2)
		assert.Equal(t, map[int64]int{1: 2, 2: 2}, share)
		for p := range 4 {
			s.produce("grow", object{"value": p, "partition": p})
		}
		assert.NotEmpty(t, one.ends(s).want(http.StatusOK).object()["records"])
		assert.NotEmpty(t, two.ends(s).want(http.StatusOK).object()["records"])
	})
	s.run("deleting the topic says so", func(t *testing.T) {
		s.topic("gone", 1)
		p := s.park("gone", 1, "topic=gone", "consumer_id=1")
		s.delete("/topic/gone").want(http.StatusNoContent)
		p.ends(s).wantError(http.StatusNotFound, "topic_not_found")
	})
	s.run("a newer poll ends it, also while its member is rebalanced", func(t *testing.T) {
		s.topic("newer", 2)
		older := s.park("newer", 1, "topic=newer", "consumer_id=1")
		newer := s.park("newer", 1, "topic=newer", "consumer_id=1", "max_records=1")
		older.ends(s).want(http.StatusOK).as(&got)
		assert.Empty(t, got.Records)
		s.poll("topic=newer", "group=newer", "consumer_id=2", "timeout_ms=0")
		newer.isParked(t)
		s.delete("/groups/newer/members/2").want(http.StatusNoContent)
		s.produce("newer", object{"value": 1})
		newer.ends(s).want(http.StatusOK).as(&got)
		assert.Len(t, got.Records, 1)
	})
}

// The first poll of a member waits for its share instead of coming back empty,
// even if there is nothing to share out yet.
func TestFirstPollWaitsForItsShare(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("first", 1)
	s.produceAll("first", "v", 3)
	var got polled
	holder := s.poll("topic=first", "group=g", "consumer_id=1", "max_records=1")
	require.Len(t, holder.Records, 1)
	done := make(chan *answer, 1)
	go func() {
		a, err := s.try(http.MethodGet, "/events?topic=first&group=g&consumer_id=2&timeout_ms=25000", nil)
		assert.NoError(t, err)
		done <- a
	}()
	s.settled("g", 1, 1, 2)
	s.delete("/groups/g/members/1").want(http.StatusNoContent)
	(<-done).want(http.StatusOK).as(&got)
	assert.Equal(t, []string{`"v-1"`, `"v-2"`}, values(got.Records), "neither empty nor what the other was given")
}
