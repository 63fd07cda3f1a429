package http

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"ottla/protocol"
)

func TestQueues(t *testing.T) {
	h := start(t, Options{MaxBatchRecords: 3})
	wantOK(t, h.do("PUT", "/groups/w", `{"mode":"queue","topics":["jobs","more"],"ack_wait_ms":1,"max_deliveries":2,"backoff_ms":[],
		"dead_letter_topic":"d","order":"key","max_in_flight":4,"cluster":"c"}`), 201)
	wait, deliveries, dead, order, inFlight := int64(1), 2, "d", protocol.OrderKey, 4
	assert.Equal(t, protocol.QueueSpec{
		Group: "w", Cluster: "c", Topics: []string{"jobs", "more"}, AckWaitMs: &wait, MaxDeliveries: &deliveries, BackoffMs: []int64{},
		DeadLetterTopic: &dead, Order: &order, MaxInFlight: &inFlight,
	}, h.b.queues[0])
	a := wantOK(t, h.do("PATCH", "/groups/w?cluster=c", `{"dead_letter_topic":null,"backoff_ms":[1,2]}`), 200)
	none := ""
	assert.Equal(t, protocol.QueueSpec{Group: "w", Cluster: "c", BackoffMs: []int64{1, 2}, DeadLetterTopic: &none}, h.b.queues[1])
	assert.Equal(t, "queue", a["mode"])
	assert.NotNil(t, a["partitions"])

	assert.JSONEq(t, `{"count":2}`, h.do("POST", "/events/ack", `{"receipts":["a","b"]}`).body)
	mixed := h.do("POST", "/events/ack", `{"receipts":["a","stale","b"]}`, "X-Request-Id", "r")
	assert.Equal(t, 207, mixed.status)
	assert.JSONEq(t, `{"count":2,"results":[{"receipt":"a"},{"receipt":"stale","error":{"error_code":40915,"code":"stale_receipt",
		"message":"it was given again","retriable":false,"outcome":"none","request_id":"r"}},{"receipt":"b"}]}`, mixed.body)
	wantError(t, h.do("POST", "/events/ack", `{"receipts":["stale","stale2"]}`), 409, "stale_receipt")
	wantOK(t, h.do("POST", "/events/nack", `{"receipts":["a"],"delay_ms":0,"reason":"é","dead":true}`), 200)
	wantOK(t, h.do("POST", "/events/nack", `{"receipts":["a"]}`), 200)
	wantOK(t, h.do("POST", "/events/extend", `{"receipts":["a"],"ack_wait_ms":5}`), 200)
	zero := int64(0)
	assert.Equal(t, []protocol.DeliveryRequest{
		{Verb: "nack", Receipts: []string{"a"}, DelayMs: &zero, Reason: "é", Dead: true},
		{Verb: "nack", Receipts: []string{"a"}},
		{Verb: "extend", Receipts: []string{"a"}, AckWaitMs: 5},
	}, h.b.said[3:])

	checkRefusals(t, Options{MaxBatchRecords: 3}, map[string]refusal{
		"no mode":           {`PUT /groups/w {"topics":["t"]}`, 400, "missing_field", "mode", nil},
		"no topics":         {`PUT /groups/w {"mode":"queue"}`, 400, "missing_field", "topics", nil},
		"empty topics":      {`PUT /groups/w {"mode":"queue","topics":[]}`, 400, "invalid_parameter", "topics", nil},
		"many topics":       {`PUT /groups/w {"mode":"queue","topics":["t"` + strings.Repeat(`,"t"`, 100) + `]}`, 422, "not_allowed", "100", nil},
		"other mode":        {`PUT /groups/w {"mode":"stream","topics":["t"]}`, 422, "not_allowed", "mode", nil},
		"no wait":           {`PATCH /groups/w {"ack_wait_ms":0}`, 422, "not_allowed", "ack_wait_ms", nil},
		"many in flight":    {`PATCH /groups/w {"max_in_flight":100001}`, 422, "not_allowed", "max_in_flight", nil},
		"no deliveries":     {`PATCH /groups/w {"max_deliveries":0}`, 422, "not_allowed", "max_deliveries", nil},
		"backoff no array":  {`PATCH /groups/w {"backoff_ms":1}`, 400, "malformed", "backoff_ms", nil},
		"backoff too long":  {`PATCH /groups/w {"backoff_ms":[2592000001]}`, 422, "not_allowed", "backoff_ms", nil},
		"many backoffs":     {`PATCH /groups/w {"backoff_ms":[1` + strings.Repeat(`,1`, 32) + `]}`, 422, "not_allowed", "32", nil},
		"no name":           {`PATCH /groups/w {"dead_letter_topic":"a/b"}`, 422, "invalid_name", "dead_letter_topic", nil},
		"other order":       {`PATCH /groups/w {"order":"value"}`, 422, "not_allowed", "order", nil},
		"clusters differ":   {`PATCH /groups/w?cluster=a {"cluster":"b"}`, 422, "not_allowed", "cluster", nil},
		"has members":       {`PUT /groups/stream {"mode":"queue","topics":["t"]}`, 409, "group_not_empty", "", nil},
		"no receipts":       {`POST /events/ack {}`, 400, "missing_field", "receipts", nil},
		"empty receipts":    {`POST /events/ack {"receipts":[]}`, 422, "empty_batch", "receipts", nil},
		"receipts no array": {`POST /events/ack {"receipts":"a"}`, 400, "malformed", "receipts", nil},
		"receipt no text":   {`POST /events/ack {"receipts":[1]}`, 400, "malformed", "receipts", nil},
		"many receipts":     {`POST /events/ack {"receipts":["a","a","a","a"]}`, 413, "batch_too_large", "3", nil},
		"ack with a delay":  {`POST /events/ack {"receipts":["a"],"delay_ms":1}`, 400, "unknown_field", "delay_ms", nil},
		"ack with a query":  {`POST /events/ack?x=1 {"receipts":["a"]}`, 400, "unknown_parameter", "x", nil},
		"long reason":       {`POST /events/nack {"receipts":["a"],"reason":"` + strings.Repeat("é", 1025) + `"}`, 422, "not_allowed", "1024", nil},
		"half a reason":     {`POST /events/nack {"receipts":["a"],"reason":"\ud800"}`, 400, "malformed", "reason", nil},
		"long delay":        {`POST /events/nack {"receipts":["a"],"delay_ms":2592000001}`, 422, "not_allowed", "delay_ms", nil},
		"extend by nothing": {`POST /events/extend {"receipts":["a"]}`, 400, "missing_field", "ack_wait_ms", nil},
	})
}

// A record's deliver_at is kept with it, in its line.
func TestDelayedRecordsAreWritten(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	wantOK(t, h.do("POST", "/events", `{"topic":"t","value":1,"deliver_at":1795367763123}`), 200)
	line := string(h.b.reqs[0].Lines.Buf)
	assert.Contains(t, line, ` 1 PRODUCE@1795367763123`)
	assert.EqualValues(t, 1795367763123, protocol.DeliverAt([]byte("PRODUCE@1795367763123")))
	assert.Zero(t, protocol.DeliverAt([]byte("PRODUCE")))
	wantOK(t, h.do("POST", "/events", `{"topic":"t","records":[{"value":null,"delay_ms":0},{"value":2,"deliver_at":0}]}`), 200)
	assert.Regexp(t, `TOMBSTONE@\d{13}\n.* 2 PRODUCE\n$`, string(h.b.reqs[1].Lines.Buf))
	checkRefusals(t, Options{}, map[string]refusal{
		"both":      {`POST /events {"topic":"t","value":1,"deliver_at":1,"delay_ms":1}`, 400, "invalid_parameter", "deliver_at", nil},
		"too late":  {`POST /events {"topic":"t","value":1,"delay_ms":2592000001}`, 422, "not_allowed", "delay_ms", nil},
		"too late2": {`POST /events {"topic":"t","value":1,"deliver_at":253402300799999}`, 422, "not_allowed", "deliver_at", nil},
		"no number": {`POST /events {"topic":"t","value":1,"delay_ms":"1"}`, 400, "malformed", "delay_ms", nil},
	})
}
