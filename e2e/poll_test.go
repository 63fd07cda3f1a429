package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The calls of the user's specification, as they stand there.
func TestSpecifiedCalls(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.post("/cluster", `{"name":"likes","num_brokers":3,"log_directory":"likes-logs","partitions":4,"retention_policies":24}`).
		want(http.StatusCreated)
	s.post("/topic", `{"name":"liked","cluster":"likes"}`).want(http.StatusCreated)
	s.post("/events", `{"topic":"liked","key":"user-42","value":{"post":7}}`).want(http.StatusOK)

	var p polled
	s.call(http.MethodGet, "/events", `{"topic": "liked"}`).want(http.StatusOK).as(&p)
	require.Len(t, p.Records, 1)
	assert.Equal(t, `"user-42"`, string(p.Records[0].Key))
	assert.Equal(t, `{"post":7}`, string(p.Records[0].Value))
	assert.Positive(t, p.ConsumerID)
	assert.Equal(t, fmt.Sprintf("consumer-%d", p.ConsumerID), p.Group)
	assert.False(t, p.TimedOut)

	var committed struct {
		Group      string `json:"group"`
		ConsumerID int64  `json:"consumer_id"`
		Offsets    []struct {
			Topic     string `json:"topic"`
			Partition int    `json:"partition"`
			Offset    int64  `json:"offset"`
		} `json:"offsets"`
	}
	s.post("/offset", object{"consumer_id": p.ConsumerID}).want(http.StatusOK).as(&committed)
	assert.Equal(t, p.Group, committed.Group)
	assert.Equal(t, p.ConsumerID, committed.ConsumerID)
	found := false
	for _, o := range committed.Offsets {
		found = found || (o.Topic == "liked" && o.Partition == p.Records[0].Partition && o.Offset == 1)
	}
	assert.True(t, found, "the offset after the record is committed: %+v", committed.Offsets)

	s.run("an unknown topic is created on first use", func(t *testing.T) {
		s.post("/events", `{"topic":"fresh","value":1}`).want(http.StatusOK)
		var topic struct {
			Cluster    string `json:"cluster"`
			Partitions []any  `json:"partitions"`
		}
		s.get("/topic/fresh").want(http.StatusOK).as(&topic)
		assert.Equal(t, "default", topic.Cluster)
		assert.Len(t, topic.Partitions, 3)
	})
}

func TestLongPoll(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("slow", 3)

	s.run("ends at once on a new event", func(t *testing.T) {
		type outcome struct {
			a   *answer
			err error
			at  time.Time
		}
		done := make(chan outcome, 1)
		go func() {
			a, err := s.try(http.MethodGet, "/events?topic=slow&group=waiters&consumer_id=7&timeout_ms=25000", nil)
			done <- outcome{a, err, time.Now()}
		}()
		s.waitForMember("waiters", 7)
		select {
		case o := <-done:
			require.FailNow(t, "the poll ended without an event", "%+v", o)
		default:
		}
		sent := time.Now()
		s.produce("slow", object{"value": "now"})
		o := <-done
		require.NoError(t, o.err)
		var p polled
		o.a.want(http.StatusOK).as(&p)
		assert.Equal(t, []string{`"now"`}, values(p.Records))
		assert.False(t, p.TimedOut)
		assert.Less(t, o.at.Sub(sent), 20*time.Second, "long before its timeout of 25 s")
	})
	s.run("that ends empty is 200 without records", func(t *testing.T) {
		quickest := time.Hour
		for range 5 { // the machine may be busy
			began := time.Now()
			p := s.poll("topic=slow", "group=nobody", "consumer_id=6", "from=latest", "timeout_ms=300")
			assert.NotNil(t, p.Records)
			assert.Empty(t, p.Records)
			assert.True(t, p.TimedOut)
			took := time.Since(began)
			assert.GreaterOrEqual(t, took, 300*time.Millisecond)
			if quickest = min(quickest, took); quickest < 5*time.Second {
				break
			}
		}
		assert.Less(t, quickest, 5*time.Second, "what a poll waits that does not say")
	})
	s.run("waits five seconds when it does not say", func(t *testing.T) {
		began := time.Now()
		p := s.poll("topic=slow", "group=patient", "from=latest")
		assert.True(t, p.TimedOut)
		assert.GreaterOrEqual(t, time.Since(began), 5*time.Second)
		assert.Less(t, time.Since(began), 25*time.Second)
	})
	s.run("of the same consumer ends the older one", func(t *testing.T) {
		done := make(chan *answer, 1)
		go func() {
			a, err := s.try(http.MethodGet, "/events?topic=slow&group=twice&consumer_id=8&from=latest&timeout_ms=25000", nil)
			assert.NoError(t, err)
			done <- a
		}()
		s.waitForMember("twice", 8)
		assert.Empty(t, s.poll("topic=slow", "group=twice", "consumer_id=8", "from=latest", "timeout_ms=0").Records)
		var older polled
		(<-done).want(http.StatusOK).as(&older)
		assert.Empty(t, older.Records)
	})
	s.run("is answered when the server stops", func(t *testing.T) {
		done := make(chan *answer, 1)
		go func() {
			a, err := s.try(http.MethodGet, "/events?topic=slow&group=last&consumer_id=9&from=latest&timeout_ms=25000", nil)
			assert.NoError(t, err)
			done <- a
		}()
		s.waitForMember("last", 9)
		began := time.Now()
		s.stop()
		a := <-done
		require.NotNil(t, a)
		a.want(http.StatusOK)
		assert.Less(t, time.Since(began), 20*time.Second)
	})
}

// waitForMember waits until a consumer is a member with an assignment.
func (s *server) waitForMember(group string, consumer int64) {
	s.t.Helper()
	s.eventually(waitTimeout, fmt.Sprintf("consumer %d is in group %s", consumer, group), func() error {
		for _, m := range s.members(group) {
			if m.ConsumerID == consumer && len(m.Assignment) > 0 {
				return nil
			}
		}
		return fmt.Errorf("members: %+v", s.members(group))
	})
}

type member struct {
	ConsumerID int64 `json:"consumer_id"`
	Assignment []struct {
		Topic     string `json:"topic"`
		Partition int    `json:"partition"`
	} `json:"assignment"`
}

// members lists a group's members; none when there is no such group.
func (s *server) members(group string) []member {
	s.t.Helper()
	var g struct {
		Members []member `json:"members"`
	}
	a := s.get("/groups/" + group)
	if a.status == http.StatusNotFound {
		return nil
	}
	a.want(http.StatusOK).as(&g)
	return g.Members
}

func TestPollLimits(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("l", 1)
	var records []object
	for i := range 100 {
		records = append(records, object{"value": fmt.Sprintf("%04d-%0100d", i, 0)})
	}
	s.post("/events", object{"topic": "l", "records": records}).want(http.StatusOK)

	assert.Len(t, s.poll("topic=l", "group=a", "max_records=7").Records, 7)
	p := s.poll("topic=l", "group=b", "max_bytes=1000")
	assert.NotEmpty(t, p.Records)
	assert.Less(t, len(p.Records), 15, "max_bytes ends the answer")
	assert.Len(t, s.poll("topic=l", "group=c", "max_bytes=1").Records, 1, "at least one record is always returned")
	assert.Len(t, s.poll("topic=l", "group=d", "from=latest", "timeout_ms=0").Records, 0)
	assert.Len(t, s.poll("topic=l", "group=e").Records, 100)

	s.run("from a timestamp", func(t *testing.T) {
		cut := s.produce("l", object{"value": "new", "timestamp": time.Now().Add(time.Hour).UnixMilli()})
		got := s.poll("topic=l", "group=f", fmt.Sprintf("from=%d", cut.Timestamp-1))
		assert.Equal(t, []string{`"new"`}, values(got.Records))
	})
	s.run("several topics", func(t *testing.T) {
		s.topic("m", 2)
		s.produce("m", object{"value": "m"})
		seen := map[string]int{}
		for len(seen) < 2 {
			p := s.poll("topic=l", "topic=m", "group=g", "consumer_id=5")
			require.False(t, p.TimedOut)
			for _, r := range p.Records {
				seen[r.Topic]++
			}
		}
		assert.Equal(t, 1, seen["m"])
	})
}

func TestReadingWithoutAGroup(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("plain", 1)
	for i := range 10 {
		s.produce("plain", object{"value": i, "timestamp": 1000 * (i + 1)})
	}
	f := s.fetch("plain", 0, 3, "&max_records=4")
	assert.Equal(t, []string{"3", "4", "5", "6"}, values(f.Records))
	assert.Equal(t, int64(7), f.NextOffset)
	assert.Equal(t, int64(10), f.HighWatermark)
	assert.Zero(t, f.Earliest)
	assert.Equal(t, f, s.fetch("plain", 0, 3, "&max_records=4"), "reading changes nothing")

	var byTime fetched
	s.get("/topic/plain/partitions/0/records?timestamp=5001").want(http.StatusOK).as(&byTime)
	assert.Equal(t, []string{"5", "6", "7", "8", "9"}, values(byTime.Records))
	s.get("/topic/plain/partitions/0/records?timestamp=99999").want(http.StatusOK).as(&byTime)
	assert.Empty(t, byTime.Records)

	for _, offset := range []int64{10, 11, 1_000_000} {
		f := s.fetch("plain", 0, offset, "")
		assert.NotNil(t, f.Records)
		assert.Empty(t, f.Records, "beyond the end there is nothing, and that is no error")
		assert.Equal(t, int64(10), f.HighWatermark)
	}
	s.get("/topic/plain/partitions/0/records?offset=-1").wantError(http.StatusBadRequest, "")
	s.get("/topic/plain/partitions/0/records?offset=0&timestamp=0").wantError(http.StatusBadRequest, "")
	s.get("/topic/plain/partitions/1/records?offset=0").wantError(http.StatusNotFound, "partition_not_found")
	s.get("/topic/none/partitions/0/records?offset=0").wantError(http.StatusNotFound, "topic_not_found")
	var ends map[string]int64
	s.get("/topic/plain/partitions/0/offsets").want(http.StatusOK).as(&ends)
	assert.Equal(t, map[string]int64{"earliest": 0, "latest": 10}, ends)

	s.run("can wait for a record", func(t *testing.T) {
		done := make(chan *answer, 1)
		go func() {
			a, err := s.try(http.MethodGet, "/topic/plain/partitions/0/records?offset=10&timeout_ms=25000", nil)
			assert.NoError(t, err)
			done <- a
		}()
		s.produce("plain", object{"value": "x"})
		var f fetched
		(<-done).want(http.StatusOK).as(&f)
		assert.Equal(t, []string{`"x"`}, values(f.Records))
	})
}

func TestRetentionMovesTheLogStart(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_STORAGE_RETENTION_CHECK_INTERVAL=100ms")
	s.post("/topic", object{"name": "old", "partitions": 1, "segment_bytes": 65536, "retention_bytes": 131072}).
		want(http.StatusCreated)
	// A consumer that stays at the beginning.
	s.produce("old", object{"value": "first"})
	first := s.poll("topic=old", "group=left-behind", "consumer_id=1", "auto_commit=false")
	require.Len(t, first.Records, 1)
	s.post("/offset", object{"consumer_id": 1}).want(http.StatusOK)

	value := fmt.Sprintf("%0500d", 0)
	for range 10 {
		records := make([]object, 100)
		for i := range records {
			records[i] = object{"value": value}
		}
		s.post("/events", object{"topic": "old", "records": records}).want(http.StatusOK)
	}
	var ends struct{ Earliest, Latest int64 }
	s.eventually(waitTimeout, "retention moved the log start", func() error {
		s.get("/topic/old/partitions/0/offsets").want(http.StatusOK).as(&ends)
		if ends.Earliest < 2 {
			return fmt.Errorf("%+v", ends)
		}
		return nil
	})
	assert.Equal(t, int64(1001), ends.Latest)
	e := s.get("/topic/old/partitions/0/records?offset=0").wantError(http.StatusRequestedRangeNotSatisfiable, "offset_out_of_range")
	assert.EqualValues(t, 1001, e.Details["latest"])
	assert.GreaterOrEqual(t, e.Details["earliest"], float64(2))
	s.get(eventsPath("topic=old", "group=left-behind", "consumer_id=1")).
		wantError(http.StatusRequestedRangeNotSatisfiable, "offset_out_of_range")
	assert.Equal(t, `"`+value+`"`, string(s.poll("topic=old", "group=new").Records[0].Value))
	in, _, end := s.stream("text/event-stream", eventsPath("topic=old", "group=left-behind", "consumer_id=1"))
	m := nextEvent(t, in)
	assert.Equal(t, "gap", m.event)
	assert.Contains(t, m.data, `{"topic":"old","partition":0,"asked":1,"earliest":`)
	assert.Equal(t, `"`+value+`"`, string(nextRecord(t, in).Value), "and the stream goes on")
	end()

	s.kill()
	s.again()
	var after struct{ Earliest, Latest int64 }
	s.get("/topic/old/partitions/0/offsets").want(http.StatusOK).as(&after)
	assert.GreaterOrEqual(t, after.Earliest, ends.Earliest, "the log start never steps back")
	assert.Equal(t, ends.Latest, after.Latest)
}
