package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAutomaticCommit(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("a", 1)
	for i := range 5 {
		s.produce("a", object{"value": i})
	}
	p := s.poll("topic=a", "group=g", "consumer_id=1", "max_records=3")
	assert.Equal(t, []string{"0", "1", "2"}, values(p.Records))
	assert.Equal(t, int64(3), s.committed("g", "a", 0), "moved before the records are returned")

	s.kill()
	s.again()
	assert.Equal(t, int64(3), s.committed("g", "a", 0), "and on disk")
	p = s.poll("topic=a", "group=g", "consumer_id=1")
	assert.Equal(t, []string{"3", "4"}, values(p.Records))
	s.get(eventsPath("topic=a", "group=g", "consumer_id=1", "ack="+p.Cursor)).wantError(http.StatusBadRequest, "")
	s.get(eventsPath("topic=a", "group=g", "consumer_id=1", "after="+p.Cursor)).wantError(http.StatusBadRequest, "")
}

func TestManualCommit(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("m", 1)
	for i := range 6 {
		s.produce("m", object{"value": i})
	}
	poll := func(more ...string) polled {
		return s.poll(append([]string{"topic=m", "group=g", "consumer_id=1", "auto_commit=false", "max_records=2", "timeout_ms=0"}, more...)...)
	}
	first := poll()
	require.Equal(t, []string{"0", "1"}, values(first.Records))
	assert.LessOrEqual(t, s.committed("g", "m", 0), int64(0), "nothing is committed by reading")
	assert.Equal(t, []string{"0", "1"}, values(poll().Records), "a lost response is delivered again")

	s.run("after= reads on without committing", func(t *testing.T) {
		next := poll("after=" + first.Cursor)
		assert.Equal(t, []string{"2", "3"}, values(next.Records))
		assert.LessOrEqual(t, s.committed("g", "m", 0), int64(0))
	})
	s.run("ack= commits and reads on", func(t *testing.T) {
		again := poll()
		next := poll("ack=" + again.Cursor)
		assert.Equal(t, []string{"2", "3"}, values(next.Records))
		assert.Equal(t, int64(2), s.committed("g", "m", 0))
	})
	s.run("POST /offset commits the latest response", func(t *testing.T) {
		s.post("/offset", object{"consumer_id": 1}).want(http.StatusOK)
		assert.Equal(t, int64(4), s.committed("g", "m", 0))
	})
	s.run("explicit offsets, forwards", func(t *testing.T) {
		s.post("/offset", commitBody(5)).want(http.StatusOK)
		assert.Equal(t, int64(5), s.committed("g", "m", 0))
	})
	s.run("backwards only with force", func(t *testing.T) {
		s.post("/offset", commitBody(1)).wantError(http.StatusConflict, "offset_regression")
		assert.Equal(t, int64(5), s.committed("g", "m", 0))
		body := commitBody(1)
		body["force"] = true
		s.post("/offset", body).want(http.StatusOK)
		assert.Equal(t, int64(1), s.committed("g", "m", 0))
		assert.Equal(t, []string{"1", "2"}, values(poll().Records))
	})
	s.run("cursors are bound to their group", func(t *testing.T) {
		s.get(eventsPath("topic=m", "group=other", "consumer_id=1", "auto_commit=false", "ack="+first.Cursor)).
			wantError(http.StatusConflict, "foreign_cursor")
		s.get(eventsPath("topic=m", "group=g", "consumer_id=1", "auto_commit=false", "ack=nonsense")).
			wantError(http.StatusBadRequest, "invalid_cursor")
	})
	s.run("positions are in memory, offsets are not", func(t *testing.T) {
		s.kill()
		s.again()
		s.post("/offset", object{"consumer_id": 1, "group": "g"}).wantError(http.StatusConflict, "position_unknown")
		assert.Equal(t, int64(1), s.committed("g", "m", 0))
		assert.Equal(t, []string{"1", "2"}, values(poll().Records))
	})
	s.run("a consumer that was never seen", func(t *testing.T) {
		s.post("/offset", object{"consumer_id": 4711, "group": "g"}).wantError(http.StatusNotFound, "consumer_not_found")
	})
}

func commitBody(offset int) object {
	return object{
		"consumer_id": 1, "group": "g",
		"offsets": []object{{"topic": "m", "partition": 0, "offset": offset}},
	}
}

func TestGroupShares(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("shared", 4)
	total := 0
	produceSome := func() {
		var records []object
		for range 40 {
			records = append(records, object{"value": total})
			total++
		}
		s.post("/events", object{"topic": "shared", "records": records}).want(http.StatusOK)
	}
	seen := map[string]int64{}
	consume := func(consumer int64) polled {
		p := s.poll("topic=shared", "group=team", fmt.Sprintf("consumer_id=%d", consumer), "timeout_ms=2000", "max_records=5")
		for _, r := range p.Records {
			by, twice := seen[string(r.Value)]
			require.False(t, twice, "%s went to %d and to %d", r.Value, by, consumer)
			seen[string(r.Value)] = consumer
		}
		return p
	}
	produceSome()
	alone := consume(1)
	require.NotEmpty(t, alone.Records)
	joined := consume(2)
	assert.Greater(t, joined.Generation, alone.Generation, "joining makes a new generation")
	for len(seen) < total {
		before := len(seen)
		consume(1)
		consume(2)
		require.Greater(t, len(seen), before, "two polls must get on")
	}
	owners := s.owners("team")
	require.Len(t, owners, 4, "every partition has one owner")
	share := map[int64]int{}
	for _, consumer := range owners {
		share[consumer]++
	}
	assert.Equal(t, map[int64]int{1: 2, 2: 2}, share)

	s.run("leaving gives the partitions to the others", func(t *testing.T) {
		s.delete("/groups/team/members/2").want(http.StatusNoContent)
		produceSome()
		for len(seen) < total {
			before := len(seen)
			consume(1)
			require.Greater(t, len(seen), before)
		}
		for _, consumer := range s.owners("team") {
			assert.Equal(t, int64(1), consumer)
		}
	})
	s.run("a cursor of an older generation is refused", func(t *testing.T) {
		produceSome()
		old := s.poll("topic=shared", "group=team", "consumer_id=1", "auto_commit=false")
		s.poll("topic=shared", "group=team", "consumer_id=3", "timeout_ms=0")
		s.get(eventsPath("topic=shared", "group=team", "consumer_id=1", "auto_commit=false", "ack="+old.Cursor)).
			wantError(http.StatusConflict, "stale_generation")
		s.post("/offset", object{
			"consumer_id": 1, "group": "team", "generation": old.Generation,
			"offsets": []object{{"topic": "shared", "partition": old.Records[0].Partition, "offset": old.Records[0].Offset + 1}},
		}).wantError(http.StatusConflict, "stale_generation")
	})
}

// owners maps each assigned partition of a group to its consumer; a second
// owner fails the test.
func (s *server) owners(group string) map[string]int64 {
	s.t.Helper()
	owners := map[string]int64{}
	for _, m := range s.members(group) {
		for _, a := range m.Assignment {
			name := fmt.Sprintf("%s-%d", a.Topic, a.Partition)
			require.NotContains(s.t, owners, name, "two owners")
			owners[name] = m.ConsumerID
		}
	}
	return owners
}

func TestExpiredLease(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("lease", 2)
	s.produce("lease", object{"value": 1, "partition": 0})
	s.produce("lease", object{"value": 2, "partition": 1})
	gone := s.poll("topic=lease", "group=g", "consumer_id=1", "auto_commit=false", "session_timeout_ms=1000")
	require.NotEmpty(t, gone.Records)
	s.eventually(waitTimeout, "consumer 2 owns both partitions", func() error {
		s.poll("topic=lease", "group=g", "consumer_id=2", "auto_commit=false", "timeout_ms=100")
		for _, consumer := range s.owners("g") {
			if consumer != 2 {
				return fmt.Errorf("owners: %v", s.owners("g"))
			}
		}
		return nil
	})
	s.post("/offset", object{
		"consumer_id": 1, "group": "g",
		"offsets": []object{{"topic": "lease", "partition": gone.Records[0].Partition, "offset": gone.Records[0].Offset + 1}},
	}).wantError(http.StatusConflict, "stale_generation")
	p := s.poll("topic=lease", "group=g", "consumer_id=2", "auto_commit=false")
	assert.NotEmpty(t, p.Records, "what the first consumer never committed is delivered again")
}

func TestGroupAdministration(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("adm", 1)
	for i := range 5 {
		s.produce("adm", object{"value": i, "timestamp": 1000 * (i + 1)})
	}
	poll := func() polled {
		return s.poll("topic=adm", "group=g", "consumer_id=1", "timeout_ms=0")
	}
	require.Len(t, poll().Records, 5)
	seeks := []struct {
		name string
		to   any
		want []string
	}{
		{"earliest", "earliest", []string{"0", "1", "2", "3", "4"}},
		{"an offset", 3, []string{"3", "4"}},
		{"a timestamp", object{"timestamp": 2500}, []string{"2", "3", "4"}},
		{"latest", "latest", []string{}},
	}
	for _, seek := range seeks {
		s.run("seek to "+seek.name, func(t *testing.T) {
			s.post("/groups/g/seek", object{"topic": "adm", "to": seek.to}).want(http.StatusOK)
			assert.Equal(t, seek.want, values(poll().Records))
		})
	}
	list := s.get("/groups").want(http.StatusOK).object()
	assert.Len(t, list["groups"], 1)
	s.delete("/groups/g").wantError(http.StatusConflict, "group_not_empty")
	s.delete("/groups/g/members/99").wantError(http.StatusNotFound, "consumer_not_found")
	s.delete("/groups/g/members/1").want(http.StatusNoContent)
	s.delete("/groups/g").want(http.StatusNoContent)
	s.get("/groups/g").wantError(http.StatusNotFound, "group_not_found")
	s.delete("/groups/g").wantError(http.StatusNotFound, "group_not_found")
	assert.Len(t, poll().Records, 5, "a group of the same name begins anew")
}
