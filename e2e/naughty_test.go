package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// payload is what somebody stores as key and value: compact JSON, which must
// come back as it is, or bytes of any kind.
type payload struct {
	name    string
	json    bool
	content string
}

// maxDepth is how deep the arrays and objects of a value may nest.
const maxDepth = 128

func naughtyPayloads() []payload {
	deepest := strings.Repeat(`{"a":[`, maxDepth/2) + strings.Repeat(`]}`, maxDepth/2)
	frame := "#f 1 2 3 records 0 1 17 2026-11-22T17:16:03.123Z 0badcafe 5 0badcafe"
	line := "2026-11-22 17:16:03.123 naughty 0 0 - 1 PRODUCE"
	return []payload{
		{"line break", false, "a\nb\r\nc\n"},
		{"a frame of the log", false, "x\n" + frame + "\n" + line + "\n"},
		{"a frame first", false, frame},
		{"a line of the log", false, line},
		{"a hash", false, "#"},
		{"a hash in JSON", true, `"# h\n#s 9"`},
		{"NUL", false, "\x00"},
		{"NUL in JSON", true, `"\u0000"`},
		{"every control character", false, "\x01\x02\x07\b\t\v\f\x0e\x1b\x7f\u0085"},
		{"invalid UTF-8", false, "\xff\xfe\x80 \xc3\x28"},
		{"overlong UTF-8", false, "\xc0\xaf\xe0\x80\xaf"},
		{"a surrogate in UTF-8", false, "\xed\xa0\x80"},
		{"truncated UTF-8", false, "abc\xe2\x82"},
		{"every byte", false, everyByte()},
		{"byte order mark", false, "\ufeff{\"a\":1}"},
		{"byte order mark in JSON", true, "\"\ufeff\""},
		{"line and paragraph separators", true, "\"\u2028\u2029\\u2028\""},
		{"line separators as text", false, "\u2028\u2029\u0085"},
		{"surrogate pair, escaped", true, `"\ud83d\ude00"`},
		{"surrogate pair, lower and upper", true, `"\uD83D\uDe00"`},
		{"all escapes", true, `"\"\\\/\b\f\n\r\t\u0041"`},
		{"nothing escaped that need not be", true, `"</script><!--&'"`},
		{"right to left, joiners, emoji", true, "\"\u202eabc\u200d👩‍👩‍👧\""},
		{"duplicate names", true, `{"a":1,"a":2,"\u0061":3}`},
		{"empty names", true, `{"":{"":[{}]}}`},
		{"names that mean something elsewhere", true, `{"__proto__":1,"topic":"x","key":null,"value_base64":"!"}`},
		{"null inside", true, `[null,{"a":null}]`},
		{"null as text", false, "null"},
		{"a dash", false, "-"},
		{"a dash in JSON", true, `"-"`},
		{"a text token", false, `t"x"`},
		{"a bytes token", false, `b"AA=="`},
		{"a token in JSON", true, `"b\"AA==\""`},
		{"empty", false, ""},
		{"empty string", true, `""`},
		{"white space", false, " \t\r\n "},
		{"JSON with white space", false, "{ \"a\" : 1 }"},
		{"half of JSON", false, `{"a":`},
		{"NaN", false, "NaN"},
		{"zero", true, "0"},
		{"minus zero", true, "-0"},
		{"minus zero point", true, "-0.0e-0"},
		{"more than 64 bits", true, "123456789012345678901234567890123456789012345678901234567890"},
		{"long number", true, "1" + strings.Repeat("0", 500) + "." + strings.Repeat("9", 490) + "E+9999999"},
		// Values are any JSON and come back digit for digit; see docs/write-a-consumer.md.
		{"beyond a double", true, "[1e400,-1E-400,1.7976931348623159e308,4.9e-325]"},
		{"trailing zeros", true, "[1.0,1.50,100,1e00]"},
		{"true", true, "true"},
		{"a percent sign", false, "%00%n%s%0a"},
		{"quotes and backslashes", false, `\"'\\` + "`"},
		{"deepest", true, deepest},
		{"long", true, `"` + strings.Repeat("x", 400<<10) + `"`},
		{"long and no text", false, strings.Repeat("\xff\x00", 150<<10)},
		{"server-sent event", false, "data: x\n\nevent: error\nid: 1\n\n"},
		{"HTTP", false, "0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	}
}

func everyByte() string {
	var b [256]byte
	for i := range b {
		b[i] = byte(i)
	}
	return string(b[:])
}

// field is the payload as a field of a record, under the name for its kind.
func (p payload) field(name string) string {
	switch {
	case p.json:
		return fmt.Sprintf("%q:%s", name, p.content)
	case utf8.ValidString(p.content):
		text, _ := json.Marshal(p.content) // strings can always be
		return fmt.Sprintf(`"%s_text":%s`, name, text)
	}
	return fmt.Sprintf(`"%s_base64":%q`, name, base64.StdEncoding.EncodeToString([]byte(p.content)))
}

// record has the payload as key, as value and, where it is text, as header.
func (p payload) record() string {
	headers := "{}"
	if !p.json && utf8.ValidString(p.content) && len(p.content) <= 256 {
		text, _ := json.Marshal(p.content)
		headers = fmt.Sprintf(`{"h":%s,%s:"x"}`, text, text)
		if p.content == "h" { // no name is given twice
			headers = `{"h":"h"}`
		}
	}
	return "{" + p.field("key") + "," + p.field("value") + `,"headers":` + headers + "}"
}

// wayIn sends a payload, and says whether it can take it at all.
type wayIn struct {
	name  string
	takes func(p payload) bool
	send  func(s *server, topic string, all []payload)
}

func always(payload) bool { return true }

var waysIn = []wayIn{
	{"single", always, func(s *server, topic string, all []payload) {
		for _, p := range all {
			s.post("/events", `{"topic":"`+topic+`",`+p.record()[1:]).want(http.StatusOK)
		}
	}},
	{"batch", always, func(s *server, topic string, all []payload) {
		s.post("/events", `{"topic":"`+topic+`","records":[`+join(all, " ,\n")+`]}`).want(http.StatusOK)
	}},
	{"ndjson", always, func(s *server, topic string, all []payload) {
		s.post("/events?topic="+topic, join(all, "\r\n"), "Content-Type", "application/x-ndjson").want(http.StatusOK)
	}},
	{"client", always, sendWithClient},
	{"producer", always, sendWithProducer},
	{"raw", func(p payload) bool {
		return !p.json && utf8.ValidString(p.content) && len(p.content) < 1000 // the key is in the address
	}, func(s *server, topic string, all []payload) {
		for i, p := range all {
			media := []string{"application/octet-stream", "text/plain"}[i%2]
			s.post("/events?topic="+topic+"&key="+url.QueryEscape(p.content), p.content, "Content-Type", media).want(http.StatusOK)
		}
	}},
	{"raw-value", always, func(s *server, topic string, all []payload) {
		for _, p := range all {
			s.post("/events?topic="+topic, p.content, "Content-Type", "application/octet-stream").want(http.StatusOK)
		}
	}},
	{"command", func(p payload) bool {
		return !strings.Contains(p.content, "\n") && (p.json || !utf8.ValidString(p.content)) // a line that is text becomes a JSON string
	}, func(s *server, topic string, all []payload) {
		var lines strings.Builder
		for _, p := range all {
			lines.WriteString(p.content + "\n")
		}
		s.must(lines.String(), "produce", topic)
	}},
}

func join(all []payload, separator string) string {
	var records []string
	for _, p := range all {
		records = append(records, p.record())
	}
	return strings.Join(records, separator)
}

// cameBack is a record as some answer has it.
type cameBack map[string]json.RawMessage

// content is the key or the value as the bytes that were stored, nil for null.
func (r cameBack) content(t *testing.T, name string) []byte {
	t.Helper()
	if raw, ok := r[name+"_text"]; ok {
		var s string
		require.NoError(t, json.Unmarshal(raw, &s))
		return []byte(s)
	}
	if raw, ok := r[name+"_base64"]; ok {
		var b []byte
		require.NoError(t, json.Unmarshal(raw, &b))
		return b
	}
	require.Contains(t, r, name)
	if string(r[name]) == "null" {
		return nil
	}
	return r[name]
}

func parseRecord(t *testing.T, text []byte) cameBack {
	t.Helper()
	var r cameBack
	require.NoError(t, json.Unmarshal(text, &r), "%.300q", text)
	return r
}

var waysOut = map[string]func(s *server, topic string, n int) []cameBack{
	"client":   fetchWithClient,
	"consumer": consumeWithClient,
	"fetch": func(s *server, topic string, n int) (got []cameBack) {
		for len(got) < n {
			var a struct{ Records []cameBack }
			s.get(fmt.Sprintf("/topic/%s/partitions/0/records?offset=%d&max_bytes=300000", topic, len(got))).
				want(http.StatusOK).loosely(&a)
			require.NotEmpty(s.t, a.Records)
			got = append(got, a.Records...)
		}
		return got
	},
	"poll": func(s *server, topic string, n int) (got []cameBack) {
		path := "/events?topic=" + topic + "&group=poll-" + topic + "&auto_commit=false&max_records=7&timeout_ms=20000"
		next := ""
		for len(got) < n {
			var a struct {
				Records    []cameBack
				Cursor     string
				ConsumerID int64 `json:"consumer_id"`
			}
			s.get(path + next).want(http.StatusOK).loosely(&a)
			require.NotEmpty(s.t, a.Records)
			got = append(got, a.Records...)
			next = fmt.Sprintf("&ack=%s&consumer_id=%d", url.QueryEscape(a.Cursor), a.ConsumerID)
		}
		return got
	},
	"events": func(s *server, topic string, n int) (got []cameBack) {
		in, _, end := s.stream("text/event-stream", "/events?topic="+topic+"&group=sse-"+topic)
		defer end()
		in.Buffer(nil, 4<<20)
		for range n {
			got = append(got, parseRecord(s.t, []byte(nextMessage(s.t, in).data)))
		}
		return got
	},
	"lines": func(s *server, topic string, n int) (got []cameBack) {
		in, _, end := s.stream("application/x-ndjson", "/events?topic="+topic+"&group=lines-"+topic)
		defer end()
		in.Buffer(nil, 4<<20)
		for range n {
			require.True(s.t, in.Scan(), "%v", in.Err())
			got = append(got, parseRecord(s.t, in.Bytes()))
		}
		return got
	},
	"command": func(s *server, topic string, n int) (got []cameBack) {
		out := s.must("", "consume", topic, "--max-records", strconv.Itoa(n), "--follow")
		for line := range strings.Lines(out) {
			got = append(got, parseRecord(s.t, []byte(line)))
		}
		return got
	},
}

// loosely decodes the body, whatever more it has.
func (a *answer) loosely(v any) {
	a.t.Helper()
	require.NoError(a.t, json.Unmarshal(a.body, v), a.what)
}

// lineEnds escapes what streams escape in JSON, because readers of lines may take
// it for the end of one.
var lineEnds = strings.NewReplacer("\u0085", `\u0085`, "\u2028", `\u2028`, "\u2029", `\u2029`)

// is reports whether content is that of the payload: the same bytes, or the same JSON
// as streams write it.
func (p payload) is(content []byte) bool {
	return p.content == string(content) || p.json && lineEnds.Replace(p.content) == string(content)
}

func sameContent(t *testing.T, sent []payload, got []cameBack) {
	t.Helper()
	require.Len(t, got, len(sent))
	for i, p := range sent {
		value := got[i].content(t, "value")
		require.True(t, p.is(value), "%s: value %.200q", p.name, value)
		if key := got[i].content(t, "key"); key != nil && !p.is(key) {
			var text string // of a key in an address
			require.NoError(t, json.Unmarshal(key, &text), "%s: key %.200q", p.name, key)
			require.Equal(t, p.content, text, p.name)
		}
		var headers map[string]string
		require.NoError(t, json.Unmarshal(got[i]["headers"], &headers))
		for name, h := range headers {
			assert.Contains(t, []string{p.content + "x", "h" + p.content}, name[:min(len(name), len(p.content)+1)]+h, p.name)
		}
	}
}

// Whatever is stored comes back byte for byte: through every way in and out,
// after kill -9, and from the file.
func TestNaughtyValues(t *testing.T) {
	t.Parallel()
	s := start(t)
	sent := map[string][]payload{}
	for _, way := range waysIn {
		s.topic(way.name, 1)
		for _, p := range naughtyPayloads() {
			if way.takes(p) {
				sent[way.name] = append(sent[way.name], p)
			}
		}
		require.Greater(t, len(sent[way.name]), 9)
		way.send(s, way.name, sent[way.name])
	}
	check := func(after string) {
		for topic, payloads := range sent {
			for out, read := range waysOut {
				s.run(after+topic+" to "+out, func(t *testing.T) { sameContent(t, payloads, read(s, topic, len(payloads))) })
			}
		}
	}
	check("")
	for topic := range sent { // so that groups begin again
		for _, out := range []string{"poll", "sse", "lines", "client"} {
			s.eventually(waitTimeout, "the group is empty", func() error {
				if a := s.delete("/groups/" + out + "-" + topic); a.status != http.StatusNoContent && a.status != http.StatusNotFound {
					return fmt.Errorf("%d %s", a.status, a.body)
				}
				return nil
			})
		}
	}
	s.kill()
	s.again()
	check("restart, ")
	s.stop()
	for topic, payloads := range sent {
		out := s.must("", "log", "cat", s.brokerDir("default", 1)+"/"+topic+"-0")
		lines := strings.SplitAfter(strings.TrimSuffix(out, "\n"), "\n")
		require.Len(t, lines, len(payloads), "one record is one line")
		for i, p := range payloads {
			fields := strings.SplitN(lines[i], " ", 6)
			key, rest := cutToken(t, fields[5], p)
			value, rest := cutToken(t, rest, p)
			assert.True(t, key == "-" || key == p.content, "%s: %.100q", p.name, key)
			assert.Equal(t, p.content, value, p.name)
			assert.True(t, strings.HasPrefix(rest, "PRODUCE"), "%s: %.100q", p.name, rest)
		}
	}
}

// cutToken decodes the token that begins a text: JSON as it is, t"..." or
// b"...", or the JSON string that a key in an address becomes.
func cutToken(t *testing.T, text string, p payload) (content, rest string) {
	t.Helper()
	if after, ok := strings.CutPrefix(text, "- "); ok {
		return "-", after
	}
	if after, ok := strings.CutPrefix(text, p.content+" "); ok && json.Valid([]byte(p.content)) {
		return p.content, after
	}
	quoted := strings.TrimLeft(text[:1], "tb") + text[1:]
	dec := json.NewDecoder(strings.NewReader(quoted))
	var s string
	require.NoError(t, dec.Decode(&s), "%s: %.100q", p.name, text)
	rest = strings.TrimPrefix(quoted[dec.InputOffset():], " ")
	if text[0] == 'b' {
		b, err := base64.StdEncoding.DecodeString(s)
		require.NoError(t, err)
		s = string(b)
	}
	return s, rest
}

// Random payloads, in batches through every way in.
func TestAnyPayloadComesBack(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := start(t)
	for _, way := range waysIn {
		s.run(way.name, func(t *testing.T) {
			s.topic(way.name, 1)
			var sent []payload
			for len(sent) < 300 {
				p := randomPayload(r)
				if way.takes(p) {
					p.name = fmt.Sprintf("seed %d, %s %d %.80q", seed, way.name, len(sent), p.content)
					sent = append(sent, p)
				}
			}
			way.send(s, way.name, sent)
			sameContent(t, sent, waysOut["fetch"](s, way.name, len(sent)))
			sameContent(t, sent, waysOut["lines"](s, way.name, len(sent)))
		})
	}
}

func randomPayload(r *rand.Rand) payload {
	switch r.IntN(3) {
	case 0:
		b := make([]byte, r.IntN(40))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		return payload{content: string(b)}
	case 1:
		pieces := []string{"\n", "#", "#f 1", " ", "\r", "\x00", "\t", "\"", "\\", "t\"", "b\"", "-", "null", "é", "\u2028", "😀", "{", "]", "1", "\ufffd"}
		var b strings.Builder
		for range r.IntN(12) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		return payload{content: b.String()}
	}
	text := randomJSON(r, 4)
	if text == "null" {
		text = "[null]" // null is no value
	}
	return payload{json: true, content: text}
}

// randomJSON is a compact JSON text, nested up to depth.
func randomJSON(r *rand.Rand, depth int) string {
	kinds := 8
	if depth == 0 {
		kinds = 6
	}
	switch r.IntN(kinds) {
	case 0:
		return []string{"null", "true", "false"}[r.IntN(3)]
	case 1, 2:
		digits := strconv.FormatUint(r.Uint64()>>r.IntN(64), 10)
		return []string{"", "-"}[r.IntN(2)] + digits + []string{"", ".0", ".10", "e5", "E-07", ".5e+300"}[r.IntN(6)]
	case 3, 4, 5:
		pieces := []string{"a", " ", `\n`, `\u0000`, `\ud83d\ude00`, `\udbff\udfff`, `\/`, `\"`, `\\`, "#f", "é", "\u2028", "\x7f", "😀", `\u00e9`}
		var b strings.Builder
		for range r.IntN(8) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		return `"` + b.String() + `"`
	case 6:
		var items []string
		for range r.IntN(4) {
			items = append(items, randomJSON(r, depth-1))
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	var fields []string
	for range r.IntN(4) {
		fields = append(fields, []string{`"a":`, `"":`, `"\u0061":`, `"a b":`}[r.IntN(4)]+randomJSON(r, depth-1))
	}
	return "{" + strings.Join(fields, ",") + "}"
}

// One level more than the limit is refused with the limit, as value and key.
func TestTooDeepValuesAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	deep := strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)
	for _, field := range []string{"key", "value"} {
		e := s.post("/events", `{"topic":"deep","`+field+`":`+deep+`}`).wantError(http.StatusUnprocessableEntity, "record_limit")
		assert.EqualValues(t, maxDepth, e.Details["limit"], field)
	}
	s.post("/events?topic=deep", deep, "Content-Type", "text/plain").want(http.StatusOK)
	got := waysOut["fetch"](s, "deep", 1)
	assert.Equal(t, deep, string(got[0].content(t, "value")), "as bytes it is like any other")
}
