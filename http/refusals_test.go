package http

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// refusal is a request that must be refused, and how.
type refusal struct {
	request string // "METHOD target body"
	status  int
	code    string
	says    string   // in the message
	headers []string // pairs
}

func checkRefusals(t *testing.T, o Options, table map[string]refusal) {
	h := start(t, o)
	h.b.add("liked", 3)
	for name, c := range table {
		t.Run(name, func(t *testing.T) {
			parts := append(strings.SplitN(c.request, " ", 3), "")
			e := wantError(t, h.do(parts[0], parts[1], parts[2], c.headers...), c.status, c.code)
			assert.Contains(t, e["message"], c.says)
			assert.Equal(t, "none", e["outcome"])
		})
	}
	assert.Empty(t, h.b.reqs, "nothing may be sent of what is refused")
}

func TestProduceRefusals(t *testing.T) {
	tooDeep := strings.Repeat("[", 513) + strings.Repeat("]", 513)
	checkRefusals(t, Options{MaxBatchRecords: 3}, map[string]refusal{
		"no body":              {"POST /events", 400, "malformed", "body", nil},
		"not JSON":             {"POST /events {", 400, "malformed", "JSON", nil},
		"text after it":        {`POST /events {"topic":"t"}{}`, 400, "malformed", "unexpected text", nil},
		"array":                {`POST /events [{"topic":"t"}]`, 400, "malformed", "object", nil},
		"no topic":             {`POST /events {"value":1}`, 400, "missing_field", "topic", nil},
		"topic a number":       {`POST /events {"topic":1}`, 400, "malformed", "topic must be a string", nil},
		"topic null":           {`POST /events {"topic":null}`, 400, "malformed", "topic", nil},
		"topic a path":         {`POST /events {"topic":"../x"}`, 422, "invalid_name", "topic", nil},
		"topic empty":          {`POST /events {"topic":""}`, 422, "invalid_name", "topic", nil},
		"topic dots":           {`POST /events {"topic":".."}`, 422, "invalid_name", "topic", nil},
		"topic long":           {`POST /events {"topic":"` + strings.Repeat("x", 201) + `"}`, 422, "invalid_name", "topic", nil},
		"cluster bad":          {`POST /events {"topic":"liked","cluster":"a/b"}`, 422, "invalid_name", "cluster", nil},
		"cluster unknown":      {`POST /events {"topic":"liked","cluster":"other"}`, 404, "cluster_not_found", "other", nil},
		"unknown field":        {`POST /events {"topic":"liked","vlaue":1}`, 400, "unknown_field", "vlaue", nil},
		"duplicate field":      {`POST /events {"topic":"liked","value":1,"value":2}`, 400, "malformed", "value", nil},
		"duplicate, escaped":   {`POST /events {"topic":"liked","value":1,"valu\u0065":2}`, 400, "malformed", "value", nil},
		"duplicate topic":      {`POST /events {"topic":"liked","topic":"liked"}`, 400, "malformed", "topic", nil},
		"two keys":             {`POST /events {"topic":"liked","key":1,"key_text":"a"}`, 400, "invalid_parameter", "key_text", nil},
		"two null keys":        {`POST /events {"topic":"liked","key_base64":"","key":null}`, 400, "invalid_parameter", "key", nil},
		"two values":           {`POST /events {"topic":"liked","value_text":"","value_base64":""}`, 400, "invalid_parameter", "value_base64", nil},
		"text a number":        {`POST /events {"topic":"liked","value_text":1}`, 400, "malformed", "value_text", nil},
		"text half surrogate":  {`POST /events {"topic":"liked","value_text":"\ud800"}`, 400, "malformed", "value_text", nil},
		"base64 bad":           {`POST /events {"topic":"liked","key_base64":"###"}`, 400, "malformed", "key_base64", nil},
		"base64 unpadded":      {`POST /events {"topic":"liked","key_base64":"YQ"}`, 400, "malformed", "key_base64", nil},
		"base64 loose bits":    {`POST /events {"topic":"liked","key_base64":"YR=="}`, 400, "malformed", "key_base64", nil},
		"base64 newline":       {`POST /events {"topic":"liked","key_base64":"YQ\n=="}`, 400, "malformed", "key_base64", nil},
		"value too deep":       {`POST /events {"topic":"liked","value":` + tooDeep + `}`, 422, "record_limit", "limits.json_depth", nil},
		"value invalid UTF-8":  {"POST /events {\"topic\":\"liked\",\"value\":\"\xff\"}", 400, "malformed", "UTF-8", nil},
		"partition a string":   {`POST /events {"topic":"liked","partition":"0"}`, 400, "malformed", "partition", nil},
		"partition a fraction": {`POST /events {"topic":"liked","partition":1.5}`, 400, "malformed", "partition", nil},
		"partition exponent":   {`POST /events {"topic":"liked","partition":1e-1}`, 400, "malformed", "partition", nil},
		"partition unknown":    {`POST /events {"topic":"liked","partition":3}`, 422, "unknown_partition", "3", nil},
		"partition negative":   {`POST /events {"topic":"liked","partition":-1}`, 422, "unknown_partition", "-1", nil},
		"partition huge":       {`POST /events {"topic":"liked","partition":99999999999999999999}`, 422, "unknown_partition", "", nil},
		"timestamp negative":   {`POST /events {"topic":"liked","timestamp":-1}`, 400, "invalid_parameter", "timestamp", nil},
		"timestamp far":        {`POST /events {"topic":"liked","timestamp":253402300800000}`, 400, "invalid_parameter", "timestamp", nil},
		"timestamp text":       {`POST /events {"topic":"liked","timestamp":"1"}`, 400, "malformed", "timestamp", nil},
		"headers an array":     {`POST /events {"topic":"liked","headers":["a"]}`, 400, "malformed", "headers", nil},
		"header a number":      {`POST /events {"topic":"liked","headers":{"a":1}}`, 400, "malformed", "headers.a", nil},
		"header twice":         {`POST /events {"topic":"liked","headers":{"a":"1","\u0061":"2"}}`, 400, "malformed", "headers.a", nil},
		"records an object":    {`POST /events {"topic":"liked","records":{}}`, 400, "malformed", "records", nil},
		"records of numbers":   {`POST /events {"topic":"liked","records":[{},1]}`, 400, "malformed", "record 1", nil},
		"records empty":        {`POST /events {"topic":"liked","records":[]}`, 422, "empty_batch", "", nil},
		"records and value":    {`POST /events {"topic":"liked","value":1,"records":[{}]}`, 400, "invalid_parameter", "records", nil},
		"too many records":     {`POST /events {"topic":"liked","records":[{},{},{},{}]}`, 413, "batch_too_large", "3", nil},
		"record unknown field": {`POST /events {"topic":"liked","records":[{},{"topic":"x"}]}`, 400, "unknown_field", "record 1", nil},
		"record partition":     {`POST /events {"topic":"liked","records":[{},{"partition":7}]}`, 422, "unknown_partition", "record 1", nil},
		"records cut":          {`POST /events {"topic":"liked","records":[{},{"value":1`, 400, "malformed", "unexpected end", nil},
		"records comma":        {`POST /events {"topic":"liked","records":[{},]}`, 400, "malformed", "", nil},
	})
}

func TestProduceFormRefusals(t *testing.T) {
	ndjson := []string{"Content-Type", "application/x-ndjson"}
	raw := []string{"Content-Type", "application/octet-stream"}
	checkRefusals(t, Options{MaxBatchRecords: 3}, map[string]refusal{
		"acks bad":             {`POST /events?acks=1 {"topic":"liked"}`, 400, "invalid_parameter", "acks", nil},
		"acks twice":           {`POST /events?acks=all&acks=none {"topic":"liked"}`, 400, "invalid_parameter", "acks", nil},
		"offsets bad":          {`POST /events?offsets=1 {"topic":"liked"}`, 400, "invalid_parameter", "offsets", nil},
		"unknown parameter":    {`POST /events?ack=all {"topic":"liked"}`, 400, "unknown_parameter", "ack", nil},
		"topic in the query":   {`POST /events?topic=liked {"topic":"liked"}`, 400, "unknown_parameter", "topic", nil},
		"media type":           {`POST /events <a/>`, 415, "unsupported_media_type", "xml", []string{"Content-Type", "application/xml"}},
		"charset":              {`POST /events {"topic":"liked"}`, 415, "unsupported_media_type", "", []string{"Content-Type", "application/json; charset=latin1"}},
		"form that is one":     {`POST /events a=1`, 415, "unsupported_media_type", "", []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"multipart":            {"POST /events --x\r\n", 415, "unsupported_media_type", "", []string{"Content-Type", "multipart/form-data; boundary=x"}},
		"encoding":             {`POST /events {}`, 415, "unsupported_media_type", "br", []string{"Content-Encoding", "br"}},
		"ndjson no topic":      {"POST /events {}", 400, "missing_field", "topic", ndjson},
		"ndjson bad line":      {"POST /events?topic=liked {}\n\n{\"a\":1}\n", 400, "unknown_field", "line 3", ndjson},
		"ndjson not JSON":      {"POST /events?topic=liked {}\n{\n", 400, "malformed", "line 2", ndjson},
		"ndjson two on a line": {"POST /events?topic=liked {} {}", 400, "malformed", "line 1", ndjson},
		"ndjson empty":         {"POST /events?topic=liked", 422, "empty_batch", "", ndjson},
		"ndjson blank":         {"POST /events?topic=liked \n\n", 422, "empty_batch", "", ndjson},
		"ndjson too many":      {"POST /events?topic=liked {}\n{}\n{}\n{}", 413, "batch_too_large", "line 4", ndjson},
		"raw no topic":         {"POST /events x", 400, "missing_field", "topic", raw},
		"raw key not UTF-8":    {"POST /events?topic=liked&key=%ff x", 400, "invalid_parameter", "key", raw},
		"raw partition":        {"POST /events?topic=liked&partition=x x", 400, "invalid_parameter", "partition", raw},
		"raw unknown":          {"POST /events?topic=liked&value=1 x", 400, "unknown_parameter", "value", raw},
		"producer alone":       {`POST /events {"topic":"liked"}`, 400, "invalid_parameter", "Producer-Id", []string{"Producer-Id", "p"}},
		"producer epoch":       {`POST /events {"topic":"liked"}`, 400, "invalid_parameter", "Producer-Epoch", []string{"Producer-Id", "p", "Producer-Epoch", "x", "Producer-Seq", "1"}},
		"producer seq":         {`POST /events {"topic":"liked"}`, 400, "invalid_parameter", "Producer-Seq", []string{"Producer-Id", "p", "Producer-Epoch", "1", "Producer-Seq", "-1"}},
		"producer id":          {`POST /events {"topic":"liked"}`, 400, "invalid_parameter", "Producer-Id", []string{"Producer-Id", "a b", "Producer-Epoch", "1", "Producer-Seq", "1"}},
		"producer as a key":    {`POST /events {"topic":"liked"}`, 400, "invalid_parameter", "Producer-Id", []string{"Producer-Id", "key:b", "Producer-Epoch", "1", "Producer-Seq", "1"}},
		"producer and key":     {`POST /events {"topic":"liked"}`, 400, "invalid_parameter", "Idempotency-Key", []string{"Producer-Id", "p", "Idempotency-Key", "k"}},
		"key too long":         {`POST /events {"topic":"liked"}`, 400, "invalid_parameter", "Idempotency-Key", []string{"Idempotency-Key", strings.Repeat("k", 201)}},
	})
}

func TestInternalTopicsComeFirst(t *testing.T) {
	checkRefusals(t, Options{MaxBodyBytes: 1000}, map[string]refusal{
		"valid":           {`POST /events {"topic":"__x","value":1}`, 422, "internal_topic", "__x", nil},
		"then bad JSON":   {`POST /events {"topic":"__x","value":`, 422, "internal_topic", "__x", nil},
		"unknown field":   {`POST /events {"bogus":1,"topic":"__x"}`, 422, "internal_topic", "__x", nil},
		"bad partition":   {`POST /events {"partition":"a","topic":"__x"}`, 422, "internal_topic", "__x", nil},
		"bad parameter":   {`POST /events?acks=7 {"topic":"__x"}`, 422, "internal_topic", "__x", nil},
		"bad cluster":     {`POST /events {"topic":"__x","cluster":"other"}`, 422, "internal_topic", "__x", nil},
		"bad name":        {`POST /events {"topic":"__x/y"}`, 422, "internal_topic", "__x/y", nil},
		"empty batch":     {`POST /events {"topic":"__x","records":[]}`, 422, "internal_topic", "__x", nil},
		"media type":      {`POST /events {"topic":"__x"}`, 422, "internal_topic", "__x", []string{"Content-Type", "image/png"}},
		"producer":        {`POST /events {"topic":"__x"}`, 422, "internal_topic", "__x", []string{"Producer-Id", "p"}},
		"query":           {`POST /events?topic=__x&bogus=1 {`, 422, "internal_topic", "__x", []string{"Content-Type", "application/x-ndjson"}},
		"body too large":  {`POST /events?topic=__x ` + strings.Repeat("x", 2000), 422, "internal_topic", "__x", []string{"Content-Type", "text/plain"}},
		"creating":        {`POST /topic {"name":"__x"}`, 422, "internal_topic", "__x", nil},
		"deleting":        {`DELETE /topic/__x`, 422, "internal_topic", "__x", nil},
		"altering":        {`PATCH /topic/__x {}`, 422, "internal_topic", "__x", nil},
		"not seen at all": {`POST /events {"value":[,"topic":"__x"}`, 400, "malformed", "", nil},
	})
}

func TestAdminRefusals(t *testing.T) {
	checkRefusals(t, Options{}, map[string]refusal{
		"no route":            {"GET /nothing", 404, "route_not_found", "GET /docs", nil},
		"trailing slash":      {"GET /cluster/", 404, "route_not_found", "", nil},
		"wrong case":          {"GET /Cluster", 404, "route_not_found", "", nil},
		"unexpected body":     {"GET /cluster {}", 400, "malformed", "no body", nil},
		"cluster no body":     {"POST /cluster", 400, "malformed", "body", nil},
		"cluster no name":     {"POST /cluster {}", 400, "missing_field", "name", nil},
		"cluster bad name":    {`POST /cluster {"name":"a b"}`, 422, "invalid_name", "name", nil},
		"no brokers":          {`POST /cluster {"name":"a","num_brokers":0}`, 422, "not_allowed", "num_brokers", nil},
		"ten brokers":         {`POST /cluster {"name":"a","num_brokers":10}`, 422, "not_allowed", "num_brokers", nil},
		"brokers text":        {`POST /cluster {"name":"a","num_brokers":"3"}`, 400, "malformed", "num_brokers", nil},
		"brokers fraction":    {`POST /cluster {"name":"a","num_brokers":2.5}`, 400, "malformed", "num_brokers", nil},
		"partitions":          {`POST /cluster {"name":"a","partitions":1025}`, 422, "not_allowed", "partitions", nil},
		"retention zero":      {`POST /cluster {"name":"a","retention_policies":0}`, 422, "not_allowed", "retention_policies", nil},
		"retention minus two": {`POST /cluster {"name":"a","retention_policies":-2}`, 422, "not_allowed", "retention_policies", nil},
		"retention text":      {`POST /cluster {"name":"a","retention_policies":"x"}`, 400, "malformed", "retention_policies", nil},
		"retention huge":      {`POST /cluster {"name":"a","retention_policies":1e400}`, 422, "not_allowed", "retention_policies", nil},
		"fsync":               {`POST /cluster {"name":"a","fsync":"never"}`, 422, "not_allowed", "fsync", nil},
		"cluster field":       {`POST /cluster {"name":"a","nmu_brokers":1}`, 400, "unknown_field", "nmu_brokers", nil},
		"cluster parameter":   {`POST /cluster?x=1 {"name":"a"}`, 400, "unknown_parameter", "x", nil},
		"cluster media":       {`POST /cluster {"name":"a"}`, 415, "unsupported_media_type", "", []string{"Content-Type", "text/plain"}},
		"broker id":           {"POST /cluster/a/brokers/x/stop", 400, "invalid_parameter", "broker", nil},
		"broker zero":         {"POST /cluster/a/brokers/0/stop", 404, "broker_not_found", "0", nil},
		"broker body":         {`POST /cluster/a/brokers/1/stop {"x":1}`, 400, "unknown_field", "x", nil},
		"path name":           {"GET /topic/a%2Fb", 422, "invalid_name", "a/b", nil},
		"topic policy":        {`POST /topic {"name":"a","cleanup_policy":"drop"}`, 422, "not_allowed", "cleanup_policy", nil},
		"topic partitions":    {`POST /topic {"name":"a","partitions":0}`, 422, "not_allowed", "partitions", nil},
		"topic retention":     {`POST /topic {"name":"a","retention_ms":99999999999999999999}`, 422, "not_allowed", "retention_ms", nil},
		"patch empty":         {"PATCH /topic/a", 400, "malformed", "a JSON body is required", nil},
		"seek empty":          {"POST /groups/g/seek", 400, "malformed", "a JSON body is required", nil},
		"no JSON, no type":    {"POST /topic null", 415, "unsupported_media_type", "no content type is given", nil},
		"broker beyond all":   {"POST /cluster/a/brokers/99999999999999999999/stop", 404, "broker_not_found", "99999999999999999999", nil},
		"patch name":          {`PATCH /topic/a {"name":"b"}`, 400, "unknown_field", "name", nil},
		"list parameter":      {"GET /topic?internal=yes", 400, "invalid_parameter", "internal", nil},
	})
}

func TestReadRefusals(t *testing.T) {
	checkRefusals(t, Options{}, map[string]refusal{
		"poll no topic":        {"GET /events", 400, "missing_field", "topic", nil},
		"poll both":            {`GET /events?topic=a {"topic":"a"}`, 400, "malformed", "exclude", nil},
		"poll topic number":    {`GET /events {"topic":7}`, 400, "malformed", "topic", nil},
		"poll topics empty":    {`GET /events {"topic":[]}`, 400, "invalid_parameter", "topic", nil},
		"poll topics mixed":    {`GET /events {"topic":["a",1]}`, 400, "malformed", "topic", nil},
		"poll bad name":        {`GET /events?topic=a%20b`, 422, "invalid_name", "topic", nil},
		"poll consumer zero":   {`GET /events?topic=a&consumer_id=0`, 400, "invalid_parameter", "consumer_id", nil},
		"poll consumer text":   {`GET /events {"topic":"a","consumer_id":"7"}`, 400, "malformed", "consumer_id", nil},
		"poll max_records":     {`GET /events?topic=a&max_records=10001`, 400, "limit_exceeded", "max_records", nil},
		"poll max_records 0":   {`GET /events?topic=a&max_records=0`, 400, "invalid_parameter", "max_records", nil},
		"poll max_bytes":       {`GET /events?topic=a&max_bytes=16777217`, 400, "limit_exceeded", "max_bytes", nil},
		"poll timeout":         {`GET /events {"topic":"a","timeout_ms":30001}`, 400, "limit_exceeded", "timeout_ms", nil},
		"poll timeout below":   {`GET /events?topic=a&timeout_ms=-1`, 400, "invalid_parameter", "timeout_ms", nil},
		"poll from":            {`GET /events?topic=a&from=middle`, 400, "invalid_parameter", "from", nil},
		"poll auto_commit":     {`GET /events?topic=a&auto_commit=1`, 400, "invalid_parameter", "auto_commit", nil},
		"poll ack":             {`GET /events?topic=a&ack=c`, 400, "invalid_parameter", "auto_commit", nil},
		"poll after":           {`GET /events?topic=a&after=c`, 400, "invalid_parameter", "auto_commit", nil},
		"poll ack and after":   {`GET /events?topic=a&after=c&ack=c&auto_commit=false`, 400, "invalid_parameter", "ack", nil},
		"poll empty ack":       {`GET /events?topic=a&ack=&auto_commit=false`, 400, "invalid_cursor", "ack", nil},
		"poll unknown":         {`GET /events?topic=a&foo=1`, 400, "unknown_parameter", "foo", nil},
		"poll unknown field":   {`GET /events {"topic":"a","foo":1}`, 400, "unknown_field", "foo", nil},
		"poll group twice":     {`GET /events?topic=a&group=a&group=b`, 400, "invalid_parameter", "group", nil},
		"records negative":     {"GET /topic/liked/partitions/0/records?offset=-1", 400, "invalid_parameter", "offset", nil},
		"records both":         {"GET /topic/liked/partitions/0/records?offset=1&timestamp=1", 400, "invalid_parameter", "offset", nil},
		"records no partition": {"GET /topic/liked/partitions/3/records", 404, "partition_not_found", "3", nil},
		"records bad number":   {"GET /topic/liked/partitions/x/records", 400, "invalid_parameter", "partition", nil},
		"records no topic":     {"GET /topic/other/partitions/0/records", 404, "topic_not_found", "other", nil},
		"records limit":        {"GET /topic/liked/partitions/0/records?max_records=999999", 400, "limit_exceeded", "max_records", nil},
		"offset no consumer":   {`POST /offset {}`, 400, "missing_field", "consumer_id", nil},
		"offset negative":      {`POST /offset {"consumer_id":7,"offsets":[{"topic":"a","partition":0,"offset":-1}]}`, 400, "invalid_parameter", "offset", nil},
		"offset no partition":  {`POST /offset {"consumer_id":7,"offsets":[{"topic":"a","offset":1}]}`, 400, "missing_field", "offsets.partition", nil},
		"offset no topic":      {`POST /offset {"consumer_id":7,"offsets":[{"partition":0,"offset":1}]}`, 400, "missing_field", "topic", nil},
		"offset twice":         {`POST /offset {"consumer_id":7,"topic":"a","offsets":[{"partition":0,"offset":1},{"partition":0,"offset":2}]}`, 400, "invalid_parameter", "twice", nil},
		"offset unknown":       {`POST /offset {"consumer_id":7,"offsets":[{"x":1}]}`, 400, "unknown_field", "offsets.x", nil},
		"offset none":          {`POST /offset {"consumer_id":7,"offsets":[]}`, 400, "invalid_parameter", "offsets", nil},
		"offset group":         {`GET /offset?topic=a`, 400, "missing_field", "group", nil},
		"offset no group":      {`GET /offset?group=nobody`, 404, "group_not_found", "nobody", nil},
		"group":                {"GET /groups/nobody", 404, "group_not_found", "nobody", nil},
		"group busy":           {"DELETE /groups/busy", 409, "group_not_empty", "busy", nil},
		"member":               {"DELETE /groups/g/members/x", 400, "invalid_parameter", "consumer_id", nil},
		"seek no topic":        {`POST /groups/g/seek {"to":1}`, 400, "missing_field", "topic", nil},
		"seek to nothing":      {`POST /groups/g/seek {"topic":"a","to":"x"}`, 400, "malformed", "to", nil},
		"seek negative":        {`POST /groups/g/seek {"topic":"a","to":-1}`, 400, "invalid_parameter", "to", nil},
		"seek time":            {`POST /groups/g/seek {"topic":"a","to":{"time":1}}`, 400, "unknown_field", "to.time", nil},
		"view cluster":         {"GET /brokers?cluster=other", 404, "cluster_not_found", "other", nil},
		"health parameter":     {"GET /healthz?x=1", 400, "unknown_parameter", "x", nil},
	})
}

func TestMethodNotAllowed(t *testing.T) {
	h := start(t, Options{})
	for target, c := range map[string]struct{ method, allow string }{
		"/events":        {"DELETE", "GET, OPTIONS, POST"},
		"/cluster":       {"PUT", "GET, HEAD, OPTIONS, POST"},
		"/offset":        {"PATCH", "GET, HEAD, OPTIONS, POST"},
		"/topic/x":       {"POST", "DELETE, GET, HEAD, OPTIONS, PATCH"},
		"/groups/x/seek": {"GET", "OPTIONS, POST"},
	} {
		t.Run(target, func(t *testing.T) {
			a := h.do(c.method, target, "")
			wantError(t, a, 405, "method_not_allowed")
			assert.Equal(t, c.allow, a.header.Get("Allow"))
			a = h.do("OPTIONS", target, "")
			assert.Equal(t, 204, a.status)
			assert.NotEmpty(t, a.header.Get("Allow"))
		})
	}
}

// Every code has the right status, shape and Retry-After.
func TestEveryErrorCode(t *testing.T) {
	h := start(t, Options{})
	for _, code := range protocol.Codes {
		t.Run(code.Name, func(t *testing.T) {
			for _, outcome := range []protocol.Outcome{"", protocol.OutcomeApplied, protocol.OutcomeUnknown} {
				h.b.poll = func(*protocol.PollRequest, <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
					e := protocol.Errorf(code, "a \"message\" <\n>").With("earliest", protocol.Offset(3))
					e.Outcome, e.RetryAfter = outcome, 1500*time.Millisecond
					return nil, e
				}
				a := h.do("GET", "/events?topic=a", "")
				e := wantError(t, a, code.Status(), code.Name)
				want := string(outcome)
				if want == "" {
					want = "none"
				}
				assert.Equal(t, want, e["outcome"])
				assert.EqualValues(t, code.Number, e["error_code"])
				assert.Equal(t, code.Retriable, e["retriable"])
				assert.Equal(t, "a \"message\" <\n>", e["message"])
				assert.Equal(t, map[string]any{"earliest": 3.0}, e["details"])
				retryAfter := map[bool]string{true: "2"}[code.Status() == 429 || code.Status() == 503 || code.Status() == 504]
				assert.Equal(t, retryAfter, a.header.Get("Retry-After"))
			}
		})
	}
}

func TestReadiness(t *testing.T) {
	h := start(t, Options{Version: "1.2"})
	assert.JSONEq(t, `{"status":"ok","version":"1.2"}`, h.do("GET", "/healthz", "").body)
	assert.JSONEq(t, `{"ready":true,"starting":false,"leaderless":[],"degraded":[]}`, h.do("GET", "/readyz", "").body)
	h.b.ready = protocol.Readiness{Leaderless: []protocol.PartitionStatus{{Cluster: "c", Topic: "t", Partition: 1, Reason: "r"}}}
	e := wantError(t, h.do("GET", "/readyz", ""), 503, "no_leader")
	leaderless, err := json.Marshal(e["leaderless"])
	require.NoError(t, err)
	assert.JSONEq(t, `[{"cluster":"c","topic":"t","partition":1,"reason":"r"}]`, string(leaderless))
	h.b.ready = protocol.Readiness{Starting: true}
	wantError(t, h.do("GET", "/readyz", ""), 503, "starting")
}
