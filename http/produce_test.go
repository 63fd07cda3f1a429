package http

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// stored is the only record, as a client sees it.
func (h *harness) stored(topic string) string {
	h.t.Helper()
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	var all []protocol.Record
	for _, log := range h.b.topics[topic].partitions {
		all = append(all, log...)
	}
	require.Len(h.t, all, 1)
	return string(appendRecord(nil, &all[0]))
}

func TestProduceOne(t *testing.T) {
	h := start(t, Options{})
	h.b.add("liked", 2)
	v := wantOK(t, h.do("POST", "/events", ` {"topic":"liked","partition":1,"value":{"post": 7},"timestamp":1000} `), 200)
	assert.Equal(t, map[string]any{"topic": "liked", "partition": 1.0, "offset": 0.0, "timestamp": 1000.0, "committed": true}, v)
	assert.Equal(t, `{"topic":"liked","partition":1,"offset":0,"timestamp":1000,"key":null,"value":{"post":7},"headers":{}}`, h.stored("liked"))
}

func TestWhatIsProducedComesBack(t *testing.T) {
	digits := strings.Repeat("1234567890", 40)
	deepest := strings.Repeat("[", 128) + strings.Repeat("]", 128)
	for name, c := range map[string]struct{ fields, want string }{
		"nothing":             {`"timestamp":5`, `"key":null,"value":null,"headers":{}`},
		"nulls":               {`"key":null,"value":null`, `"key":null,"value":null,"headers":{}`},
		"compacted":           {`"key": [1, 2], "value": {"a" : "x  y"}`, `"key":[1,2],"value":{"a":"x  y"},"headers":{}`},
		"digit for digit":     {`"value":` + digits + `.50e-7`, `"key":null,"value":` + digits + `.50e-7,"headers":{}`},
		"escapes kept":        {`"value":"\u0041\/\ud83d\ude00"`, `"key":null,"value":"\u0041\/\ud83d\ude00","headers":{}`},
		"text":                {`"key_text":"k\u0041","value_text":"{\"a\": 1}\n"`, `"key_text":"kA","value_text":"{\"a\": 1}\n","headers":{}`},
		"NUL and a frame":     {`"value_text":"\u0000\n#f 1 2 3\n"`, `"key":null,"value_text":"\u0000\n#f 1 2 3\n","headers":{}`},
		"bytes":               {`"key_base64":"/w==","value_base64":"//79"`, `"key_base64":"/w==","value_base64":"//79","headers":{}`},
		"bytes that are text": {`"value_base64":"aGk="`, `"key":null,"value_text":"hi","headers":{}`},
		"empty text":          {`"value_text":""`, `"key":null,"value_text":"","headers":{}`},
		"headers":             {`"headers":{"a b" : "1", "#":"\n"}`, `"key":null,"value":null,"headers":{"a b":"1","#":"\n"}`},
		"list of headers":     {`"headers":[["a",null],["a","1"],["b", {"b64":"/w=="}]]`, `"key":null,"value":null,"headers":[["a",null],["a","1"],["b",{"b64":"/w=="}]]`},
		"list like an object": {`"headers":[["b","1"],["a", "\n"]]`, `"key":null,"value":null,"headers":{"b":"1","a":"\n"}`},
		"empty list":          {`"headers":[]`, `"key":null,"value":null,"headers":{}`},
		"no headers":          {`"headers":{ }`, `"key":null,"value":null,"headers":{}`},
		"deepest":             {`"value":` + deepest, `"key":null,"value":` + deepest + `,"headers":{}`},
		"false":               {`"value":false`, `"key":null,"value":false,"headers":{}`},
		"dash":                {`"value":"-"`, `"key":null,"value":"-","headers":{}`},
	} {
		forms := map[string]func(h *harness) answer{
			"one":   func(h *harness) answer { return h.do("POST", "/events", `{`+c.fields+`,"topic":"t"}`) },
			"batch": func(h *harness) answer { return h.do("POST", "/events", `{"records":[{`+c.fields+`}],"topic":"t"}`) },
			"ndjson": func(h *harness) answer {
				return h.do("POST", "/events?topic=t", "\n{"+c.fields+"}\r\n \n", "Content-Type", "application/x-ndjson")
			},
		}
		for form, send := range forms {
			t.Run(name+" "+form, func(t *testing.T) {
				t.Parallel()
				h := start(t, Options{})
				require.Equal(t, 200, send(h).status)
				got := h.stored("t")
				assert.Equal(t, c.want, got[strings.Index(got, `"key`):len(got)-1])
				assert.True(t, json.Valid([]byte(got)))
			})
		}
	}
}

func TestProduceRaw(t *testing.T) {
	naughty := "a\n#f 1 2 3\n2026-11-22 17:16:03.123 t 0 0 - - PRODUCE\x00"
	for name, c := range map[string]struct{ query, body, mime, want string }{
		"text":          {"", "hello", "text/plain", `"key":null,"value_text":"hello","headers":{}`},
		"with charset":  {"", "é", "text/plain; charset=UTF-8", `"key":null,"value_text":"é","headers":{}`},
		"JSON stays":    {"", `{"a": 1}`, "application/octet-stream", `"key":null,"value_text":"{\"a\": 1}","headers":{}`},
		"bytes":         {"", "\xff\x00", "application/octet-stream", `"key":null,"value_base64":"/wA=","headers":{}`},
		"key":           {"&key=" + url.QueryEscape(`a "b"`), "x", "text/plain", `"key":"a \"b\"","value_text":"x","headers":{}`},
		"empty":         {"", "", "text/plain", `"key":null,"value_text":"","headers":{}`},
		"forged frames": {"", naughty, "text/plain", `"key":null,"value_text":"a\n#f 1 2 3\n2026-11-22 17:16:03.123 t 0 0 - - PRODUCE\u0000","headers":{}`},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, Options{})
			v := wantOK(t, h.do("POST", "/events?topic=t&timestamp=7"+c.query, c.body, "Content-Type", c.mime), 200)
			assert.Equal(t, 7.0, v["timestamp"])
			got := h.stored("t")
			assert.Equal(t, c.want, got[strings.Index(got, `"key`):len(got)-1])
		})
	}
}

func TestMegabyteRecords(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	raw := strings.Repeat("\xff", 1<<20)
	wantOK(t, h.do("POST", "/events?topic=t", raw, "Content-Type", "application/octet-stream"), 200)
	assert.Contains(t, h.stored("t"), base64.StdEncoding.EncodeToString([]byte(raw)))
	e := wantError(t, h.do("POST", "/events?topic=t", raw+"x", "Content-Type", "application/octet-stream"), 413, "record_too_large")
	assert.Equal(t, map[string]any{"limit": 1048576.0}, e["details"])
	text := strings.Repeat("x", 1<<20-2)
	wantOK(t, h.do("POST", "/events", `{"topic":"t","value":"`+text+`"}`), 200)
	wantError(t, h.do("POST", "/events", `{"topic":"t","value":"`+text+`x"}`), 413, "record_too_large")
	h.b.topics["t"].topic.MaxRecordBytes = 10
	e = wantError(t, h.do("POST", "/events", `{"topic":"t","records":[{"value":1},{"value":"123456789"}]}`), 413, "record_too_large")
	assert.Equal(t, map[string]any{"limit": 10.0, "record": 1.0}, e["details"])
	assert.Len(t, h.b.reqs, 2, "a batch is validated whole before anything is sent")
}

func TestPlacement(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 5)
	places := func(a answer) (out []int) {
		for _, o := range wantOK(t, a, 200)["offsets"].([]any) {
			out = append(out, int(o.(map[string]any)["partition"].(float64)))
		}
		return out
	}
	key := func(k string) int { return protocol.PartitionForKey([]byte(k), 5) }
	got := places(h.do("POST", "/events?offsets=true", `{"topic":"t","records":[{},{"key":"a"},{},{"partition":4,"key":"a"},{"key_text":"a"},{"key_base64":"YQ=="},{},{"key":{"a": 1}}]}`))
	assert.Equal(t, []int{0, key(`"a"`), 1, 4, key(`"a"`), key(`"a"`), 2, key(`{"a":1}`)}, got)
}

func TestRetriesLandWhereTheFirstTryDid(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 7)
	body := `{"topic":"t","records":[{},{},{"key":"k"}]}`
	for name, c := range map[string]struct {
		headers []string
		id      string
		epoch   int64
		seq     int64
	}{
		"producer": {[]string{"Producer-Id", "p/1", "Producer-Epoch", "2", "Producer-Seq", "9"}, "p/1", 2, 9},
		"key":      {[]string{"Idempotency-Key", "order-7"}, "key:order-7", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var first string
			for try := range 2 {
				h.b.reqs = nil
				wantOK(t, h.do("POST", "/events", body, c.headers...), 200)
				var seen string
				for _, r := range h.b.reqs {
					assert.Equal(t, []any{c.id, c.epoch, c.seq}, []any{r.ProducerID, r.Epoch, r.Sequence})
					assert.Equal(t, name == "key", r.BodyHash != 0)
					seen += fmt.Sprintf("%d:%d:%x ", r.Partition, r.Lines.Len(), r.BodyHash)
				}
				if try == 0 {
					first = seen
				}
				assert.Equal(t, first, seen)
			}
		})
	}
	h.b.reqs = nil
	for seq := range 7 {
		wantOK(t, h.do("POST", "/events", `{"topic":"t"}`, "Producer-Id", "p/1", "Producer-Epoch", "2", "Producer-Seq", strconv.Itoa(seq)), 200)
		assert.Equal(t, h.b.reqs[0].Partition, h.b.reqs[seq].Partition, "where a lower sequence is known")
	}
	h.b.reqs = nil
	wantOK(t, h.do("POST", "/events", body+" ", "Idempotency-Key", "order-7"), 200)
	wantOK(t, h.do("POST", "/events", body, "Idempotency-Key", "order-7"), 200)
	assert.NotEqual(t, h.b.reqs[0].BodyHash, h.b.reqs[len(h.b.reqs)-1].BodyHash, "another body")
}

func TestBatchAnswers(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 2)
	a := h.do("POST", "/events?offsets=true", `{"topic":"t","records":[{"partition":1},{"partition":0},{"partition":1}]}`)
	assert.JSONEq(t, `{"topic":"t","committed":true,"count":3,"partitions":[{"partition":0,"base_offset":0,"count":1},
		{"partition":1,"base_offset":0,"count":2}],"offsets":[{"partition":1,"offset":0},{"partition":0,"offset":0},
		{"partition":1,"offset":1}]}`, a.body)

	fail := func(errs ...*protocol.Error) {
		h.b.produce = func(reqs []*protocol.ProduceRequest, _ time.Time) {
			for i, r := range reqs {
				r.Result = protocol.ProduceResult{BaseOffset: 40, Err: errs[i]}
			}
		}
	}
	body := `{"topic":"t","records":[{"partition":1},{"partition":0},{"partition":1}]}`
	noLeader := protocol.Errorf(protocol.CodeNoLeader, "no leader")
	fail(nil, noLeader)
	a = h.do("POST", "/events?offsets=true", body, requestIDHeader, "r-1")
	assert.Equal(t, 207, a.status)
	assert.JSONEq(t, `{"topic":"t","committed":false,"count":1,"partitions":[{"partition":0,"base_offset":40,"count":1},
		{"partition":1,"count":2,"error":{"error_code":50302,"code":"no_leader","message":"no leader","retriable":true,
		"outcome":"none","request_id":"r-1"}}],"offsets":[{"partition":1,"offset":null},{"partition":0,"offset":40},
		{"partition":1,"offset":null}]}`, a.body)

	fail(noLeader, protocol.Errorf(protocol.CodeNoLeader, "another"))
	wantError(t, h.do("POST", "/events", body), 503, "no_leader")
	fail(noLeader, protocol.Unknownf("lost"))
	assert.Equal(t, 207, h.do("POST", "/events", body).status)
	fail(protocol.Unknownf("lost"))
	e := wantError(t, h.do("POST", "/events", `{"topic":"t"}`), 504, "outcome_unknown")
	assert.Equal(t, "unknown", e["outcome"])
}

func TestAcksNoneAndDuplicates(t *testing.T) {
	h := start(t, Options{})
	for _, body := range []string{`{"topic":"t","value":1}`, `{"topic":"t","records":[{"value":1},{}]}`} {
		a := h.do("POST", "/events?acks=none", body)
		assert.Equal(t, 202, a.status)
		assert.JSONEq(t, `{"topic":"t","committed":false}`, a.body)
	}
	assert.True(t, h.b.reqs[0].NoAck)
	h.b.produce = func(reqs []*protocol.ProduceRequest, _ time.Time) {
		for _, r := range reqs {
			r.Result = protocol.ProduceResult{BaseOffset: 4, Duplicate: true}
		}
	}
	assert.Equal(t, true, wantOK(t, h.do("POST", "/events", `{"topic":"t","value":1}`), 200)["duplicate"])
	assert.Equal(t, true, wantOK(t, h.do("POST", "/events?acks=all", `{"topic":"t","records":[{}]}`), 200)["duplicate"])
}

func TestProduceOwnsItsLines(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	for i := range 50 {
		wantOK(t, h.do("POST", "/events", fmt.Sprintf(`{"topic":"t","value": "%d", "key": [ %d ]}`, i, i)), 200)
	}
	for i, r := range h.b.topics["t"].partitions[0] {
		assert.Equal(t, fmt.Sprintf(`"%d"`, i), string(r.Value))
		assert.Equal(t, fmt.Sprintf(`[%d]`, i), string(r.Key))
	}
}

// A record without a timestamp gets the time at which its request had arrived as
// a whole, and the backend gets the whole request timeout, however long the body
// took.
func TestProduceTimeIsThatOfTheWholeRequest(t *testing.T) {
	h := startTCP(t, Options{RequestTimeout: time.Hour})
	h.b.add("t", 1)
	record, deadline := make(chan int64, 1), make(chan time.Time, 1)
	h.b.produce = func(reqs []*protocol.ProduceRequest, end time.Time) {
		record <- parseLines(reqs[0].Lines.AppendNumbered(nil, 0))[0].Timestamp
		deadline <- end
	}
	conn, err := h.ln.Dial()
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte("POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\n{\"topic\""))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return h.s.intake.bytes.Used() > 0 }, patience, time.Millisecond)
	begun := time.Now()
	require.Eventually(t, func() bool { return time.Since(begun) > 5*time.Millisecond }, patience, time.Millisecond)
	rest := time.Now()
	_, err = conn.Write([]byte(":\"t\"}"))
	require.NoError(t, err)
	assert.GreaterOrEqual(t, <-record, rest.UnixMilli())
	assert.False(t, (<-deadline).Before(rest.Add(time.Hour)))
}

// JSON in lines is sent under several names.
func TestMediaTypesOfLines(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	for i, media := range []string{"application/x-ndjson", "application/ndjson", "application/jsonl", "Application/JSONlines; charset=utf-8"} {
		v := wantOK(t, h.do("POST", "/events?topic=t", "{\"value\":1}\n{\"value\":2}\n", "Content-Type", media), 200)
		assert.Equal(t, 2.0, v["count"], media)
		assert.Len(t, h.b.topics["t"].partitions[0], 2*(i+1))
	}
	_, line := h.follow("/events?topic=t", "application/jsonl")
	assert.True(t, strings.HasPrefix(line(), `{"topic":"t"`))
}

// A refused media type learns which ones are taken.
func TestUnsupportedMediaNamesWhatIsTaken(t *testing.T) {
	h := start(t, Options{})
	for target, taken := range map[string][]any{
		"/events": {"application/json", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines", "application/octet-stream", "text/plain"},
		"/topic":  {"application/json"},
	} {
		e := wantError(t, h.do("POST", target, "<a/>", "Content-Type", "text/xml"), 415, "unsupported_media_type")
		assert.Equal(t, map[string]any{"supported": taken}, e["details"])
		for _, media := range taken {
			assert.Contains(t, e["message"], media)
		}
	}
}

// A byte order mark at the very beginning is no part of the text. Elsewhere, and in
// a raw value, it is.
func TestByteOrderMark(t *testing.T) {
	const bom = "\ufeff"
	h := start(t, Options{})
	h.b.add("t", 1)
	for _, media := range []string{"application/json", "application/x-www-form-urlencoded"} {
		wantOK(t, h.do("POST", "/events", bom+`{"topic":"t","value":1}`, "Content-Type", media), 200)
	}
	wantOK(t, h.do("POST", "/events?topic=t", bom+"{\"value\":1}\n", "Content-Type", "application/x-ndjson"), 200)
	wantOK(t, h.do("POST", "/topic", bom+`{"name":"marked"}`), 201)
	wantError(t, h.do("POST", "/events", bom+bom+`{"topic":"t"}`, "Content-Type", "application/json"), 400, "malformed")
	wantError(t, h.do("POST", "/events?topic=t", "{}\n"+bom+"{}", "Content-Type", "application/x-ndjson"), 400, "malformed")
	assert.Len(t, h.b.reqs, 3)
	wantOK(t, h.do("POST", "/events?topic=raw", bom+"x", "Content-Type", "text/plain"), 200)
	assert.Contains(t, h.stored("raw"), `"value_text":"`+bom+`x"`)
}
