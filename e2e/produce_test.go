package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// murmur2 is the hash of Kafka's Java client, written from its definition and
// held against the values of Kafka's own tests.
func murmur2(data []byte) int32 {
	const m = uint32(0x5bd1e995)
	h := uint32(0x9747b28c) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> 24
		h = h*m ^ k*m
	}
	for i := len(data) - 1; i >= 0; i-- {
		h ^= uint32(data[i]) << (8 * i)
		if i == 0 {
			h *= m
		}
	}
	h ^= h >> 13
	h *= m
	return int32(h ^ h>>15)
}

// partitionOf is where Kafka's Java client puts a key.
func partitionOf(key string, partitions int) int {
	return int(murmur2([]byte(key))&0x7fffffff) % partitions
}

func TestMurmur2OfThisTest(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		assert.Equal(t, want, murmur2([]byte(key)), key)
	}
}

func TestPlacement(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("keyed", 7)
	s.topic("spread", 3)

	s.run("a key keeps the partition that Kafka gives it", func(t *testing.T) {
		keys := []struct{ json, hashed string }{
			{`"21"`, "21"},
			{`"foobar"`, "foobar"},
			{`"caf\u00e9"`, "café"}, // the content of the string, not its spelling
			{`"café"`, "café"},
			{`12.50`, "12.50"},
			{`{ "a" : [1, 2] }`, `{"a":[1,2]}`},
			{`""`, ""},
			{`false`, "false"},
		}
		for _, k := range keys {
			for range 3 {
				p := s.produce("keyed", object{"key": json.RawMessage(k.json), "value": 1})
				assert.Equal(t, partitionOf(k.hashed, 7), p.Partition, k.json)
			}
		}
	})
	s.run("no key is round-robin, exactly even", func(t *testing.T) {
		count := map[int]int{}
		for i := range 30 {
			count[s.produce("spread", object{"value": i}).Partition]++
		}
		assert.Equal(t, map[int]int{0: 10, 1: 10, 2: 10}, count)
		var b batchResult
		records := make([]object, 30)
		for i := range records {
			records[i] = object{"value": i, "key": nil}
		}
		s.post("/events", object{"topic": "spread", "records": records}).want(http.StatusOK).as(&b)
		require.Len(t, b.Partitions, 3)
		for _, p := range b.Partitions {
			assert.Equal(t, 10, p.Count)
		}
	})
	s.run("an explicit partition wins", func(t *testing.T) {
		for p := range 7 {
			assert.Equal(t, p, s.produce("keyed", object{"key": "same", "value": 1, "partition": p}).Partition)
		}
	})
}

func TestBatch(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("b", 3)
	var records []object
	for i := range 90 {
		records = append(records, object{"key": fmt.Sprintf("k%d", i%9), "value": i})
	}
	var b batchResult
	s.post("/events?offsets=true", object{"topic": "b", "records": records}).want(http.StatusOK).as(&b)
	assert.True(t, b.Committed)
	assert.Equal(t, 90, b.Count)
	require.Len(t, b.Offsets, 90)
	total := 0
	for _, p := range b.Partitions {
		total += p.Count
		assert.Zero(t, p.BaseOffset)
	}
	assert.Equal(t, 90, total)

	stored := map[int][]record{}
	for p := range 3 {
		stored[p] = s.readPartition("b", p)
	}
	last := map[int]int64{0: -1, 1: -1, 2: -1}
	for i, at := range b.Offsets {
		require.Equal(t, fmt.Sprint(i), string(stored[at.Partition][at.Offset].Value), "record %d is where the answer says", i)
		assert.Equal(t, last[at.Partition]+1, at.Offset, "order within a partition is the request's")
		last[at.Partition] = at.Offset
		assert.Equal(t, partitionOf(fmt.Sprintf("k%d", i%9), 3), at.Partition)
	}

	s.run("is validated whole before anything is appended", func(t *testing.T) {
		s.post("/events", object{"topic": "b", "records": []object{{"value": 1, "partition": 0}, {"value": 2, "partition": 99}}}).
			wantError(http.StatusUnprocessableEntity, "unknown_partition")
		s.post("/events", `{"topic":"b","records":[{"value":1},{"value":2,"nope":3}]}`).wantError(http.StatusBadRequest, "unknown_field")
		for p := range 3 {
			assert.Equal(t, int64(len(stored[p])), s.fetch("b", p, 0, "").HighWatermark)
		}
	})
	s.run("without records is refused", func(t *testing.T) {
		s.post("/events", `{"topic":"b","records":[]}`).wantError(http.StatusUnprocessableEntity, "empty_batch")
	})
}

func TestOtherBodies(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("one", 1)
	offset := int64(0)
	next := func() record {
		t.Helper()
		f := s.fetch("one", 0, offset, "")
		require.Len(t, f.Records, 1)
		offset = f.NextOffset
		return f.Records[0]
	}
	s.run("NDJSON", func(t *testing.T) {
		var b batchResult
		s.post("/events?topic=one", "{\"key\":\"a\",\"value\":1}\n\n{\"value\":{\"b\":2},\"headers\":{\"h\":\"x\"}}",
			"Content-Type", "application/x-ndjson").want(http.StatusOK).as(&b)
		assert.Equal(t, 2, b.Count)
		f := s.fetch("one", 0, 0, "")
		assert.Equal(t, []string{"1", `{"b":2}`}, values(f.Records))
		assert.Equal(t, map[string]string{"h": "x"}, f.Records[1].Headers)
		offset = f.NextOffset
	})
	s.run("raw bytes", func(t *testing.T) {
		s.post("/events?topic=one&key=k&partition=0&timestamp=1700000000123", []byte{0xff, 0, '\n', '#'},
			"Content-Type", "application/octet-stream").want(http.StatusOK)
		r := next()
		require.NotNil(t, r.ValueBase64)
		assert.Equal(t, "/wAKIw==", *r.ValueBase64)
		assert.Equal(t, `"k"`, string(r.Key))
		assert.Equal(t, int64(1700000000123), r.Timestamp)
	})
	s.run("raw text is never read as JSON", func(t *testing.T) {
		s.post("/events?topic=one", "{\"a\": 1}\n", "Content-Type", "text/plain").want(http.StatusOK)
		r := next()
		require.NotNil(t, r.ValueText)
		assert.Equal(t, "{\"a\": 1}\n", *r.ValueText)
	})
	s.run("a body without a content type, or with curl's, is JSON", func(t *testing.T) {
		for _, contentType := range []string{"", "application/x-www-form-urlencoded", "application/json; charset=utf-8"} {
			s.post("/events", `  {"topic":"one","value":"v"}`, "Content-Type", contentType).want(http.StatusOK)
			assert.Equal(t, `"v"`, string(next().Value))
		}
	})
	s.run("compressed both ways", func(t *testing.T) {
		big := strings.Repeat("a", 20_000)
		plain := fmt.Appendf(nil, `{"topic":"one","value":"%s"}`, big)
		var gz bytes.Buffer
		w := gzip.NewWriter(&gz)
		_, err := w.Write(plain)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		zenc, err := zstd.NewWriter(nil)
		require.NoError(t, err)
		for encoding, body := range map[string][]byte{"gzip": gz.Bytes(), "zstd": zenc.EncodeAll(plain, nil)} {
			s.post("/events", body, "Content-Encoding", encoding).want(http.StatusOK)
			a := s.get(fmt.Sprintf("/topic/one/partitions/0/records?offset=%d", offset), "Accept-Encoding", encoding).want(http.StatusOK)
			require.Equal(t, encoding, a.header.Get("Content-Encoding"))
			assert.Less(t, len(a.body), 2000)
			a.body = decompress(t, encoding, a.body)
			var f fetched
			a.as(&f)
			require.Len(t, f.Records, 1)
			assert.Equal(t, `"`+big+`"`, string(f.Records[0].Value))
			offset = f.NextOffset
		}
		s.post("/events", plain, "Content-Encoding", "br").wantError(http.StatusUnsupportedMediaType, "unsupported_media_type")
		s.post("/events", "not gzip", "Content-Encoding", "gzip").wantError(http.StatusBadRequest, "")
	})
	s.run("acks=none", func(t *testing.T) {
		a := s.post("/events?acks=none", `{"topic":"one","value":"later"}`).want(http.StatusAccepted).object()
		assert.Equal(t, map[string]any{"topic": "one", "committed": false}, a)
		f := s.fetch("one", 0, offset, "&timeout_ms=10000")
		assert.Equal(t, []string{`"later"`}, values(f.Records))
		offset = f.NextOffset
	})
}

func decompress(t *testing.T, encoding string, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if encoding == "gzip" {
		r, err := gzip.NewReader(bytes.NewReader(data))
		require.NoError(t, err)
		_, err = out.ReadFrom(r)
		require.NoError(t, err)
		return out.Bytes()
	}
	r, err := zstd.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	defer r.Close()
	_, err = out.ReadFrom(r)
	require.NoError(t, err)
	return out.Bytes()
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("r", 1)
	before := time.Now().UnixMilli()
	rows := []struct{ name, sent, key, value, headers string }{
		{"compacted JSON", `"key":{ "b": 1, "a": [ ] },"value": [1, 2 ]`, `{"b":1,"a":[]}`, `[1,2]`, `{}`},
		{
			"numbers digit for digit", `"value":{"n":1.0,"e":1E400,"big":123456789012345678901234567890.10}`,
			`null`, `{"n":1.0,"e":1E400,"big":123456789012345678901234567890.10}`, `{}`,
		},
		{"line breaks and NUL", `"key":"a\nb","value":"c\r\n\u0000\u2028#f 1 2 3"`, `"a\nb"`, `"c\r\n\u0000\u2028#f 1 2 3"`, `{}`},
		{
			"a forged log line", `"value":"x\n2026-11-22 17:16:03.123 r 0 0 - 1 PRODUCE"`, `null`,
			`"x\n2026-11-22 17:16:03.123 r 0 0 - 1 PRODUCE"`, `{}`,
		},
		{"white space in strings", `"key":" a  b ","value":"\t "`, `" a  b "`, `"\t "`, `{}`},
		{"null and nothing", `"key":null,"value":null`, `null`, `null`, `{}`},
		{"what stands for null in the log", `"key":"-","value":"-"`, `"-"`, `"-"`, `{}`},
		{"headers", `"value":1,"headers":{"a":"1","b c":"\"\n"}`, `null`, `1`, `{"a":"1","b c":"\"\n"}`},
		{"duplicate names in a value", `"value":{"a":1,"a":2}`, `null`, `{"a":1,"a":2}`, `{}`},
		{"text outside of ASCII", `"value":"😀 ümläut \ud83d\ude00"`, `null`, `"😀 ümläut \ud83d\ude00"`, `{}`},
		{"text", `"key_text":"{\"a\": 1}","value_text":"x\ny"`, `"{\"a\": 1}"`, `"x\ny"`, `{}`},
		{"bytes", `"key_base64":"AP8=","value_base64":"/w=="`, `"AP8="`, `"/w=="`, `{}`},
	}
	for i, row := range rows {
		s.run(row.name, func(t *testing.T) {
			s.post("/events", `{"topic":"r",`+row.sent+`}`).want(http.StatusOK)
			a := s.get(fmt.Sprintf("/topic/r/partitions/0/records?offset=%d", i)).want(http.StatusOK)
			var raw struct {
				Records []map[string]json.RawMessage `json:"records"`
			}
			a.as(&raw)
			require.Len(t, raw.Records, 1)
			got := raw.Records[0]
			key, value := "key", "value"
			switch {
			case strings.Contains(row.sent, "value_text"):
				key, value = "key_text", "value_text"
			case strings.Contains(row.sent, "value_base64"):
				key, value = "key_base64", "value_base64"
			}
			assert.Equal(t, row.key, string(got[key]))
			assert.Equal(t, row.value, string(got[value]))
			assert.JSONEq(t, row.headers, string(got["headers"]))
			assert.Len(t, got, 7, "topic, partition, offset, timestamp, key, value, headers")
			var ts int64
			require.NoError(t, json.Unmarshal(got["timestamp"], &ts))
			assert.GreaterOrEqual(t, ts, before)
		})
	}
	s.run("the producer's timestamp", func(t *testing.T) {
		p := s.produce("r", object{"value": 1, "timestamp": 1})
		assert.Equal(t, int64(1), p.Timestamp)
		assert.Equal(t, int64(1), s.fetch("r", 0, p.Offset, "").Records[0].Timestamp)
	})
	s.kill()
	s.again()
	assert.Len(t, s.readPartition("r", 0), len(rows)+1)
}
