package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProduceEncodesLines(t *testing.T) {
	tests := []struct {
		name, flags, stdin string
		want               []string
	}{
		{"json and text", "", "{\"a\": 1}\nhello \"x\"\n12345678901234567890\n", []string{`{"value":{"a":1}}`, `{"value":"hello \"x\""}`, `{"value":12345678901234567890}`}},
		{"no newline at the end", "", "a\nb", []string{`{"value":"a"}`, `{"value":"b"}`}},
		{"empty line", "", "\n", []string{`{"value":""}`}},
		{"not UTF-8", "", "\xff\n", []string{`{"value_base64":"/w=="}`}},
		{"half JSON", "", "{\"a\":\n", []string{`{"value":"{\"a\":"}`}},
		{"key", "--key k\"", "1\n", []string{`{"key":"k\"","value":1}`}},
		{"key field beyond a double", "--key-field id", "{\"id\":1e400}\n", []string{`{"key":1e400,"value":{"id":1e400}}`}},
		{"key field", "--key-field id", "{\"n\":{\"id\":1},\"id\":[2]}\n", []string{`{"key":[2],"value":{"n":{"id":1},"id":[2]}}`}},
		{"partition", "--partition 1", "1\n", []string{`{"value":1,"partition":1}`}},
		{"nothing", "", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStandIn(t, func(_ int, a asked) (int, string) { return 200, committed(a) })
			code, stdout, stderr := s.ottla(t, tt.stdin, append([]string{"produce", "t", "--output", "json"}, strings.Fields(tt.flags)...)...)
			require.Equal(t, exitOK, code, stderr)
			var got []string
			for _, a := range s.asked {
				assert.Equal(t, "POST /events?offsets=true&topic=t", a.line)
				assert.Equal(t, "application/x-ndjson", a.header.Get("Content-Type"))
				got = append(got, strings.Split(strings.TrimSuffix(a.body, "\n"), "\n")...)
			}
			assert.Equal(t, tt.want, got)
			var sum struct{ Count int }
			require.NoError(t, json.Unmarshal([]byte(stdout), &sum))
			assert.Equal(t, len(tt.want), sum.Count)
		})
	}
}

func TestProduceBatches(t *testing.T) {
	s := newStandIn(t, func(_ int, a asked) (int, string) { return 200, committed(a) })
	file := t.TempDir() + "/lines"
	big := strings.Repeat("x", 400<<10)
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("1\n", 2500)+strings.Repeat(big+"\n", 5)), 0o600))
	code, stdout, stderr := s.ottla(t, "", "produce", "t", file)
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, "2505 records committed to t\n", stdout)
	assert.Empty(t, stderr, "no progress where there is no terminal")
	lines, seq := 0, map[string]bool{}
	for _, a := range s.asked {
		n := strings.Count(a.body, "\n")
		lines += n
		assert.LessOrEqual(t, n, produceRecords)
		assert.LessOrEqual(t, len(a.body), produceBytes+1024)
		seq[a.header.Get("Producer-Seq")] = true
	}
	assert.Equal(t, 2505, lines)
	assert.Len(t, seq, len(s.asked), "a sequence number for each batch")
}

func TestProduceSendsAgainUnderTheSameNumber(t *testing.T) {
	s := newStandIn(t, func(n int, a asked) (int, string) {
		switch n {
		case 1:
			return 504, `{"code":"outcome_unknown","message":"m","retriable":true,"outcome":"unknown"}`
		case 2:
			return 207, `{"partitions":[{"partition":0,"count":1},{"partition":1,"error":{"code":"no_leader","message":"m","retriable":true}}],` +
				`"offsets":[{"partition":0,"offset":0},{"partition":1,"offset":null}]}`
		}
		return 200, committed(a)
	})
	s.linger = time.Minute // or a busy machine makes a batch of each line
	code, stdout, stderr := s.ottla(t, "1\n2\n", "produce", "t")
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, "2 records committed to t\n", stdout)
	assert.Contains(t, stderr, "retrying: m (outcome_unknown)")
	require.Len(t, s.asked, 3)
	for _, a := range s.asked {
		assert.Equal(t, s.asked[0].body, a.body)
		for _, name := range []string{"Producer-Id", "Producer-Epoch", "Producer-Seq"} {
			assert.NotEmpty(t, a.header.Get(name))
			assert.Equal(t, s.asked[0].header.Get(name), a.header.Get(name))
		}
	}
}

func TestProduceFailures(t *testing.T) {
	s := newStandIn(t, func(_ int, a asked) (int, string) { return 200, committed(a) })
	code, _, stderr := s.ottla(t, "{\"id\":1}\n{}\n", "produce", "t", "--key-field", "id")
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, "ottla: line 2: the object has no field \"id\" for --key-field; 1 record committed before\n", stderr)
	require.Len(t, s.asked, 1, "what came before is sent")

	s = newStandIn(t, func(int, asked) (int, string) {
		return 207, `{"partitions":[{"partition":4,"error":{"code":"record_too_large","message":"too large","retriable":false}}],"offsets":[{"partition":4,"offset":null}]}`
	})
	code, _, stderr = s.ottla(t, "1\n", "produce", "t")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "line 1: partition 4: too large")

	code, _, stderr = s.ottla(t, "", "produce", "t", "/no/such/file")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "/no/such/file")
}

// Everything before some line is committed and nothing after it, so that a user can
// continue from there.
func TestProduceStopsAtWhatIsRefused(t *testing.T) {
	refusal := func(details string) string {
		return `{"error_code":41302,"code":"record_too_large","message":"record 3: it has 9 bytes","retriable":false,"outcome":"none"` + details + `}`
	}
	input := strings.Repeat("1\n", 12_500)
	for name, tt := range map[string]struct {
		details string
		want    string
		offset  int // of the line that is told, from the first of the refused batch
	}{
		"the record is named":  {`,"details":{"record":3}`, "line %d: it has 9 bytes (record_too_large); %d records committed before", 3},
		"a line is named":      {`,"details":{"line":3}`, "line %d: it has 9 bytes (record_too_large); %d records committed before", 2},
		"none is named":        {``, "line %d and after: record 3: it has 9 bytes (record_too_large); %d records committed before", 0},
		"what is named is odd": {`,"details":{"record":"x"}`, "line %d and after: record 3: it has 9 bytes (record_too_large); %d records committed before", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStandIn(t, func(n int, a asked) (int, string) {
				if n == 2 {
					return 413, refusal(tt.details)
				}
				return 200, committed(a)
			})
			code, stdout, stderr := s.ottla(t, input, "produce", "t")
			assert.Equal(t, exitFailed, code)
			assert.Empty(t, stdout)
			require.Len(t, s.asked, 2, "nothing is sent behind it")
			before := s.asked[0].lines() // as many as came in the time that a batch waits
			assert.Equal(t, "ottla: "+fmt.Sprintf(tt.want, before+1+tt.offset, before)+"\n", stderr)
		})
	}
}

func TestProduceGivesUpAfterItsTime(t *testing.T) {
	for _, limit := range []string{"0s", "1ms"} {
		s := newStandIn(t, func(int, asked) (int, string) { return 503, errorAnswer("no_leader", "no leader", "none", true) })
		code, _, stderr := s.ottla(t, "1\n2\n", "produce", "t", "--retry-for", limit)
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, stderr, "ottla: retrying: no leader (no_leader, request r7)\n")
		assert.Contains(t, stderr, "no leader (no_leader, request r7); try again in a moment; 0 records committed before\n")
	}
}

// The command waits for a server that restarts between two batches.
func TestProduceOutlivesARestart(t *testing.T) {
	s := newStandIn(t, func(n int, a asked) (int, string) {
		if n == 2 || n == 3 {
			return 503, errorAnswer("starting", "recovering", "none", true)
		}
		return 200, committed(a)
	})
	code, stdout, stderr := s.ottla(t, strings.Repeat("1\n", 7500), "produce", "t")
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, "7500 records committed to t\n", stdout)
	assert.Equal(t, 1, strings.Count(stderr, "retrying:"))
	require.GreaterOrEqual(t, len(s.asked), 4)
	seq := func(i int) string { return s.asked[i].header.Get("Producer-Seq") }
	assert.Equal(t, []string{seq(1), seq(1)}, []string{seq(2), seq(3)}, "the same request again")
	assert.NotEqual(t, seq(0), seq(1))
	first, err := strconv.Atoi(seq(0))
	require.NoError(t, err)
	second, err := strconv.Atoi(seq(1))
	require.NoError(t, err)
	assert.Greater(t, second, first)
}

// An interrupt ends the command, although the server does not answer and there is
// more input, and the error says how far it came.
func TestProduceInterrupted(t *testing.T) {
	hold := make(chan struct{})
	defer close(hold)
	signals := make(chan os.Signal, 2)
	s := newStandIn(t, func(n int, a asked) (int, string) {
		if n == 2 {
			signals <- syscall.SIGINT
			<-hold
		}
		return 200, committed(a)
	})
	code, stdout, stderr := s.with(signals).ottla(t, strings.Repeat("1\n", 10_000), "produce", "t")
	assert.Equal(t, exitFailed, code)
	assert.Empty(t, stdout)
	n := s.asked[0].lines()
	assert.Regexp(t, fmt.Sprintf(`^ottla: interrupted: lines up to %d are committed, those up to \d+ may be; --skip %d goes on, and may write some again\n$`, n, n), stderr)
}

// A typed line is sent soon, before the end of the input.
func TestProduceDoesNotWaitForTheEndOfInput(t *testing.T) {
	in, keyboard := io.Pipe()
	came := make(chan string, 10)
	s := newStandIn(t, func(_ int, a asked) (int, string) {
		came <- a.body
		return 200, committed(a)
	})
	signals := make(chan os.Signal, 2)
	var stdout, stderr bytes.Buffer
	p := &process{stdin: in, stdout: &stdout, stderr: &stderr, signals: signals, lookupEnv: func(name string) (string, bool) { return s.url, name == "OTTLA_SERVER" }}
	ended := make(chan int)
	go func() { ended <- run(p, []string{"produce", "t", "-"}) }()
	for i := range 3 {
		_, err := fmt.Fprintf(keyboard, "%d\n", i)
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf("{\"value\":%d}\n", i), <-came)
	}
	signals <- syscall.SIGINT // while it waits for the next line
	assert.Equal(t, exitFailed, <-ended)
	assert.Equal(t, "ottla: interrupted after 3 lines, which are committed; --skip 3 goes on\n", stderr.String())
}

func TestProduceTellsOfAnInputThatBreaks(t *testing.T) {
	s := newStandIn(t, func(_ int, a asked) (int, string) { return 200, committed(a) })
	var stdout, stderr bytes.Buffer
	p := &process{
		stdin:  io.MultiReader(strings.NewReader("1\n2\n"), iotest.ErrReader(errors.New("the tape tore"))),
		stdout: &stdout, stderr: &stderr, signals: make(chan os.Signal), lookupEnv: func(name string) (string, bool) { return s.url, name == "OTTLA_SERVER" },
	}
	assert.Equal(t, exitFailed, run(p, []string{"produce", "t"}))
	assert.Equal(t, "ottla: the tape tore; 2 records committed before\n", stderr.String())
}

func TestKeyFields(t *testing.T) {
	for line, want := range map[string]string{
		`{"id":7}`:               "7",
		`{"a":1,"id":"x"}`:       `"x"`,
		` {"id" : {"b": [1,2]}}`: `{"b": [1,2]}`,
		`{"id":null}`:            "null",
		`{"\u0069d":1}`:          "1",
		`{"id":1,"id":2}`:        "1",
		`{}`:                     "error: the object has no field \"id\" for --key-field",
		`{"n":{"id":1}}`:         "error: the object has no field \"id\" for --key-field",
		`[{"id":1}]`:             "error: --key-field id needs a JSON object on every line",
		`"id"`:                   "error: --key-field id needs a JSON object on every line",
		`plain`:                  "error: --key-field id needs a JSON object on every line",
		``:                       "error: --key-field id needs a JSON object on every line",
		`{"id":1`:                "error: --key-field id needs a JSON object on every line",
		`{"id":1} {"id":2}`:      "error: --key-field id needs a JSON object on every line",
		"{\"id\":\"\xff\"}":      "error: --key-field id needs a JSON object on every line",
		`{"id":123456789012345678901234567890.10}`: "123456789012345678901234567890.10",
	} {
		key, err := fieldOf([]byte(line), "id")
		got := string(key)
		if err != nil {
			got = "error: " + err.Error()
		}
		assert.Equal(t, want, got, line)
	}
}

func TestReadLines(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	for in, want := range map[string][]string{
		"":                nil,
		"\n":              {""},
		"a":               {"a"},
		"a\n":             {"a"},
		"a\n\nb":          {"a", "", "b"},
		"a\r\n":           {"a\r"}, // white space to JSON, part of a text
		long + "\n" + "b": {long, "b"},
	} {
		lines := make(chan line, 10)
		readLines(t.Context(), iotest.HalfReader(strings.NewReader(in)), lines)
		var got []string
		for l := range lines {
			if l.err != nil {
				assert.ErrorIs(t, l.err, io.EOF)
				break
			}
			got = append(got, string(l.text))
		}
		assert.Equal(t, want, got)
	}
}

// On a terminal the line of progress is removed before anything else is printed.
func TestProduceShowsItsProgressOnATerminal(t *testing.T) {
	file := t.TempDir() + "/lines"
	require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("1\n", 3000)), 0o600))
	s := newStandIn(t, func(_ int, a asked) (int, string) { return 200, committed(a) })
	s.terminal = true
	code, stdout, stderr := s.ottla(t, "", "produce", "t", file)
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, "3000 records committed to t\n", stdout)
	assert.Regexp(t, `^\r\x1b\[K\[#* *\] +\d+%  \d+ records, \d+/s`, stderr)
	assert.True(t, strings.HasSuffix(stderr, "\r\x1b[K"), "%q", stderr)
}

// Records are written in the order of the lines, whatever their sizes are.
func TestProduceKeepsTheOrder(t *testing.T) {
	var mu sync.Mutex
	var got []string
	s := newStandIn(t, func(n int, a asked) (int, string) {
		mu.Lock()
		defer mu.Unlock()
		if n%3 == 0 {
			return 503, errorAnswer("no_leader", "m", "none", true)
		}
		got = append(got, strings.Split(strings.TrimSuffix(a.body, "\n"), "\n")...)
		return 200, committed(a)
	})
	var in strings.Builder
	var want []string
	for i := range 300 {
		value := fmt.Sprintf(`"%d %s"`, i, strings.Repeat("x", i*i%7000*5))
		in.WriteString(value + "\n")
		want = append(want, `{"value":`+value+`}`)
	}
	code, _, stderr := s.ottla(t, in.String(), "produce", "t")
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, want, got)
}
