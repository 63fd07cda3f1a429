package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Records that were deleted are gone on every broker and stay so over kill -9; those
// behind them are read as ever, also by a group that has not come that far.
func TestDeletedRecordsAreGoneForGood(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("t", 2)
	for i := range 10 {
		s.produce("t", object{"partition": i % 2, "value": i})
	}
	s.poll("topic=t", "group=slow", "consumer_id=1", "auto_commit=true", "max_records=1")
	trim := func(partitions string) *answer {
		return s.post("/topic/t/delete-records", `{"partitions":`+partitions+`}`)
	}

	t.Log("what is refused has done nothing")
	refused := trim(`[{"partition":0,"before":3},{"partition":1,"before":6}]`)
	refused.wantStatus(http.StatusUnprocessableEntity)
	assert.Contains(t, string(refused.body), `"latest":5`)
	assert.Contains(t, string(refused.body), `"outcome":"none"`)
	trim(`[{"partition":7,"before":0}]`).wantStatus(http.StatusNotFound)
	s.get("/topic/t/partitions/0/records?offset=0").want(http.StatusOK)
	s.post("/topic", object{"name": "keys", "cleanup_policy": "compact"}).want(http.StatusCreated)
	s.post("/topic/keys/delete-records", `{"partitions":[{"partition":0,"before":-1}]}`).wantStatus(http.StatusUnprocessableEntity)
	s.post("/topic/none/delete-records", `{"partitions":[{"partition":0,"before":-1}]}`).wantStatus(http.StatusNotFound)
	s.post("/topic/__consumer_offsets/delete-records", `{"partitions":[{"partition":0,"before":-1}]}`).wantStatus(http.StatusUnprocessableEntity)

	assert.JSONEq(t, `{"partitions":[{"partition":0,"earliest":3},{"partition":1,"earliest":5}]}`,
		string(trim(`[{"partition":0,"before":3},{"partition":1,"before":-1}]`).want(http.StatusOK).body))
	assert.JSONEq(t, `{"partitions":[{"partition":0,"earliest":3}]}`, string(trim(`[{"partition":0,"before":1}]`).want(http.StatusOK).body), "it never goes back")
	check := func() {
		t.Helper()
		s.get("/topic/t/partitions/0/records?offset=2").wantStatus(http.StatusRequestedRangeNotSatisfiable)
		assert.Equal(t, []string{"6", "8"}, valuesOf(s.fetch("t", 0, 3, "").Records))
		assert.JSONEq(t, `{"earliest":5,"latest":5}`, string(s.get("/topic/t/partitions/1/offsets").want(http.StatusOK).body))
	}
	check()
	for broker := 1; broker <= 3; broker++ {
		s.setBroker(broker, "stop", "stopped")
		check()
		s.setBroker(broker, "start", "running")
	}
	s.kill()
	s.again()
	check()
	s.produce("t", object{"partition": 1, "value": "new"})
	assert.Equal(t, []string{`"new"`}, valuesOf(s.fetch("t", 1, 5, "").Records))

	code, out, _ := s.ottla("", "topic", "truncate", "t", "--partition", "0", "--before", "4")
	require.Zero(t, code, out)
	assert.Equal(t, []string{"PARTITION", "EARLIEST", "0", "4"}, strings.Fields(out))
	code, _, stderr := s.ottla("", "topic", "truncate", "t", "--partition", "0")
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, "needs --before")
}

// Any node of a fleet deletes the records of partitions that others lead.
func TestAnyNodeDeletesRecords(t *testing.T) {
	t.Parallel()
	f := startNodes(t, 3)
	f.nodes[0].topic("t", 3)
	var all []string
	for p := range 3 {
		f.nodes[0].produce("t", object{"partition": p, "value": p})
		all = append(all, fmt.Sprintf(`{"partition":%d,"before":-1}`, p))
	}
	f.nodes[1].post("/topic/t/delete-records", `{"partitions":[`+strings.Join(all, ",")+`]}`).want(http.StatusOK)
	for p := range 3 {
		f.nodes[2].get(fmt.Sprintf("/topic/t/partitions/%d/records?offset=0", p)).wantStatus(http.StatusRequestedRangeNotSatisfiable)
	}
}
