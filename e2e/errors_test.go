package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFailingCalls(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("t", 1)
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	calls := []struct {
		name, method, path, body string
		status                   int
		code, message            string
	}{
		{"no such route", "GET", "/nothing", "", 404, "route_not_found", ""},
		{"trailing slash", "GET", "/cluster/", "", 404, "", ""},
		{"wrong method", "PUT", "/events", "{}", 405, "method_not_allowed", ""},
		{"not JSON", "POST", "/events", `{"topic"`, 400, "malformed", ""},
		{"empty body", "POST", "/events", ``, 400, "", ""},
		{"two values", "POST", "/events", `{"topic":"t"} {}`, 400, "malformed", ""},
		{"an array", "POST", "/events", `["t"]`, 400, "malformed", ""},
		{"invalid UTF-8", "POST", "/events", "{\"topic\":\"t\",\"value\":\"\xff\"}", 400, "malformed", ""},
		{"lone surrogate", "POST", "/topic", `{"name":"\ud800"}`, 0, "", ""},
		{"too deep", "POST", "/events", `{"topic":"t","value":` + deep + `}`, 422, "record_limit", "limits.json_depth"},
		{"unknown field", "POST", "/events", `{"topic":"t","valeu":1}`, 400, "unknown_field", "valeu"},
		{"unknown field of a record", "POST", "/events", `{"topic":"t","records":[{"valeu":1}]}`, 400, "unknown_field", "valeu"},
		{"field twice", "POST", "/events", `{"topic":"t","value":1,"value":2}`, 400, "", "value"},
		{"unknown parameter", "POST", "/events?ack=all", `{"topic":"t"}`, 400, "unknown_parameter", "ack"},
		{"missing topic", "POST", "/events", `{"value":1}`, 400, "missing_field", "topic"},
		{"topic is a number", "POST", "/events", `{"topic":1}`, 400, "", "topic"},
		{"topic is no name", "POST", "/events", `{"topic":"a/b"}`, 422, "invalid_name", ""},
		{"partition is a string", "POST", "/events", `{"topic":"t","partition":"0"}`, 400, "", "partition"},
		{"partition is a fraction", "POST", "/events", `{"topic":"t","partition":0.5}`, 400, "", "partition"},
		{"unknown partition", "POST", "/events", `{"topic":"t","partition":1}`, 422, "unknown_partition", ""},
		{"headers are no strings", "POST", "/events", `{"topic":"t","headers":{"a":1}}`, 400, "", "headers"},
		{"negative timestamp", "POST", "/events", `{"topic":"t","timestamp":-1}`, 400, "", "timestamp"},
		{"two kinds of value", "POST", "/events", `{"topic":"t","value":1,"value_text":"x"}`, 400, "", "value"},
		{"value and records", "POST", "/events", `{"topic":"t","value":1,"records":[{"value":2}]}`, 400, "", ""},
		{"bad base64", "POST", "/events", `{"topic":"t","value_base64":"?"}`, 400, "", "value_base64"},
		{"unknown acks", "POST", "/events?acks=1", `{"topic":"t"}`, 400, "", "acks"},
		{"internal topic", "POST", "/events", `{"topic":"__consumer_offsets","value":1}`, 422, "internal_topic", ""},
		{"internal topic before all else", "POST", "/events", `{"topic":"__x","partition":"y","nope":1}`, 422, "internal_topic", ""},
		{"poll without a topic", "GET", "/events", ``, 400, "missing_field", "topic"},
		{"body and parameters", "GET", "/events?topic=t", `{"topic":"t"}`, 400, "", ""},
		{"consumer is no number", "GET", "/events?topic=t&consumer_id=x", ``, 400, "", "consumer_id"},
		{"consumer is zero", "GET", "/events?topic=t&consumer_id=0", ``, 400, "", "consumer_id"},
		{"group is no name", "GET", "/events?topic=t&group=a%2Fb", ``, 422, "invalid_name", ""},
		{"too many records", "GET", "/events?topic=t&max_records=10001", ``, 400, "limit_exceeded", "max_records"},
		{"too many bytes", "GET", "/events?topic=t&max_bytes=16777217", ``, 400, "limit_exceeded", "max_bytes"},
		{"too long", "GET", "/events?topic=t&timeout_ms=30001", ``, 400, "limit_exceeded", "timeout_ms"},
		{"negative timeout", "GET", "/events?topic=t&timeout_ms=-1", ``, 400, "", "timeout_ms"},
		{"auto_commit is neither", "GET", "/events?topic=t&auto_commit=yes", ``, 400, "", "auto_commit"},
		{"unknown start", "GET", "/events?topic=t&from=middle", ``, 400, "", "from"},
		{"unknown parameter of a poll", "GET", "/events?topic=t&maxrecords=1", ``, 400, "unknown_parameter", "maxrecords"},
		{"negative offset", "GET", "/topic/t/partitions/0/records?offset=-1", ``, 400, "", "offset"},
		{"partition is no number", "GET", "/topic/t/partitions/x/records?offset=0", ``, 0, "", ""},
		{"commit without a consumer", "POST", "/offset", `{}`, 400, "missing_field", "consumer_id"},
		{"commit of nobody", "POST", "/offset", `{"consumer_id":99}`, 404, "consumer_not_found", ""},
		{"offsets without a group", "GET", "/offset", ``, 400, "", "group"},
		{"offsets of no group", "GET", "/offset?group=none", ``, 404, "group_not_found", ""},
		{"no such topic", "GET", "/topic/none", ``, 404, "topic_not_found", ""},
		{"no such cluster", "GET", "/cluster/none", ``, 404, "cluster_not_found", ""},
		{"no such broker", "POST", "/cluster/default/brokers/4/stop", ``, 404, "broker_not_found", ""},
		{"no such group", "GET", "/groups/none", ``, 404, "group_not_found", ""},
		{"seek without a target", "POST", "/groups/none/seek", `{"topic":"t"}`, 400, "missing_field", "to"},
		{"cluster without a name", "POST", "/cluster", `{}`, 400, "missing_field", "name"},
		{"num_brokers is a string", "POST", "/cluster", `{"name":"x","num_brokers":"3"}`, 400, "", "num_brokers"},
		{"unknown field of a cluster", "POST", "/cluster", `{"name":"x","brokers":3}`, 400, "unknown_field", "brokers"},
		{"unknown field of a topic", "POST", "/topic", `{"name":"x","partition":3}`, 400, "unknown_field", "partition"},
	}
	for _, c := range calls {
		s.run(c.name, func(t *testing.T) {
			a := s.call(c.method, c.path, c.body)
			e := a.anyError()
			if c.status == 0 {
				assert.Contains(t, []int{400, 404, 422}, a.status)
				return
			}
			assert.Equal(t, c.status, a.status, "%s", a.body)
			if c.code != "" {
				assert.Equal(t, c.code, e.Code)
			}
			assert.Contains(t, e.Message, c.message)
			assert.Equal(t, "none", e.Outcome)
			assert.False(t, e.Retriable)
		})
	}
	assert.Zero(t, s.fetch("t", 0, 0, "").HighWatermark, "none of these wrote anything")
	s.post("/events", `x`, "Content-Type", "text/html").wantError(http.StatusUnsupportedMediaType, "unsupported_media_type")
	assert.NotEmpty(t, s.call("PUT", "/events", "{}").header.Get("Allow"))
}

func TestOversize(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("t", 1)
	s.run("record", func(t *testing.T) {
		s.post("/events", object{"topic": "t", "value": strings.Repeat("a", 1<<20)}).
			wantError(http.StatusRequestEntityTooLarge, "record_too_large")
		s.post("/events", object{"topic": "t", "value": strings.Repeat("a", 1<<20-100)}).want(http.StatusOK)
	})
	s.run("body", func(t *testing.T) {
		e := s.post("/events", bytes.Repeat([]byte(" "), 16<<20+1)).wantError(http.StatusRequestEntityTooLarge, "body_too_large")
		assert.EqualValues(t, 16<<20, e.Details["limit"])
	})
	s.run("body after decompression", func(t *testing.T) {
		var bomb bytes.Buffer
		w := gzip.NewWriter(&bomb)
		_, err := w.Write(bytes.Repeat([]byte(" "), 64<<20))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		s.post("/events", bomb.Bytes(), "Content-Encoding", "gzip").wantError(http.StatusRequestEntityTooLarge, "body_too_large")
	})
	s.run("batch", func(t *testing.T) {
		line := "{\"value\":1}\n"
		a := s.post("/events?topic=t", strings.Repeat(line, 10_001), "Content-Type", "application/x-ndjson")
		e := a.anyError()
		assert.Contains(t, []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge}, a.status)
		assert.EqualValues(t, 10_000, e.Details["limit"])
		var b batchResult
		s.post("/events?topic=t", strings.Repeat(line, 10_000), "Content-Type", "application/x-ndjson").want(http.StatusOK).as(&b)
		assert.Equal(t, 10_000, b.Count)
	})
	s.run("headers", func(t *testing.T) {
		a := s.get("/cluster", "X-Big", strings.Repeat("a", 40_000))
		assert.GreaterOrEqual(t, a.status, 400)
		assert.Less(t, a.status, 500)
		a.anyError()
	})
	s.run("a topic with a lower limit", func(t *testing.T) {
		s.post("/topic", `{"name":"small","max_record_bytes":100}`).want(http.StatusCreated)
		e := s.post("/events", object{"topic": "small", "value": strings.Repeat("a", 200)}).
			wantError(http.StatusRequestEntityTooLarge, "record_too_large")
		assert.EqualValues(t, 100, e.Details["limit"])
		s.produce("small", object{"value": "fits"})
	})
	assert.Equal(t, int64(10_001), s.fetch("t", 0, 0, "").HighWatermark)
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	s := start(t)
	assert.Equal(t, "mine-1", s.get("/cluster", "X-Request-Id", "mine-1").want(http.StatusOK).header.Get("X-Request-Id"))
	odd := "no\tgood <b>"
	assert.NotEqual(t, odd, s.get("/cluster", "X-Request-Id", odd).want(http.StatusOK).header.Get("X-Request-Id"))
	seen := map[string]bool{}
	for range 100 {
		id := s.get("/nothing").wantError(http.StatusNotFound, "route_not_found").RequestID
		require.False(t, seen[id], "ids are unique")
		seen[id] = true
	}
}

func TestIdempotentProduce(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("i", 3)
	send := func(value any, seq, epoch int) *answer {
		return s.post("/events", object{"topic": "i", "value": value},
			"Producer-Id", "p1", "Producer-Epoch", fmt.Sprint(epoch), "Producer-Seq", fmt.Sprint(seq))
	}
	var first, again produced
	send("a", 1, 0).want(http.StatusOK).as(&first)
	assert.False(t, first.Duplicate)
	send("a", 1, 0).want(http.StatusOK).as(&again)
	assert.True(t, again.Duplicate)
	assert.Equal(t, []any{first.Partition, first.Offset}, []any{again.Partition, again.Offset})

	s.kill()
	s.again()
	send("a", 1, 0).want(http.StatusOK).as(&again)
	assert.True(t, again.Duplicate, "known after kill -9 too")
	assert.Equal(t, []any{first.Partition, first.Offset}, []any{again.Partition, again.Offset})

	s.post("/events", `{"topic":"i","value":1}`, "Producer-Id", "p1").wantError(http.StatusBadRequest, "")
	same := func(seq, epoch int) *answer {
		return s.post("/events", object{"topic": "i", "value": "x", "partition": 0},
			"Producer-Id", "p2", "Producer-Epoch", fmt.Sprint(epoch), "Producer-Seq", fmt.Sprint(seq))
	}
	same(5, 1).want(http.StatusOK)
	same(9, 1).want(http.StatusOK)
	same(5, 1).wantError(http.StatusConflict, "stale_sequence")
	same(10, 0).wantError(http.StatusConflict, "stale_epoch")
	same(1, 2).want(http.StatusOK)

	placed := func(seq, epoch int) *answer { // by the server
		return s.post("/events", `{"topic":"i"}`,
			"Producer-Id", "p3", "Producer-Epoch", fmt.Sprint(epoch), "Producer-Seq", fmt.Sprint(seq))
	}
	placed(5, 1).want(http.StatusOK)
	for seq := range 5 {
		placed(seq, 1).wantError(http.StatusConflict, "stale_sequence")
		placed(6+seq, 0).wantError(http.StatusConflict, "stale_epoch")
	}

	keyed := func(value string) *answer {
		return s.post("/events", object{"topic": "i", "value": value, "partition": 1}, "Idempotency-Key", "order-1")
	}
	keyed("v").want(http.StatusOK).as(&first)
	keyed("v").want(http.StatusOK).as(&again)
	assert.Equal(t, first.Offset, again.Offset)
	assert.True(t, again.Duplicate)
	keyed("w").wantError(http.StatusUnprocessableEntity, "idempotency_mismatch")

	total := 0
	for p := range 3 {
		total += len(s.readPartition("i", p))
	}
	assert.Equal(t, 1+3+1+1, total, "one record for each new request")
}
