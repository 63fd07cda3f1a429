package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// answeringWith is a client whose server gives that answer to every request.
func answeringWith(t *testing.T, status int, answer []byte) *Client {
	t.Helper()
	c, err := New("http://ottla", WithHTTPClient(&http.Client{Transport: canned{status, answer}}))
	require.NoError(t, err)
	return c
}

type canned struct {
	status int
	body   []byte
}

func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: c.status, Status: strconv.Itoa(c.status) + " x", Header: http.Header{},
		Body: io.NopCloser(bytes.NewReader(c.body)),
	}, nil
}

// plainMessage is a record of an answer as the standard library reads it.
type plainMessage struct {
	Topic       string
	Partition   int
	Offset      int64
	Timestamp   int64
	Key         json.RawMessage
	KeyText     *string `json:"key_text"`
	KeyBase64   *[]byte `json:"key_base64"`
	Value       json.RawMessage
	ValueText   *string `json:"value_text"`
	ValueBase64 *[]byte `json:"value_base64"`
	Headers     map[string]string
}

// FuzzAnswers: for any answer, the client returns an error or what the standard
// library decodes.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		`{"consumer_id":7,"group":"g","generation":2,"records":[{"topic":"t","partition":1,"offset":5,"timestamp":1790000000123,` +
			`"key":"a","value":{"x":1.50},"headers":{"h":"v"}}],"cursor":"abc","timed_out":false}`,
		`{"records":[{"topic":"t","partition":0,"offset":6,"timestamp":0,"key_text":"t\"x","value_base64":"AP8=","headers":{}},` +
			`{"topic":"t","partition":0,"offset":7,"timestamp":0,"key":null,"value":null,"headers":{}}],"next_offset":8,"high_watermark":9,"earliest":2}`,
		`{"records":[{"topic":"\\\\"},{"topic":"\\"}]}`, `{"records":[{"key_base64":"AP8=","key_text":"\u0041","offset":4611686018427387903}]}`,
		`{"records":[{"value_base64":"\/\/8="}],"cursor":null}`, `{"records":[]}`, `[]`, `{"records":null}`, `{"consumer_id":1.0}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		c := answeringWith(t, http.StatusOK, answer)
		polled, pollErr := c.Poll(context.Background(), PollRequest{Topics: []string{"t"}})
		fetched, fetchErr := c.Fetch(context.Background(), "t", 0, FetchOptions{})
		if pollErr == nil || fetchErr == nil {
			require.True(t, json.Valid(answer))
		}
		if repeats(answer) {
			return // what counts then is nobody's to say
		}
		var want struct {
			ConsumerID    int64 `json:"consumer_id"`
			Group, Cursor string
			Generation    int64
			Records       []plainMessage
			TimedOut      bool  `json:"timed_out"`
			NextOffset    int64 `json:"next_offset"`
			HighWatermark int64 `json:"high_watermark"`
			Earliest      int64
		}
		if json.Unmarshal(answer, &want) != nil {
			return
		}
		if pollErr == nil {
			require.Equal(t, []any{want.ConsumerID, want.Group, want.Cursor, want.Generation, want.TimedOut},
				[]any{polled.ConsumerID, polled.Group, polled.Cursor, polled.Generation, polled.TimedOut})
			checkMessages(t, want.Records, polled.Messages)
		}
		if fetchErr == nil {
			require.Equal(t, []int64{want.NextOffset, want.HighWatermark, want.Earliest},
				[]int64{fetched.NextOffset, fetched.HighWatermark, fetched.Earliest})
			checkMessages(t, want.Records, fetched.Messages)
		}
	})
}

// repeats reports whether an object of a JSON text has a field twice, also if the
// names differ in case only, which is the same to the standard library.
func repeats(text []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(text))
	type object struct {
		seen  map[string]bool
		value bool // comes next
	}
	var open []object
	for {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		if n := len(open) - 1; n >= 0 && open[n].seen != nil {
			if name, ok := token.(string); ok && !open[n].value {
				folded := string(bytes.ToLower([]byte(name)))
				if open[n].seen[folded] || folded != name || !utf8.ValidString(name) || len(name) != len([]rune(name)) {
					return true
				}
				open[n].seen[folded], open[n].value = true, true
				continue
			}
			open[n].value = false
		}
		switch token {
		case json.Delim('{'):
			open = append(open, object{seen: map[string]bool{}})
		case json.Delim('['):
			open = append(open, object{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
	}
}

func checkMessages(t *testing.T, want []plainMessage, got []Message) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		w, m := &want[i], &got[i]
		require.Equal(t, []any{w.Topic, w.Partition, w.Offset}, []any{m.Topic, m.Partition, m.Offset})
		if len(w.Headers) > 0 || len(m.Headers) > 0 {
			require.Equal(t, w.Headers, m.Headers)
		}
		checkData(t, w.Key, w.KeyText, w.KeyBase64, m.Key)
		checkData(t, w.Value, w.ValueText, w.ValueBase64, m.Value)
	}
}

func checkData(t *testing.T, raw json.RawMessage, text *string, content *[]byte, d Data) {
	t.Helper()
	forms := 0
	for _, there := range []bool{len(raw) > 0, text != nil, content != nil} {
		if there {
			forms++
		}
	}
	switch {
	case forms > 1: // no server of ours says that
	case text != nil:
		require.Equal(t, Text, d.Kind())
		require.Equal(t, *text, string(d.Bytes()))
		require.Equal(t, *text, d.String())
	case content != nil:
		require.Equal(t, Bytes, d.Kind())
		require.True(t, bytes.Equal(*content, d.Bytes()))
	case len(raw) == 0 || string(raw) == "null":
		require.True(t, d.IsNull())
	default:
		require.Equal(t, JSON, d.Kind())
		require.Equal(t, string(raw), string(d.Bytes()))
		var s string
		if json.Unmarshal(raw, &s) == nil {
			require.Equal(t, s, d.String())
		}
	}
}

// FuzzProduceAnswers: a batch counts as committed only if its answer says so and
// has the offset of every record, and no answer makes the client wait forever or
// retry without a pause.
func FuzzProduceAnswers(f *testing.F) {
	for _, s := range []string{
		`{"topic":"t","committed":true,"count":2,"partitions":[{"partition":0,"base_offset":4,"count":2}],` +
			`"offsets":[{"partition":0,"offset":4},{"partition":0,"offset":5}]}`,
		`{"topic":"t","committed":false,"count":1,"partitions":[{"partition":0,"count":1,"error":{"error_code":50302,"code":"no_leader",` +
			`"message":"m","retriable":true,"outcome":"none","request_id":"r"}}],"offsets":[{"partition":0,"offset":null},{"partition":1,"offset":2}]}`,
		`{"error_code":42901,"code":"too_many_requests","message":"m","retriable":true,"outcome":"none","request_id":"r","details":{"limit":1}}`,
		`{"committed":true,"duplicate":true}`, `{"partitions":[{"error":null}]}`, `<html>502</html>`, `{"code":1}`,
	} {
		f.Add(200, "", []byte(s))
		f.Add(503, "1", []byte(s))
		f.Add(429, "9999999999999", []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, after string, answer []byte) {
		if status < 200 || status > 599 {
			return
		}
		w := &wire{client: answeringWith(t, status, answer), headers: map[string]string{}}
		b := &batch{acks: true, lines: make([]line, 2)}
		r, err := w.begin(b)
		require.NoError(t, err)
		p, err := w.post(context.Background(), r, b)
		if p == nil && err == nil {
			var said struct{ Committed bool }
			require.True(t, repeats(answer) || json.Unmarshal(answer, &said) == nil && said.Committed && status < 300)
			require.Len(t, w.acks, 2)
		}
		e := decodeError(&http.Response{StatusCode: status, Header: http.Header{"Retry-After": {after}}}, answer)
		require.NotEmpty(t, e.Code)
		if n, err := strconv.Atoi(after); err == nil && n > 0 {
			require.Equal(t, min(n, maxRetryAfter), int(e.RetryAfter/time.Second))
		}
	})
}

// FuzzRecord: an encoded record decodes to what it was made of.
func FuzzRecord(f *testing.F) {
	f.Add(byte(0), []byte(`{"x": 1.50}`), []byte("v"), "h", "v", int64(0), 3)
	f.Add(byte(1), []byte("a\nb"), []byte("\xff"), "", "\u2028", int64(1790000000123), -1)
	f.Add(byte(7), []byte("\xff"), []byte(nil), "\xff", "\x00", int64(-5), 0)
	f.Fuzz(func(t *testing.T, kinds byte, key, v []byte, header, content string, ts int64, partition int) {
		r := Record{Key: dataOf(kinds, key), Value: dataOf(kinds>>2, v), Headers: map[string]string{header: content}}
		if partition >= 0 {
			r.Partition = &partition
		}
		if ts >= 0 {
			r.Timestamp = time.UnixMilli(ts)
		}
		line, _, err := r.appendLine(nil)
		if err != nil {
			return
		}
		require.Equal(t, 1, bytes.Count(line, []byte("\n")))
		d := decoder{r: protocol.NewJSONReader(line)}
		var m Message
		d.message(&m)
		require.NoError(t, d.end(), "%s", line)
		same := func(sent, got Data) {
			require.Equal(t, sent.Kind(), got.Kind(), "%s", line)
			if want := sent.Bytes(); sent.Kind() == JSON {
				var compact bytes.Buffer
				require.NoError(t, json.Compact(&compact, want))
				require.Equal(t, compact.String(), string(got.Bytes()))
			} else {
				require.True(t, bytes.Equal(want, got.Bytes()), "%s", line)
			}
		}
		same(r.Key, m.Key)
		same(r.Value, m.Value)
		if utf8.ValidString(header) && utf8.ValidString(content) {
			require.Equal(t, r.Headers, m.Headers)
		}
		if partition >= 0 {
			require.Equal(t, partition, m.Partition)
		}
		if ts >= 0 {
			require.Equal(t, ts, m.Timestamp.UnixMilli())
		}
	})
}

// dataOf is data of one of the kinds.
func dataOf(kind byte, content []byte) Data {
	switch kind & 3 {
	case 0:
		return JSONData(content)
	case 1:
		return StringData(string(content))
	case 2:
		return TextData(string(content))
	}
	return BytesData(content)
}
