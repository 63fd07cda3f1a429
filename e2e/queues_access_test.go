package e2e

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Who works on a queue may read its group and its topics, and nobody else's receipts
// are of any use.
func TestTokensOfQueues(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	for _, topic := range []string{"a.jobs", "b.jobs"} {
		s.post("/topic", `{"name":"`+topic+`","partitions":1}`, admin...).want(201)
		s.post("/events", `{"topic":"`+topic+`","records":[{"value":1},{"value":2}]}`, admin...).want(200)
	}
	a := s.token("team-a", `[{"do":["read"],"topics":"a.*","groups":"a.*"}]`)
	b := s.token("team-b", `[{"do":["read"],"topics":"b.*","groups":"b.*"}]`)
	elsewhere := s.token("elsewhere", `[{"do":["read"],"topics":"c.*","groups":"a.*"}]`)

	s.call("PUT", "/groups/a.q", `{"mode":"queue","topics":["a.jobs"]}`, a...).want(201)
	s.call("PUT", "/groups/b.q", `{"mode":"queue","topics":["b.jobs"]}`, a...).wantError(404, "topic_not_found")
	s.call("PUT", "/groups/b.q", `{"mode":"queue","topics":["a.jobs"]}`, a...).wantError(403, "forbidden")
	s.call("PUT", "/groups/a.x", `{"mode":"queue","topics":["a.jobs"],"dead_letter_topic":"b.jobs"}`, a...).wantError(403, "forbidden")
	s.call("PUT", "/groups/a.x", `{"mode":"queue","topics":["a.jobs"],"dead_letter_topic":"a.other"}`, a...).wantError(403, "forbidden")
	s.call("PATCH", "/groups/a.q", `{"dead_letter_topic":"b.jobs"}`, a...).wantError(403, "forbidden")
	s.call("PATCH", "/groups/a.q", `{"max_deliveries":3}`, a...).want(200)
	s.call("PATCH", "/groups/a.q", `{"max_deliveries":4}`, b...).wantError(404, "group_not_found")
	s.get("/groups/a.q", b...).wantError(404, "group_not_found")
	s.delete("/groups/a.q").wantError(401, "unauthorized")
	s.call("DELETE", "/groups/a.q", nil, a...).wantError(403, "forbidden")

	var p polled
	s.get("/events?group=a.q&topic=a.jobs&max_records=1", a...).want(200).as(&p)
	require.Len(t, p.Records, 1)
	receipt, err := json.Marshal(object{"receipts": receipts(p.Records)})
	require.NoError(t, err)
	extend, err := json.Marshal(object{"receipts": receipts(p.Records), "ack_wait_ms": 1000})
	require.NoError(t, err)
	for _, who := range [][]string{b, elsewhere} {
		s.get("/events?group=a.q&topic=a.jobs", who...).wantStatus(404)
		for _, verb := range []string{"ack", "nack"} {
			refused := s.post("/events/"+verb, receipt, who...).anyError()
			assert.Contains(t, []string{"group_not_found", "topic_not_found", "forbidden"}, refused.Code)
		}
		s.post("/events/extend", extend, who...).anyError()
	}
	s.post("/events/ack", receipt).wantError(401, "unauthorized")
	s.post("/events/extend", extend, a...).want(200)
	s.post("/events/ack", receipt, a...).want(200)

	var seen queueInfo
	wide := s.token("wide", `[{"do":["read"],"topics":"b.*","groups":"*"}]`)
	s.get("/groups/a.q", wide...).want(200).decode(&seen)
	assert.Empty(t, seen.Topics, "topics that may not be seen are not shown")
	assert.Empty(t, seen.Partitions)
}
