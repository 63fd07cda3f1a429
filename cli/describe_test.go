package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
	"ottla/config"
	"ottla/protocol"
)

// A gap is told of once for each partition, however often the consumer meets it.
func TestGapsAreSaidOnce(t *testing.T) {
	var stderr bytes.Buffer
	s := &reader{note: newProgress(&process{stderr: &stderr}, "records", 0)}
	said := s.noteGap()
	said(protocol.Gap{Topic: "t", Partition: 1, Asked: 10, Earliest: 25, Latest: 40})
	said(protocol.Gap{Topic: "t", Partition: 1, Asked: 11, Earliest: 30, Latest: 40})
	said(protocol.Gap{Topic: "u", Partition: 1, Asked: 0, Earliest: 1, Latest: 1})
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	require.Len(t, lines, 2, stderr.String())
	assert.Contains(t, lines[0], "partition 1 of t is not read: its records from 10 to 24 were removed by retention")
	assert.Contains(t, lines[1], "partition 1 of u is not read: its records from 0 to 0 were removed")
}

func TestFleetsAreDescribed(t *testing.T) {
	of := func(change func(*protocol.FleetInfo)) string {
		f := &protocol.FleetInfo{ID: "f", Nodes: 3, Versions: map[string]int{"v2": 1, "v1": 2}, Level: 3, Offered: 3, Newest: 3}
		change(f)
		rows := describeFleet(f)
		assert.Equal(t, []string{"versions", "v1 (2 nodes), v2 (1 node)"}, rows[2])
		for _, row := range rows {
			require.Len(t, row, 2)
		}
		return rows[len(rows)-1][1]
	}
	assert.Equal(t, "all that this version can", of(func(*protocol.FleetInfo) {}))
	assert.Equal(t, "waits: node 2 runs v1", of(func(f *protocol.FleetInfo) { f.WaitingFor, f.Offered = "node 2 runs v1", 4 }), "what it waits for before all else")
	assert.Equal(t, "held; ottla fleet finalize raises it to 4", of(func(f *protocol.FleetInfo) { f.Held, f.Offered = true, 4 }))
	assert.Equal(t, "all that this version can", of(func(f *protocol.FleetInfo) { f.Held = true }), "nothing is held back")
	assert.Equal(t, "is about to be raised to 4", of(func(f *protocol.FleetInfo) { f.Offered = 4 }))
}

func TestWhereKafkaClientsAreSent(t *testing.T) {
	for _, c := range []struct{ listen, advertised, want string }{
		{"", "", ""},
		{"127.0.0.1", "", ""},
		{"127.0.0.1:0", "", ""},
		{"127.0.0.1:0", "kafka.example", ""},
		{"127.0.0.1:9092", "", "127.0.0.1:9092"},
		{"broker-1:9092", "", "broker-1:9092"},
		{":9092", "", ""},
		{"0.0.0.0:9092", "", ""},
		{"[::]:9092", "", ""},
		{"[::1]:9092", "", "[::1]:9092"},
		{":9092", "kafka.example", "kafka.example:9092"},
		{"0.0.0.0:9092", "10.0.0.3", "10.0.0.3:9092"},
		{"[::]:9092", "fd00::3", "[fd00::3]:9092"},
		{"127.0.0.1:9092", "0.0.0.0", ""},
	} {
		assert.Equal(t, c.want, kafkaAddress(&config.Kafka{Listen: c.listen, AdvertisedHost: c.advertised}), c)
	}
}

// Whatever a record has, the line that consume prints of it is the record for produce.
func TestRecordsAreTakenAsTheyArePrinted(t *testing.T) {
	o := &produceOptions{partition: -1}
	require.NoError(t, quick.Check(func(key []byte, text string, n int64, headers map[string]string, at uint32) bool {
		line := map[string]any{"topic": "t", "partition": 3, "offset": 7, "timestamp": int64(at) + 1}
		wantKey, wantValue := client.Data{}, client.Data{}
		switch n % 3 {
		case 0:
			line["key_base64"], wantKey = base64.StdEncoding.EncodeToString(key), client.BytesData(key)
			line["value_text"], wantValue = strings.ToValidUTF8(text, "?"), client.TextData(strings.ToValidUTF8(text, "?"))
		case 1:
			line["key"], wantKey = n, client.JSONData(fmt.Appendf(nil, "%d", n))
			line["value"] = nil
		default:
			line["key_text"], wantKey = "", client.TextData("")
			line["value"], wantValue = []int{1}, client.JSONData([]byte("[1]"))
		}
		encoded, err := json.Marshal(line)
		if err != nil {
			return false
		}
		r, err := o.wholeRecord(encoded)
		return err == nil && assert.ObjectsAreEqual(wantKey, r.Key) && assert.ObjectsAreEqual(wantValue, r.Value) &&
			r.Timestamp.Equal(time.UnixMilli(int64(at)+1)) && r.Partition == nil && r.DeliverAt.IsZero()
	}, nil))
	for line, want := range map[string]string{
		``:                              "not a record as 'ottla consume' prints it",
		`7`:                             "not a record",
		`[]`:                            "not a record",
		`{}`:                            "it has neither key nor value",
		`{"offset":1,"headers":{}}`:     "it has neither key nor value",
		`{"key":1`:                      "not a record",
		`{"key_text":7}`:                "not a record",
		`{"key_base64":"?"}`:            "key_base64: illegal base64",
		`{"value_base64":"YQ"}`:         "value_base64: illegal base64",
		`{"value":1,"timestamp":"x"}`:   "not a record",
		`{"value":1,"headers":7}`:       "headers",
		`{"value":1,"headers":{"a":7}}`: "headers",
	} {
		_, err := o.wholeRecord([]byte(line))
		assert.ErrorContains(t, err, want, line)
	}
	late, err := o.wholeRecord([]byte(`{"value":1,"deliver_at":1}`))
	require.NoError(t, err)
	assert.True(t, late.DeliverAt.IsZero(), "what was due is not held back again")
	o.partition = 2
	given, err := o.wholeRecord([]byte(`{"value":1}`))
	require.NoError(t, err)
	assert.Equal(t, 2, *given.Partition)
}

// Which failures are repeated: not those of a server that was never reached, nor of one
// that is not Ottla, and not longer than the limit.
func TestWhatIsTriedAgain(t *testing.T) {
	lost := &client.TransportError{Err: errors.New("connection refused")}
	ours := &client.Error{Status: 503, Code: "starting", RequestID: "r"}
	var notes []string
	s := newStandIn(t, func(int, asked) (int, string) { return 200, "" })
	a, err := newAPI(s.url, nil, "")
	require.NoError(t, err)
	start := func(limit time.Duration) *retries {
		notes = nil
		return &retries{api: a, note: func(text string) { notes = append(notes, text) }, limit: limit}
	}
	r := start(time.Hour)
	assert.False(t, r.again(lost), "a wrong address, most likely")
	assert.Empty(t, notes)
	assert.False(t, r.succeeded())
	for range 3 {
		assert.True(t, r.again(lost), "it was there before")
	}
	require.Len(t, notes, 1, "told once")
	assert.Contains(t, notes[0], "retrying: ")
	assert.True(t, r.succeeded())
	assert.False(t, r.succeeded())
	assert.True(t, r.again(lost))
	assert.Len(t, notes, 2, "and again after a success")
	r.stop()
	assert.False(t, r.again(lost))

	r = start(0)
	r.succeeded()
	assert.False(t, r.again(lost), "no time is given")
	assert.True(t, start(time.Hour).again(ours), "it answers, although it is the first request")
	assert.False(t, start(time.Hour).again(&client.Error{Status: 502, Code: client.CodeHTTPStatus}), "a proxy's page")
}

func TestHeadersOfFlags(t *testing.T) {
	for text, want := range map[string]string{"X-Team=a": "a", "x-team= a b ": " a b ", "X-Team==": "=", "X-Team=": "", "X-Team=é": "é", " x-team =1": "1"} {
		got, err := parseHeaders([]string{"X-Team=before", text})
		require.NoError(t, err, text)
		assert.Equal(t, map[string]string{"X-Team": want}, got, "the last one counts: %q", text)
	}
	for _, text := range []string{"", "X-Team", "=a", "X Team=a", "X-Team\r\nX-Other=a", "X=a\r\nX-Other: b", "X=\x00", "X=\x7f", "Ä=1"} {
		_, err := parseHeaders([]string{text})
		var usage usageError
		require.ErrorAs(t, err, &usage, "%q", text)
		if text != "" {
			assert.NotContains(t, err.Error(), text, "it may be a secret")
		}
	}
	for name, token := range map[string]string{"Authorization": "t", "Producer-Seq": "", "Content-Length": "", "Host": ""} {
		_, err := withHeaders(map[string]string{name: "x"}, token)
		assert.Error(t, err, name)
	}
	_, err := withHeaders(map[string]string{"Authorization": "Basic x", "Cookie": "a=b"}, "")
	assert.NoError(t, err)
}

// Secrets and tokens are read whole, without the end of their line, and never from two
// places.
func TestSecretsAreReadFromOnePlace(t *testing.T) {
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, fmt.Sprint(len(text)))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	for _, c := range []struct {
		f           secretFlags
		stdin, want string
		wrong       string
	}{
		{f: secretFlags{}, want: ""},
		{f: secretFlags{secret: "s"}, want: "s"},
		{f: secretFlags{file: "-"}, stdin: "s \r\n", want: "s "},
		{f: secretFlags{file: file("in a file\n\n")}, want: "in a file"},
		{f: secretFlags{file: "-"}, stdin: "\n", wrong: "is empty"},
		{f: secretFlags{file: filepath.Join(dir, "none")}, wrong: "secret: "},
		{f: secretFlags{file: dir}, wrong: "secret: "},
		{f: secretFlags{secret: "a", file: "-"}, wrong: "exclude each other"},
		{f: secretFlags{secret: "a", generate: true}, wrong: "exclude each other"},
		{f: secretFlags{file: "-", generate: true}, wrong: "exclude each other"},
	} {
		got, err := c.f.take(&process{stdin: strings.NewReader(c.stdin)})
		if c.wrong != "" {
			var usage usageError
			require.ErrorAs(t, err, &usage, c)
			require.ErrorContains(t, err, c.wrong, c)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, c.want, got, c)
	}
	one, err := (&secretFlags{generate: true}).take(&process{})
	require.NoError(t, err)
	other, err := (&secretFlags{generate: true}).take(&process{})
	require.NoError(t, err)
	assert.NotEqual(t, one, other)
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(one, "whsec_"))
	require.NoError(t, err)
	assert.Len(t, key, 32)

	for text, wrong := range map[string]string{
		"": "is empty", " \n": "is empty", "a b": "without spaces", "é": "without spaces",
		strings.Repeat("x", maxTokenBytes+1): "up to 4096", strings.Repeat("x", 1<<20): "up to 4096",
	} {
		_, err := tokenFrom(strings.NewReader(text), "it")
		var usage usageError
		require.ErrorAs(t, err, &usage)
		require.ErrorContains(t, err, wrong)
		if len(text) > 2 {
			assert.NotContains(t, err.Error(), text, "errors never have the token in them")
		}
	}
	longest := strings.Repeat("x", maxTokenBytes)
	got, err := tokenFrom(strings.NewReader(longest+"\r\n"), "it")
	require.NoError(t, err)
	assert.Equal(t, longest, got)
	_, err = tokenFrom(io.MultiReader(strings.NewReader("x"), failing{}), "it")
	require.ErrorIs(t, err, errBroken)
}

var errBroken = errors.New("the disk is gone")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

// A server that answers with something else is not believed, and what it says is not
// repeated as if it were ours.
func TestForeignAnswers(t *testing.T) {
	for name, answer := range map[string]struct {
		status int
		body   string
	}{
		"a page": {200, "<html>It works!</html>"}, "nothing": {200, ""}, "half": {200, `{"topics":[`}, "a list": {200, `[1]`},
		"a number": {200, `{"topics":7}`}, "a proxy": {502, "Bad Gateway"}, "other JSON": {404, `{"detail":"not found"}`},
	} {
		s := newStandIn(t, func(int, asked) (int, string) { return answer.status, answer.body })
		for _, args := range []string{"topic list", "topic describe t", "group list", "offset list --group g", "node list", "status"} {
			code, stdout, stderr := s.ottla(t, "", strings.Fields(args)...)
			if name == "a number" && args != "topic list" {
				continue // an object without a list has none
			}
			assert.Equal(t, exitFailed, code, "%s: %s: %q %q", name, args, stdout, stderr)
			assert.NotContains(t, stderr, "BUG", "%s: %s", name, args)
			assert.NotContains(t, stderr, "panic", "%s: %s", name, args)
		}
	}
}
