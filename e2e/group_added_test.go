package e2e

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A group that starts at the latest records misses nothing of partitions that are added
// while it exists, also between two polls and while nobody is in it.
func TestAddedPartitionsAreReadFromTheirEarliest(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("t", 2)
	s.produce("t", object{"partition": 0, "value": "old"})
	s.produce("t", object{"partition": 1, "value": "old"})
	latest := []string{"topic=t", "group=g", "consumer_id=1", "from=latest", "timeout_ms=0"}
	assert.Empty(t, s.poll(latest...).Records)
	s.call("PATCH", "/topic/t", `{"partitions":3}`).want(http.StatusOK)
	s.produce("t", object{"partition": 2, "value": "new"})
	s.eventually(waitTimeout, "the added partition is read", func() error {
		for _, v := range values(s.poll(latest...).Records) {
			assert.Equal(t, `"new"`, v)
			return nil
		}
		return assert.AnError
	})
	s.delete("/groups/g/members/1").want(http.StatusNoContent)
	s.call("PATCH", "/topic/t", `{"partitions":4}`).want(http.StatusOK)
	s.produce("t", object{"partition": 3, "value": "newer"})
	s.kill()
	s.again()
	assert.Equal(t, []string{`"newer"`}, values(s.poll("topic=t", "group=g", "consumer_id=2", "from=latest", "timeout_ms=2000").Records))
	assert.Empty(t, s.poll("topic=t", "group=another", "from=latest", "timeout_ms=0").Records, "another group begins at the latest everywhere")
}

// A commit behind the end is refused unless it is forced, and shows.
func TestCommitsBeyondTheEnd(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("t", 1)
	s.produceAll("t", "v", 3)
	s.poll("topic=t", "group=g", "consumer_id=1", "auto_commit=false")
	commit := func(offset int64, more string) *answer {
		return s.post("/offset", `{"group":"g","consumer_id":1,"offsets":[{"topic":"t","partition":0,"offset":`+strconv.FormatInt(offset, 10)+`}]`+more+`}`)
	}
	e := commit(4, "").wantError(422, "not_allowed")
	assert.EqualValues(t, 3, e.Details["end"])
	commit(1<<62-1, "").wantError(422, "not_allowed")
	commit(3, "").want(200)
	assert.NotContains(t, string(s.get("/offset?group=g").want(200).body), "beyond_end")
	commit(1<<62-1, `,"force":true`).want(200)
	assert.Contains(t, string(s.get("/offset?group=g").want(200).body), `"beyond_end":true`)
	commit(3, `,"force":true`).want(200)
}
