package mirror

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/client"
)

// fakeServer has the topic t of one partition, whose records are offsets of the source.
type fakeServer struct {
	start   int64
	records map[int64]int64 // offset of the source by offset; -1: somebody else's
	end     int64
	seqs    map[string]int64 // of the last request, by producer
	created map[string]any
	fail    []error // of the next writes
}

func (f *fakeServer) write(headers map[string]string, body []byte) (json.RawMessage, error) {
	if len(f.fail) > 0 {
		err := f.fail[0]
		f.fail = f.fail[1:]
		if err != nil {
			return nil, err
		}
	}
	seq, _ := strconv.ParseInt(headers["Producer-Seq"], 10, 64)
	if seq < f.seqs[headers["Producer-Id"]] {
		return nil, &client.Error{Status: 409, Code: "stale_sequence"}
	}
	if seq == f.seqs[headers["Producer-Id"]] {
		return json.RawMessage(`{"duplicate":true,"partitions":[{"base_offset":0,"count":0}]}`), nil
	}
	f.seqs[headers["Producer-Id"]] = seq
	var sent struct {
		Records []struct{ Headers json.RawMessage }
	}
	if err := json.Unmarshal(body, &sent); err != nil {
		return nil, err
	}
	base := f.end
	for _, r := range sent.Records {
		f.records[f.end], _ = sourceOffset(r.Headers)
		f.end++
	}
	return json.RawMessage(fmt.Sprintf(`{"partitions":[{"base_offset":%d,"count":%d}]}`, base, len(sent.Records))), nil
}

func (f *fakeServer) DoWith(_ context.Context, method, path string, query url.Values, headers map[string]string, body []byte) (json.RawMessage, error) {
	switch {
	case method == "POST" && path == "/topic":
		return nil, json.Unmarshal(body, &f.created)
	case method == "POST":
		return f.write(headers, body)
	case path == "/topic/t":
		return json.RawMessage(fmt.Sprintf(`{"partitions":[{"earliest":%d,"latest":%d}]}`, f.start, f.end)), nil
	case path == "/topic/none":
		return nil, &client.Error{Status: 404, Code: "topic_not_found"}
	}
	at, _ := strconv.ParseInt(query.Get("offset"), 10, 64)
	limit, _ := strconv.Atoi(query.Get("max_records"))
	var records []string
	for ; at < f.end && len(records) < min(limit, 3); at++ { // small pages
		switch from, ok := f.records[at]; {
		case !ok:
		case from < 0:
			records = append(records, fmt.Sprintf(`{"offset":%d,"headers":{}}`, at))
		default:
			records = append(records, fmt.Sprintf(`{"offset":%d,"headers":{%q:"%d"}}`, at, OffsetHeader, from))
		}
	}
	return json.RawMessage(fmt.Sprintf(`{"records":[%s],"next_offset":%d,"high_watermark":%d,"earliest":%d}`, strings.Join(records, ","), at, f.end, f.start)), nil
}

func newFake(records map[int64]int64, start, end int64) (*fakeServer, *target) {
	f := &fakeServer{start: start, records: records, end: end, seqs: map[string]int64{}}
	return f, &target{Server: f, cluster: "c", patience: time.Second}
}

func TestPositionIsThatOfTheLastRecord(t *testing.T) {
	for name, c := range map[string]struct {
		records    map[int64]int64
		start, end int64
		source     int64
		wrong      string
	}{
		"empty":             {nil, 0, 0, 0, ""},
		"one":               {map[int64]int64{0: 7}, 0, 1, 8, ""},
		"gap at the end":    {map[int64]int64{3: 9, 4: 11}, 0, 900, 12, ""},
		"gap, later start":  {map[int64]int64{203: 9}, 200, 900, 10, ""},
		"somebody else's":   {map[int64]int64{0: 7, 1: -1}, 0, 2, 0, "somebody else"},
		"all removed":       {nil, 5, 5, 0, "delete the topic"},
		"all but the start": {nil, 5, 50, 0, "delete the topic"},
	} {
		_, to := newFake(c.records, c.start, c.end)
		end, source, err := to.position(context.Background(), "t", 0)
		if c.wrong != "" {
			assert.ErrorContains(t, err, c.wrong, name)
			continue
		}
		require.NoError(t, err, name)
		assert.Equal(t, c.end, end, name)
		assert.Equal(t, c.source, source, name)
	}
}

func TestOffsetsAreThoseOfTheFirstCopiedRecord(t *testing.T) {
	records := map[int64]int64{4: 10, 5: 11, 8: 20, 9: 30, 12: 31}
	_, to := newFake(records, 3, 14)
	for source := range int64(40) {
		at, err := to.at(context.Background(), "t", 0, source)
		require.NoError(t, err)
		for offset, copied := range records {
			assert.Equal(t, copied >= source, offset >= at, "offset %d of the source is at %d", source, at)
		}
	}
}

// sender is a copier for a fake, and the records of a source.
func sender(f *fakeServer, to *target) *copier {
	m := &Mirror{o: Options{Cluster: "c"}, target: to, isNew: map[string]bool{}, noted: map[string]bool{}}
	return &copier{Mirror: m, topic: &sourceTopic{name: "t", starts: []int64{0}}, producer: m.producer("t", 0)}
}

func recordsOf(offsets ...int64) (records []*kgo.Record) {
	for _, offset := range offsets {
		records = append(records, &kgo.Record{Offset: offset, Value: []byte("1")})
	}
	return records
}

func send(t *testing.T, c *copier, offsets ...int64) (again bool, err error) {
	t.Helper()
	body, n, err := c.batch(recordsOf(offsets...))
	require.NoError(t, err)
	require.Equal(t, len(offsets), n)
	return c.send(context.Background(), body, n, offsets[n-1])
}

// A request of a mirror that was killed may arrive before or after the first one of its
// successor, which saw the same position, and may have got other records since.
func TestALateRequestIsNotWrittenTwice(t *testing.T) {
	ctx := context.Background()
	for _, lateFirst := range []bool{true, false} {
		f, to := newFake(map[int64]int64{}, 0, 0)
		killed, next := sender(f, to), sender(f, to)
		require.NoError(t, killed.find(ctx))
		_, err := send(t, killed, 5, 6)
		require.NoError(t, err)
		require.NoError(t, next.find(ctx))
		killed.at = 9 // it has read markers of transactions
		late := func() {
			again, err := send(t, killed, 9, 10)
			require.NoError(t, err)
			assert.Equal(t, !lateFirst, again)
		}
		if lateFirst {
			late()
		}
		again, err := send(t, next, 9, 10, 11)
		require.NoError(t, err)
		assert.Equal(t, lateFirst, again)
		if lateFirst {
			assert.EqualValues(t, 11, next.at, "it goes on behind what has come late")
			_, err := send(t, next, 11)
			require.NoError(t, err)
		} else {
			late()
		}
		assert.Equal(t, map[int64]int64{0: 5, 1: 6, 2: 9, 3: 10, 4: 11}, f.records)
	}
}

func TestSendNoticesOthers(t *testing.T) {
	f, to := newFake(map[int64]int64{}, 0, 0)
	c := sender(f, to)
	require.NoError(t, c.find(context.Background()))
	f.fail = []error{&client.TransportError{Err: context.DeadlineExceeded}}
	_, err := send(t, c, 1)
	require.NoError(t, err, "it is sent again")
	f.records[1], f.end = -1, 2
	_, err = send(t, c, 2)
	require.ErrorIs(t, err, errSomebodyElse)
	f.fail = []error{&client.Error{Status: 422, Code: "record_too_large"}}
	_, err = send(t, c, 3)
	require.ErrorContains(t, err, "of the source")
	assert.EqualValues(t, 1, c.records.Load())
}

func TestSettingsAreTakenOver(t *testing.T) {
	for _, c := range []struct{ have, want map[string]any }{
		{map[string]any{"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1", "max.message.bytes": kafkaMessageBytes}, map[string]any{"cleanup_policy": "delete", "retention_ms": 604800000.0, "retention_bytes": -1.0}},
		{map[string]any{"cleanup.policy": "compact,delete", "delete.retention.ms": "5", "max.message.bytes": "99999999"}, map[string]any{"cleanup_policy": "compact", "delete_retention_ms": 5.0, "max_record_bytes": float64(16 << 20)}},
		{map[string]any{"retention.ms": "-2", "retention.bytes": "many"}, map[string]any{}},
	} {
		f, to := newFake(nil, 0, 0)
		topic := &sourceTopic{name: "t", leaders: []int32{1, 2}, config: map[string]string{}}
		for name, value := range c.have {
			topic.config[name] = value.(string)
		}
		m := sender(f, to).Mirror
		require.NoError(t, m.create(context.Background(), topic))
		for name, want := range map[string]any{"name": "t", "cluster": "c", "partitions": 2.0} {
			assert.Equal(t, want, f.created[name])
			delete(f.created, name)
		}
		assert.Equal(t, c.want, f.created)
	}
}

// Whatever the bytes of a record are, the request is JSON, and its header is found again in
// either form.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("k"), []byte(`{"a":1}`), "h", []byte("v"), int64(0))
	f.Add([]byte{0xff}, []byte("null"), OffsetHeader, []byte{0xff}, int64(1<<53))
	f.Add([]byte(nil), []byte(`[ 1]`), "h", []byte(nil), int64(12))
	f.Fuzz(func(t *testing.T, key, value []byte, name string, header []byte, offset int64) {
		offset &= 1<<62 - 1
		for n := range 3 {
			r := &kgo.Record{Key: key, Value: value, Offset: offset, Timestamp: time.UnixMilli(offset % 1e12)}
			for range n {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: header})
			}
			text, err := appendRecord(nil, r)
			if err != nil {
				continue
			}
			var sent struct{ Headers json.RawMessage }
			require.NoError(t, json.Unmarshal(text, &sent), string(text))
			got, ok := sourceOffset(sent.Headers)
			require.True(t, ok, string(text))
			require.Equal(t, offset, got)
		}
	})
}

func TestHeadersThatAreNone(t *testing.T) {
	for _, text := range []string{"", "7", `{}`, `{"` + OffsetHeader + `":"-1"}`, `{"` + OffsetHeader + `":"x"}`, `[["` + OffsetHeader + `",null]]`, `[["a"],[1,2],["` + OffsetHeader + `",{"b64":"/w=="}]]`} {
		_, ok := sourceOffset(json.RawMessage(text))
		assert.False(t, ok, text)
	}
	_, err := appendRecord(nil, &kgo.Record{Headers: []kgo.RecordHeader{{Key: "\xff"}}})
	require.ErrorContains(t, err, "not UTF-8")
}
