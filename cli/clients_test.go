package cli

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/link/linktest"
)

// asked is one request that a stand-in server got.
type asked struct {
	line   string // method and target
	body   string
	header http.Header
}

// lines counts the records of a produce request.
func (a asked) lines() int { return strings.Count(a.body, "\n") }

// standIn is a server whose answers a test provides.
type standIn struct {
	mu     sync.Mutex
	asked  []asked
	answer func(n int, a asked) (status int, body string)
	url    string

	said     fmt.Stringer   // what the server has written to its standard output; nil: a stand-in
	signals  chan os.Signal // that the commands get
	stdout   io.Writer      // of the commands, instead of what ottla returns
	terminal bool
	asks     bool
	linger   time.Duration // of `ottla produce`, 0: as ever
}

// with gives the commands these signals.
func (s *standIn) with(signals chan os.Signal) *standIn {
	s.signals = signals
	return s
}

func newStandIn(t *testing.T, answer func(n int, a asked) (int, string)) *standIn {
	t.Helper()
	s := &standIn{answer: answer, signals: make(chan os.Signal, 2)}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		a := asked{r.Method + " " + r.URL.String(), string(text), r.Header}
		s.mu.Lock()
		s.asked = append(s.asked, a)
		n := len(s.asked)
		s.mu.Unlock()
		status, body := s.answer(n, a)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

// ottla runs a command against the stand-in.
func (s *standIn) ottla(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p := &process{
		stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, signals: s.signals, terminal: s.terminal, asks: s.asks, linger: s.linger,
		lookupEnv: func(name string) (string, bool) { return s.url, name == "OTTLA_SERVER" },
	}
	if s.stdout != nil {
		p.stdout = s.stdout
	}
	code = run(p, args)
	return code, out.String(), errs.String()
}

// committed is the answer of a server that has written all records of a request.
func committed(a asked) string {
	n := a.lines()
	places := strings.TrimSuffix(strings.Repeat(`{"partition":0,"offset":1},`, n), ",")
	return fmt.Sprintf(`{"topic":"t","committed":true,"count":%d,"partitions":[],"offsets":[%s]}`, n, places)
}

const notFound = `{"error_code":40401,"code":"topic_not_found","message":"topic \"x\" does not exist","retriable":false,` +
	`"outcome":"none","request_id":"r1"}`

func TestCommandsAskWhatTheySay(t *testing.T) {
	tests := []struct {
		args string
		line string
		body string
	}{
		{"cluster create c --num-brokers 1 --retention-hours -1 --log-directory d", "POST /cluster", `{"name":"c","num_brokers":1,"retention_policies":-1,"log_directory":"d"}`},
		{"cluster list", "GET /cluster?limit=1000", ""},
		{"cluster describe c", "GET /cluster/c", ""},
		{"cluster delete c", "DELETE /cluster/c", ""},
		{"cluster stop-broker c 2", "POST /cluster/c/brokers/2/stop", ""},
		{"cluster start-broker c 2", "POST /cluster/c/brokers/2/start", ""},
		{"topic create t --partitions 2 --cluster c --cleanup-policy compact", "POST /topic", `{"name":"t","partitions":2,"cluster":"c","cleanup_policy":"compact"}`},
		{"topic list --internal", "GET /topic?internal=true&limit=1000", ""},
		{"topic list --cluster c", "GET /topic?cluster=c&limit=1000", ""},
		{"topic describe a/b", "GET /topic/a%2Fb", ""},
		{"topic alter t --retention-ms -1 --cluster c", "PATCH /topic/t?cluster=c", `{"retention_ms":-1}`},
		{"topic delete t", "DELETE /topic/t", ""},
		{"group list", "GET /groups?limit=1000", ""},
		{"group describe g --cluster c", "GET /groups/g?cluster=c", ""},
		{"group delete g", "DELETE /groups/g", ""},
		{"group seek g --topic t --to latest", "POST /groups/g/seek", `{"topic":"t","to":"latest"}`},
		{"group seek g --topic t --to 7 --partition 0", "POST /groups/g/seek", `{"topic":"t","to":7,"partition":0}`},
		{"group seek g --topic t --to 1970-01-01T00:00:01Z", "POST /groups/g/seek", `{"topic":"t","to":{"timestamp":1000}}`},
		{"offset list --group g --topic t", "GET /offset?group=g&limit=1000&topic=t", ""},
		{"offset commit --consumer-id 7", "POST /offset", `{"consumer_id":7}`},
		{
			"offset commit --consumer-id 7 --group g --topic t --partition 0 --offset 0 --metadata m --force", "POST /offset",
			`{"consumer_id":7,"group":"g","topic":"t","force":true,"offsets":[{"topic":"t","partition":0,"offset":0,"metadata":"m"}]}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			status := 200
			if strings.Contains(tt.args, "create") {
				status = 201
			}
			s := newStandIn(t, func(int, asked) (int, string) { return status, `{"name":"x"}` })
			code, stdout, stderr := s.ottla(t, "", append(strings.Fields(tt.args), "--output", "json")...)
			require.Equal(t, exitOK, code, stderr)
			require.Len(t, s.asked, 1)
			assert.Equal(t, tt.line, s.asked[0].line)
			if tt.body == "" {
				assert.Empty(t, s.asked[0].body)
			} else {
				assert.JSONEq(t, tt.body, s.asked[0].body)
			}
			if !strings.Contains(tt.args, "delete") {
				assert.JSONEq(t, `{"name":"x"}`, stdout)
			}
		})
	}
}

// On a terminal the user is asked before something is deleted for good; elsewhere nobody
// is there to ask.
func TestDeletingAsks(t *testing.T) {
	for _, command := range []string{"topic delete t", "cluster delete c", "topic truncate t --partition 0 --before -1"} {
		for name, row := range map[string]struct {
			asks    bool
			yes     bool
			answer  string
			deletes bool
		}{
			"yes":           {asks: true, answer: "y\n", deletes: true},
			"yes in words":  {asks: true, answer: "Yes\n", deletes: true},
			"no":            {asks: true, answer: "n\n"},
			"nothing":       {asks: true, answer: "\n"},
			"end of input":  {asks: true},
			"told before":   {asks: true, yes: true, deletes: true},
			"not a person":  {deletes: true},
			"a script, yes": {yes: true, deletes: true},
		} {
			t.Run(command+"/"+name, func(t *testing.T) {
				s := newStandIn(t, func(int, asked) (int, string) { return 200, `{"partitions":[]}` })
				s.asks = row.asks
				args := strings.Fields(command)
				if row.yes {
					args = append(args, "--yes")
				}
				code, _, stderr := s.ottla(t, row.answer, args...)
				assert.Equal(t, row.asks && !row.yes, strings.Contains(stderr, "? [y/N] "), stderr)
				if row.deletes {
					assert.Equal(t, exitOK, code, stderr)
					assert.Len(t, s.asked, 1)
					return
				}
				assert.Equal(t, exitFailed, code)
				assert.Contains(t, stderr, "nothing was deleted")
				assert.Empty(t, s.asked)
			})
		}
	}
}

// Ctrl-C at the question is an answer.
func TestASignalAtTheQuestion(t *testing.T) {
	s := newStandIn(t, func(int, asked) (int, string) { return 200, `` })
	s.asks = true
	s.signals <- os.Interrupt
	r, w := io.Pipe()
	defer func() { _ = w.Close() }() // nobody types anything
	var errs bytes.Buffer
	p := &process{stdin: r, stdout: io.Discard, stderr: &errs, signals: s.signals, asks: true, lookupEnv: func(string) (string, bool) { return "", false }}
	assert.Equal(t, exitFailed, run(p, []string{"topic", "delete", "t", "--server", s.url}))
	assert.Empty(t, s.asked)
}

// To create what exists is a success only for who says so.
func TestCreatingWhatExists(t *testing.T) {
	for command, answer := range map[string]string{"topic create t": `{"name":"t"}`, "cluster create c": `{"name":"c"}`} {
		for flags, row := range map[string]struct{ status, code int }{
			"":                       {201, exitOK},
			" --if-not-exists":       {201, exitOK},
			" --if-not-exists=true":  {200, exitOK},
			" --if-not-exists=false": {200, exitFailed},
			"  ":                     {200, exitFailed},
		} {
			t.Run(command+flags, func(t *testing.T) {
				s := newStandIn(t, func(int, asked) (int, string) { return row.status, answer })
				code, stdout, stderr := s.ottla(t, "", strings.Fields(command+flags)...)
				require.Equal(t, row.code, code, stderr)
				require.Len(t, s.asked, 1)
				assert.JSONEq(t, answer, s.asked[0].body)
				if code != exitOK {
					assert.Empty(t, stdout)
					assert.Contains(t, stderr, " already exists, with these settings; --if-not-exists takes that for a success")
				}
			})
		}
	}
}

func TestTables(t *testing.T) {
	answers := map[string]string{
		"cluster list": `{"clusters":[{"name":"c","num_brokers":3,"retention_policies":-1,"brokers":[{"state":"running"},{"state":"stopped"}]}]}`,
		"topic list":   `{"topics":[{"name":"t","cluster":"c","retention_ms":3600000,"partitions":[{"leader_broker_id":1,"earliest":2,"latest":9},{"leader_broker_id":null}]}]}`,
		"topic describe t": `{"name":"t","retention_bytes":-1,"partitions":[{"partition_number":0,"leader_broker_id":2,"replicas":[2,1],` +
			`"in_sync":[2],"earliest":0,"latest":4}]}`,
		"group list":              `{"groups":[{"group":"g\u001b[2J","state":"empty","lag":4}]}`,
		"group describe g":        `{"group":"g","state":"empty","members":[],"lapsed_members":[{"consumer_id":7,"lease_expires_at":"2026-11-23T05:39:15Z","assignment":[{"topic":"t","partition":1}]}]}`,
		"offset list --group g":   `{"offsets":[{"topic":"t","partition":0,"committed":null,"end":5,"lag":5,"owner":7}]}`,
		"cluster stop-broker c 2": `{"id":2,"state":"stopped"}`,
		"topic delete t":          ``,
	}
	want := map[string][]string{
		"cluster list":            {"NAME", "for ever", "c     3        1 "},
		"topic list":              {"CLUSTER", "c        t     2           0         1           7        1h  "},
		"topic describe t":        {"leader 2, replicas 2,1, in sync 2, offsets 0 to 4", "no limit"},
		"group list":              {"g?[2J"},
		"group describe g":        {"CONSUMER 7", "lease expired at 2026-11-23T05:39:15Z, partitions t-1"},
		"offset list --group g":   {"t      0          -          -         5    5    7         -"},
		"cluster stop-broker c 2": {"broker 2 is stopped"},
		"topic delete t":          {"topic t deleted"},
	}
	for args, answer := range answers {
		t.Run(args, func(t *testing.T) {
			s := newStandIn(t, func(int, asked) (int, string) { return 200, answer })
			code, stdout, stderr := s.ottla(t, "", strings.Fields(args)...)
			require.Equal(t, exitOK, code, stderr)
			for _, text := range want[args] {
				assert.Contains(t, stdout, text)
			}
			assert.NotContains(t, stdout, "\x1b")
		})
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	s := newStandIn(t, func(int, asked) (int, string) { return 404, notFound })
	code, _, stderr := s.ottla(t, "", "topic", "describe", "x")
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, "ottla: topic \"x\" does not exist (topic_not_found, request r1); 'ottla topic list' shows what there is\n", stderr)

	s.url = "http://" + linktest.FreeAddress(t)
	for _, args := range []string{"topic list", "consume t --follow", "produce t"} {
		code, _, stderr = s.ottla(t, "x\n", strings.Fields(args)...)
		assert.Equal(t, exitFailed, code, args)
		assert.Contains(t, stderr, "is 'ottla serve' running? Use --server or OTTLA_SERVER for another address", args)
	}
}

func TestHelpAndCompletion(t *testing.T) {
	s := newStandIn(t, func(int, asked) (int, string) { return 500, "" })
	for _, args := range []string{"--help", "produce --help", "log repair --help", "completion bash", "completion zsh"} {
		code, stdout, _ := s.ottla(t, "", strings.Fields(args)...)
		assert.Equal(t, exitOK, code, args)
		assert.NotEmpty(t, stdout, args)
	}
}

func TestMilliseconds(t *testing.T) {
	for ms, want := range map[int64]string{
		-1: "for ever", 0: "0s", 250: "250ms", 60_000: "1m", 90_000: "1m30s", 600_000: "10m", 604_800_000: "168h",
		3_601_000: "1h0m1s", 5_400_000: "1h30m", math.MaxInt64: "2562047788015h",
	} {
		assert.Equal(t, want, milliseconds(ms))
	}
}
