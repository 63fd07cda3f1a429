package http

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	nethttp "net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// apiSeeds are requests as tests and people send them: a route, the names in its
// path, its query, headers and body.
var apiSeeds = []struct{ route, first, second, query, headers, body string }{
	{"POST /cluster", "", "", "", "", `{"name":"east","num_brokers":3,"log_directory":"a/b","partitions":4,"retention_policies":0.5,"fsync":"interval"}`},
	{"POST /cluster/{cluster}/brokers/{broker}/stop", "default", "2", "", "", `{}`},
	{"POST /topic", "", "", "", "", `{"name":"liked","partitions":1e1,"retention_ms":-1,"cleanup_policy":"compact","max_record_bytes":1000}`},
	{"PATCH /topic/{topic}", "liked", "", "cluster=default", "", `{"partitions":5,"segment_bytes":9223372036854775806}`},
	{"POST /topic/{topic}/delete-records", "liked", "", "cluster=default", "", `{"partitions":[{"partition":0,"before":-1},{"partition":1,"before":3}]}`},
	{"GET /topic/{topic}/partitions/{partition}/records", "liked", "0", "offset=0&max_records=2&timeout_ms=1", "", ""},
	{"GET /topic/{topic}/partitions/{partition}/records", "lik%65d", "1", "timestamp=%31", "", ""},
	{"GET /topic/{topic}/partitions/{partition}/offsets", "%2e%2e", "00", "", "", ""},
	{"POST /events", "", "", "offsets=true", "Producer-Id: p\nProducer-Epoch: 0\nProducer-Seq: 7", `{"topic":"liked","records":[{"key":1},{}]}`},
	{"POST /events", "", "", "topic=liked&key=a%00b&partition=1", "Content-Type: text/plain\nIdempotency-Key: order-7", "\xff"},
	{"POST /events", "", "", "topic=liked", "Content-Type: application/x-ndjson; charset=utf-8", "{\"value\":1}\n\n{}"},
	{"GET /events", "", "", "topic=liked&topic=t&timeout_ms=0&auto_commit=false&after=abc", "", ""},
	{"GET /events", "", "", "", "", `{"topic":["liked"],"from":1790000000000,"group":"g","consumer_id":7,"timeout_ms":0}`},
	{"POST /offset", "", "", "", "", `{"consumer_id":1,"group":"g","topic":"t","offsets":[{"partition":0,"offset":3,"metadata":"m"}],"force":true}`},
	{"GET /offset", "", "", "group=g&topic=liked", "", ""},
	{"GET /groups/{group}", "nobody", "", "cluster=default", "", ""},
	{"POST /groups/{group}/seek", "g", "", "", "", `{"topic":"liked","to":{"timestamp":5},"partition":1}`},
	{"POST /groups/{group}/seek", "g", "", "", "", `{"topic":"liked","to":3}`},
	{"DELETE /groups/{group}/members/{consumer_id}", "g", "9007199254740991", "", "", ""},
	{"PUT /sources/{source}", "hub", "", "", "", `{"topic":"t","key_json":"/a/~10","id_header":"X-Id","keep":["a","B"],"verify":{"scheme":"github","secret":"s"}}`},
	{"PUT /sources/{source}", "own", "", "", "", `{"topic":"t","cluster":"default","key_header":"k","verify":{"scheme":"hmac-sha256","header":"X-Sig","secret":"s"}}`},
	{"PUT /sources/{source}", "std", "", "", "", `{"topic":"t","verify":{"scheme":"standard-webhooks","secret":"whsec_AAAA"}}`},
	{"POST /sources/{source}", "hub", "", "", "Content-Type: application/json", `{"a":1}`},
	{"GET /partitions", "", "", "internal=true&cluster=a&cluster=b", "", ""},
	{"GET /consumer_groups", "", "", "%63luster=+", "", ""},
	{"GET /readyz", "", "", "x", "X-Request-Id: abc", ""},
}

// fuzzedHeaders are the headers that FuzzAPI sets. Others decide how an answer is
// sent, and FuzzConnection covers them.
var fuzzedHeaders = []string{
	"Content-Type", "Content-Encoding", "Producer-Id", "Producer-Epoch", "Producer-Seq", "Idempotency-Key", requestIDHeader,
}

// FuzzAPI sends any request to any route. No request may fail with 5xx. The answer
// must be what the contract says, an error must have the one shape and the outcome
// none, a request that was accepted must be allowed by the contract, and all budgets
// must be given back.
func FuzzAPI(f *testing.F) {
	for _, s := range apiSeeds {
		for i, rt := range table {
			if rt.method+" "+rt.path == s.route {
				f.Add(byte(i), s.first, s.second, s.query, s.headers, []byte(s.body))
			}
		}
	}
	b := newFake()
	b.poll = func(*protocol.PollRequest, <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
		return &protocol.PollReply{ConsumerID: 1, Group: "g", TimedOut: true}, nil
	}
	b.seek = func(*protocol.SeekRequest) {}
	s := New(b, Options{Logger: slog.New(slog.DiscardHandler), MaxBodyBytes: 64 << 10, MaxTimeout: time.Millisecond})
	f.Fuzz(func(t *testing.T, n byte, first, second, query, headers string, body []byte) {
		rt := table[int(n)%len(table)]
		target := pathOf(rt, first, second)
		if strings.Contains(target, "//") || strings.HasSuffix(target, "/") {
			return // the contract has no empty names
		}
		if slices.Contains(strings.Split(query, "&"), "=") {
			return // other readers see a parameter here
		}
		if query != "" {
			target += "?" + query
		}
		if strings.IndexFunc(target, func(r rune) bool { return r <= ' ' || r == '#' || r >= 0x7f }) >= 0 {
			return // it does not reach a route
		}
		b.topics, b.reqs, b.polls, b.left = map[string]*fakeTopic{}, nil, nil, make(chan protocol.ConsumerID, 1)
		b.sources = nil
		clear(b.specs)
		clear(b.clusters)
		b.add("liked", 2)
		var ctx fasthttp.RequestCtx
		ctx.Init(&fasthttp.Request{}, nil, nil)
		ctx.Request.Header.SetMethod(rt.method)
		ctx.Request.SetRequestURI(target)
		pairs := setHeaders(&ctx, headers)
		if len(body) > 0 {
			ctx.Request.SetBodyStream(bytes.NewReader(body), len(body))
		}
		s.Handler(&ctx)
		a := answerOf(&ctx)
		sent := string(body)
		if strings.HasPrefix(rt.path, "/cluster") || strings.HasPrefix(rt.path, "/topic") {
			sent = "" // what is left of it to check, the backend does
		}
		checkContract(t, rt.method, target, sent, pairs, a)
		checkShape(t, target, body, a)
		if s.intake.bytes.Used() != 0 || s.answers.Used() != 0 || s.parked.Used() != 0 {
			t.Fatalf("%s %s %q: something is still held", rt.method, target, body)
		}
	})
}

// pathOf is a route's path with its parts filled in.
func pathOf(rt route, parts ...string) string {
	path := ""
	for rest := rt.path; rest != ""; {
		before, name, found := strings.Cut(rest, "{")
		path += before
		if !found {
			break
		}
		path, parts = path+parts[0], parts[1:]
		_, rest, _ = strings.Cut(name, "}")
	}
	return path
}

func setHeaders(ctx *fasthttp.RequestCtx, lines string) (pairs []string) {
	for line := range strings.SplitSeq(lines, "\n") {
		name, v, _ := strings.Cut(line, ": ")
		for _, known := range fuzzedHeaders {
			if name == known && strings.IndexFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0 {
				ctx.Request.Header.Add(name, strings.TrimSpace(v))
				pairs = append(pairs, name, v)
			}
		}
	}
	return pairs
}

func answerOf(ctx *fasthttp.RequestCtx) answer {
	a := answer{status: ctx.Response.StatusCode(), header: nethttp.Header{}, body: string(ctx.Response.Body())}
	for k, v := range ctx.Response.Header.All() {
		a.header.Add(string(k), string(v))
	}
	return a
}

// checkShape checks that an error has the one shape.
func checkShape(t *testing.T, target string, body []byte, a answer) {
	t.Helper()
	if a.status >= 500 {
		t.Fatalf("%s %q: %d %s", target, body, a.status, a.body)
	}
	if a.status < 400 {
		return
	}
	var e struct {
		Number    int              `json:"error_code"`
		Code      string           `json:"code"`
		Message   string           `json:"message"`
		Outcome   protocol.Outcome `json:"outcome"`
		RequestID string           `json:"request_id"`
	}
	err := json.Unmarshal([]byte(a.body), &e)
	if err != nil || e.Number/100 != a.status || e.Code == "" || e.Message == "" || e.Outcome != protocol.OutcomeNone ||
		e.RequestID != a.header.Get(requestIDHeader) || !saneRequestID([]byte(e.RequestID)) || len(a.body) > 16<<10 {
		t.Fatalf("%s %q: %d %s (%v)", target, body, a.status, a.body, err)
	}
}

// FuzzProduceAgreesWithEncodingJSON checks that what the log returns of an
// accepted body is what encoding/json reads in it.
func FuzzProduceAgreesWithEncodingJSON(f *testing.F) {
	for _, s := range []string{
		event130, `{"topic":"t","records":[{"key":1},{"value_base64":"/w==","headers":{"a":"b"}}]}`, `{"topic":"t","value":null,"key":"\ud800"}`,
		`{"topic":"t","value": [ 1.50e+07 , "a b" ],"key_text":"\u0000\n","partition":2.0,"timestamp":1e3}`, `{"\u0074opic":"t","va\u006cue":{}}`,
		`{"topic":"t","records":[]}`, `{"topic":"t","value_text":"\ud83d\ude00","headers":{"\u2028":"\\"}}`, `{"topic":"t","value_base64":""}`,
		`{"topic":"t","headers":{},"key_base64":"\u0041A=="}`,
	} {
		f.Add([]byte(s))
	}
	b := newFake()
	b.auto = false
	s := New(b, Options{Logger: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, body []byte) {
		b.topics, b.reqs = map[string]*fakeTopic{}, nil
		log := b.add("t", 3)
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.SetRequestURI("/events?offsets=true")
		ctx.Request.Header.SetContentType("application/json")
		ctx.Request.SetBodyStream(bytes.NewReader(body), len(body))
		s.Handler(&ctx)
		if ctx.Response.StatusCode() != nethttp.StatusOK {
			return
		}
		var sent, reply map[string]json.RawMessage
		mustDecode(t, body, &sent)
		mustDecode(t, ctx.Response.Body(), &reply)
		records := []map[string]json.RawMessage{sent}
		places := []map[string]int{{}}
		if sent["records"] != nil {
			records = nil
			mustDecode(t, sent["records"], &records)
			mustDecode(t, reply["offsets"], &places)
		} else {
			var at struct{ Partition, Offset int }
			mustDecode(t, ctx.Response.Body(), &at)
			places[0] = map[string]int{"partition": at.Partition, "offset": at.Offset}
		}
		if len(places) != len(records) {
			t.Fatalf("%q: %d places for %d records", body, len(places), len(records))
		}
		for i, rec := range records {
			kept := &log.partitions[places[i]["partition"]][places[i]["offset"]]
			checkReturned(t, rec, appendRecord(nil, kept))
		}
	})
}

func mustDecode(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}

// checkReturned compares a record that was sent with the one that was returned.
func checkReturned(t *testing.T, sent map[string]json.RawMessage, text []byte) {
	t.Helper()
	var got map[string]json.RawMessage
	mustDecode(t, text, &got)
	for _, name := range []string{"key", "value"} {
		want, form := json.RawMessage("null"), name
		for _, f := range []string{name, name + "_text", name + "_base64"} {
			if sent[f] != nil && (f != name || string(sent[f]) != "null") {
				want, form = sent[f], f
			}
		}
		if strings.HasSuffix(form, "_base64") {
			var content []byte
			mustDecode(t, want, &content)
			if again, text := contentOf(t, got, name); !bytes.Equal(again, content) {
				t.Fatalf("%s of %v comes back as %s", form, sent, text)
			}
			continue
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, want); err != nil {
			t.Fatal(err)
		}
		if form == name && !bytes.Equal(compact.Bytes(), got[form]) {
			t.Fatalf("%s of %v comes back as %s", form, sent, text)
		}
		if form != name {
			var a, b string
			mustDecode(t, want, &a)
			mustDecode(t, got[form], &b)
			if a != b {
				t.Fatalf("%s of %v comes back as %s", form, sent, text)
			}
		}
	}
	var want, headers map[string]string
	if sent["headers"] != nil {
		mustDecode(t, sent["headers"], &want)
	}
	mustDecode(t, got["headers"], &headers)
	if len(want) != len(headers) {
		t.Fatalf("headers of %v come back as %s", sent, text)
	}
	for k, v := range want {
		if headers[k] != v {
			t.Fatalf("headers of %v come back as %s", sent, text)
		}
	}
}

// contentOf returns a key or value that was sent as base64. Bytes that are UTF-8
// are returned as text.
func contentOf(t *testing.T, got map[string]json.RawMessage, name string) ([]byte, string) {
	t.Helper()
	var text string
	if raw := got[name+"_text"]; raw != nil {
		mustDecode(t, raw, &text)
		return []byte(text), text
	}
	mustDecode(t, got[name+"_base64"], &text)
	content, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return content, text
}
