package http

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"ottla/protocol"
)

func TestPollForms(t *testing.T) {
	h := start(t, Options{})
	h.b.poll = func(*protocol.PollRequest, <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
		return &protocol.PollReply{ConsumerID: 7, Group: "g", Generation: 2, Cursor: "c", TimedOut: true}, nil
	}
	at := int64(5)
	standard := protocol.PollRequest{
		Topics: []string{"liked"}, MaxRecords: 500, MaxBytes: 1 << 20, Timeout: 5 * time.Second,
		SessionTimeout: 10 * time.Second, AutoCommit: true,
	}
	with := func(change func(*protocol.PollRequest)) protocol.PollRequest {
		r := standard
		change(&r)
		return r
	}
	everything := with(func(r *protocol.PollRequest) {
		r.Topics, r.Cluster, r.ConsumerID, r.Group = []string{"a", "b"}, "c", 7, "g"
		r.MaxRecords, r.MaxBytes, r.Timeout, r.SessionTimeout = 10000, 1, 0, time.Minute
		r.AutoCommit, r.From.Timestamp, r.Ack = false, &at, "xyz"
	})
	for name, c := range map[string]struct {
		query, body string
		want        protocol.PollRequest
	}{
		"as specified": {"", `{"topic": "liked"}`, standard},
		"query":        {"?topic=liked", "", standard},
		"several":      {"", `{"topic":["a","b"]}`, with(func(r *protocol.PollRequest) { r.Topics = []string{"a", "b"} })},
		"latest":       {"?topic=liked&from=latest", "", with(func(r *protocol.PollRequest) { r.From.Latest = true })},
		"latest, body": {"", `{"topic":"liked","from":"latest"}`, with(func(r *protocol.PollRequest) { r.From.Latest = true })},
		"after":        {"?topic=liked&auto_commit=false&after=c1", "", with(func(r *protocol.PollRequest) { r.AutoCommit, r.After = false, "c1" })},
		"everything": {"?topic=a&topic=b&cluster=c&consumer_id=7&group=g&max_records=10000&max_bytes=1&timeout_ms=0" +
			"&session_timeout_ms=60000&auto_commit=false&from=5&ack=xyz", "", everything},
		"everything, body": {"", `{"topic":["a","b"],"cluster":"c","consumer_id":7,"group":"g","max_records":10000,"max_bytes":1,
			"timeout_ms":0,"session_timeout_ms":60000,"auto_commit":false,"from":5,"ack":"xyz"}`, everything},
	} {
		t.Run(name, func(t *testing.T) {
			h.b.polls = nil
			a := h.do("GET", "/events"+c.query, c.body)
			assert.JSONEq(t, `{"consumer_id":7,"group":"g","generation":2,"records":[],"cursor":"c","timed_out":true}`, a.body)
			assert.Equal(t, c.want, *h.b.polls[0])
		})
	}
}

func TestPollWaitsForARecord(t *testing.T) {
	h := start(t, Options{})
	h.b.parked = make(chan struct{}, 1)
	h.b.add("liked", 1)
	polled := make(chan answer, 1)
	go func() { polled <- h.do("GET", "/events?consumer_id=7&timeout_ms=30000", "", "X-A", "b") }()
	wantError(t, <-polled, 400, "missing_field")
	go func() { polled <- h.do("GET", "/events?topic=liked&consumer_id=7&timeout_ms=30000", "") }()
	<-h.b.parked
	wantOK(t, h.do("POST", "/events", `{"topic":"liked","key_text":"a","value":[1],"timestamp":9}`), 200)
	assert.JSONEq(t, `{"consumer_id":7,"group":"consumer-7","generation":1,"records":[{"topic":"liked","partition":0,
		"offset":0,"timestamp":9,"key_text":"a","value":[1],"headers":{}}],"cursor":"1","timed_out":false}`, (<-polled).body)
}

func TestParkedReadsAreBounded(t *testing.T) {
	h := start(t, Options{MaxParkedPolls: 1})
	h.b.parked = make(chan struct{}, 1)
	h.b.add("t", 1)
	polled := make(chan answer, 1)
	go func() { polled <- h.do("GET", "/events?topic=t&timeout_ms=30000", "") }()
	<-h.b.parked
	wantError(t, h.do("GET", "/events?topic=t", ""), 503, "overloaded")
	wantError(t, h.do("GET", "/topic/t/partitions/0/records?timeout_ms=1000", ""), 503, "overloaded")
	wantOK(t, h.do("GET", "/topic/t/partitions/0/records", ""), 200)
	wantOK(t, h.do("GET", "/events?topic=t&timeout_ms=0", ""), 200)
	wantOK(t, h.do("POST", "/events", `{"topic":"t"}`), 200)
	wantOK(t, <-polled, 200)
}

func TestReadsWithoutAGroup(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 2)
	for i := range 3 {
		wantOK(t, h.do("POST", "/events", fmt.Sprintf(`{"topic":"t","partition":1,"value":%d,"timestamp":%d}`, i, i*10)), 200)
	}
	rec := func(i int) string {
		return fmt.Sprintf(`{"topic":"t","partition":1,"offset":%d,"timestamp":%d,"key":null,"value":%d,"headers":{}}`, i, i*10, i)
	}
	for query, want := range map[string]string{
		"":                        `{"records":[` + rec(0) + "," + rec(1) + "," + rec(2) + `],"next_offset":3,"high_watermark":3,"earliest":0}`,
		"?offset=2":               `{"records":[` + rec(2) + `],"next_offset":3,"high_watermark":3,"earliest":0}`,
		"?offset=0&max_records=1": `{"records":[` + rec(0) + `],"next_offset":1,"high_watermark":3,"earliest":0}`,
		"?timestamp=11":           `{"records":[` + rec(2) + `],"next_offset":3,"high_watermark":3,"earliest":0}`,
		"?offset=3":               `{"records":[],"next_offset":3,"high_watermark":3,"earliest":0}`,
	} {
		t.Run(query, func(t *testing.T) {
			a := h.do("GET", "/topic/t/partitions/1/records"+query, "")
			assert.Equal(t, 200, a.status)
			assert.Equal(t, want, a.body)
		})
	}
	assert.JSONEq(t, `{"earliest":0,"latest":3}`, h.do("GET", "/topic/t/partitions/1/offsets", "").body)
}
