package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// offsetsPartitions is how many partitions __consumer_offsets has.
func (s *server) offsetsPartitions() int {
	s.t.Helper()
	var topic struct{ Partitions []struct{} }
	s.get("/topic/__consumer_offsets").want(http.StatusOK).as(&topic)
	require.NotEmpty(s.t, topic.Partitions)
	return len(topic.Partitions)
}

// offsetsEnds sums the log ends of __consumer_offsets.
func (s *server) offsetsEnds() int64 {
	s.t.Helper()
	sum := int64(0)
	for p := range s.offsetsPartitions() {
		var ends struct{ Latest int64 }
		s.get(fmt.Sprintf("/topic/__consumer_offsets/partitions/%d/offsets", p)).want(http.StatusOK).as(&ends)
		sum += ends.Latest
	}
	return sum
}

func TestPollsOfAStableGroupWriteNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("q", 3)
	poll := func(more ...string) polled {
		return s.poll(append([]string{"topic=q", "group=g", "consumer_id=1", "timeout_ms=0"}, more...)...)
	}
	poll()
	before := s.offsetsEnds()
	require.Positive(t, before)
	for range 50 {
		assert.Empty(t, poll().Records)
	}
	assert.Equal(t, before, s.offsetsEnds(), "50 empty polls")

	s.produce("q", object{"value": 1, "partition": 2})
	require.Len(t, poll().Records, 1)
	assert.Equal(t, before+1, s.offsetsEnds(), "a commit is one record")
	s.produce("q", object{"value": 2, "partition": 1})
	cursor := poll("auto_commit=false").Cursor
	assert.Equal(t, before+1, s.offsetsEnds(), "reading writes nothing")
	for range 3 {
		poll("auto_commit=false", "ack="+cursor)
	}
	assert.Equal(t, before+2, s.offsetsEnds(), "acknowledging again writes nothing")
	s.post("/offset", object{"consumer_id": 1}).want(http.StatusOK)
	assert.Equal(t, before+2, s.offsetsEnds(), "nor does a commit of what is committed")
}

func TestCursorsServeOnlyWhereTheyWereMade(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("c", 2)
	s.post("/cluster", object{"name": "other", "num_brokers": 1}).want(http.StatusCreated)
	s.post("/topic", object{"name": "c", "cluster": "other", "partitions": 2}).want(http.StatusCreated)
	s.post("/events", object{"topic": "c", "cluster": "default", "value": 1}).want(http.StatusOK)
	poll := func(status int, code string, params ...string) string {
		s.t.Helper()
		base := map[string]string{"topic": "c", "cluster": "default", "group": "g", "consumer_id": "1", "auto_commit": "false", "timeout_ms": "0"}
		for _, p := range params {
			name, value, _ := strings.Cut(p, "=")
			base[name] = value
		}
		var list []string
		for name, value := range base {
			list = append(list, name+"="+value)
		}
		a := s.get(eventsPath(list...))
		if status != http.StatusOK {
			assert.Equal(s.t, "none", a.wantError(status, code).Outcome)
			return ""
		}
		var p polled
		a.want(http.StatusOK).as(&p)
		return p.Cursor
	}
	made := poll(http.StatusOK, "")
	require.NotEmpty(t, made)
	for _, use := range []string{"ack=", "after="} {
		s.run(strings.TrimSuffix(use, "="), func(t *testing.T) {
			poll(http.StatusConflict, "foreign_cursor", use+made, "group=another")
			poll(http.StatusConflict, "foreign_cursor", use+made, "cluster=other")
			poll(http.StatusConflict, "foreign_cursor", use+made, "consumer_id=2")
			for _, garbage := range []string{"x", made[:len(made)-1], made + "A", "B" + made[1:], strings.ToUpper(made), strings.Repeat("A", 5000)} {
				poll(http.StatusBadRequest, "invalid_cursor", use+garbage)
			}
			poll(http.StatusOK, "", use+made)
		})
	}
	poll(http.StatusOK, "", "consumer_id=9") // a new generation
	poll(http.StatusConflict, "stale_generation", "ack="+made)
	poll(http.StatusConflict, "stale_generation", "after="+made)

	s.delete("/groups/g/members/1?cluster=default").want(http.StatusNoContent)
	s.delete("/groups/g/members/9?cluster=default").want(http.StatusNoContent)
	s.delete("/groups/g?cluster=default").want(http.StatusNoContent)
	poll(http.StatusOK, "")
	poll(http.StatusConflict, "foreign_cursor", "ack="+made)
	assert.LessOrEqual(t, s.groupOffsetsOf("default", "g")["c-0"], int64(0), "nothing was committed by any of them")
}

func (s *server) groupOffsetsOf(cluster, group string) map[string]int64 {
	s.t.Helper()
	return s.groupOffsets(group + "&cluster=" + cluster)
}

func TestOffsetsTellAllAboutAGroup(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("o", 2)
	for range 4 {
		s.produce("o", object{"value": 1, "partition": 0})
	}
	s.poll("topic=o", "group=g", "consumer_id=1", "auto_commit=false", "max_records=3")
	row := func(p int) map[string]any {
		var list struct {
			Offsets []map[string]any `json:"offsets"`
		}
		s.get("/offset?group=g&topic=o").want(http.StatusOK).as(&list)
		require.Len(t, list.Offsets, 2)
		return list.Offsets[p]
	}
	number := func(v any) string { return fmt.Sprint(v) }
	r := row(0)
	assert.Len(t, r, 8, "%v", r)
	assert.Equal(t, "3", number(r["position"]))
	assert.Equal(t, "4", number(r["end"]))
	assert.Equal(t, "4", number(r["lag"]))
	assert.Equal(t, "1", number(r["owner"]))
	first := time.Now()
	s.post("/offset", object{"consumer_id": 1, "group": "g", "offsets": []object{
		{"topic": "o", "partition": 0, "offset": 2, "metadata": "half way \u00fc"},
	}}).want(http.StatusOK)
	check := func() {
		t.Helper()
		r := row(0)
		assert.Equal(t, "2", number(r["committed"]))
		assert.Equal(t, "half way \u00fc", r["metadata"])
		assert.Equal(t, "2", number(r["lag"]))
	}
	check()
	committedAt := func(path, list string) time.Time {
		var views map[string][]map[string]any
		s.get(path).want(http.StatusOK).as(&views)
		for _, v := range views[list] {
			if number(v["partition_number"]) == "0" {
				at, err := time.Parse(time.RFC3339Nano, v["created_at"].(string))
				require.NoError(t, err)
				return at
			}
		}
		require.FailNow(t, "no row", "%v", views)
		return time.Time{}
	}
	at := committedAt("/offset_commitments", "offset_commitments")
	assert.False(t, at.Before(first.Truncate(time.Millisecond)), "%s", at)
	assert.False(t, at.After(time.Now()), "%s", at)
	assert.Equal(t, at, committedAt("/consumer_groups", "consumer_groups"))
	s.kill()
	s.again()
	check()
	assert.Nil(t, row(0)["position"], "positions are in memory")
	assert.Equal(t, at, committedAt("/offset_commitments", "offset_commitments"), "of the commit, not of the start")
	s.post("/offset", object{"consumer_id": 1, "group": "g", "offsets": []object{{"topic": "o", "partition": 0, "offset": 3}}}).want(http.StatusOK)
	assert.True(t, committedAt("/offset_commitments", "offset_commitments").After(at))
	assert.Empty(t, row(0)["metadata"], "a commit replaces the metadata")
}
