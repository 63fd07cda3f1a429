package cli

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// output is the output of a command, which can be read while the command runs.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	lines chan string // the first line, once it is complete
	told  bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	if line, _, whole := strings.Cut(o.text.String(), "\n"); whole && !o.told {
		o.told = true
		o.lines <- line
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// liveServer runs `ottla serve` in this process, without a cluster of its own, until the
// test ends or stop is called, which returns the exit code. It knows already what exists.
func liveServer(t *testing.T, dir string) (s *standIn, stop func() int) {
	t.Helper()
	return liveServerWith(t, dir, nil)
}

// liveServerWith is liveServer with further variables in its environment.
func liveServerWith(t *testing.T, dir string, env map[string]string) (s *standIn, stop func() int) {
	t.Helper()
	signals := make(chan os.Signal, 2)
	stdout, stderr := &output{lines: make(chan string, 1)}, &output{lines: make(chan string, 1)}
	p := &process{stdout: stdout, stderr: stderr, signals: signals, open: openBroker, lookupEnv: func(name string) (string, bool) {
		if v, ok := env[name]; ok {
			return v, ok
		}
		v, ok := map[string]string{"OTTLA_DEFAULT_CLUSTER": "", "OTTLA_LOG_LEVEL": "warn"}[name]
		return v, ok
	}}
	ended := make(chan int, 1)
	go func() { ended <- run(p, []string{"serve", "--listen", "127.0.0.1:0", "--data-dir", dir}) }()
	var line string
	select {
	case line = <-stdout.lines:
	case code := <-ended:
		require.FailNow(t, "it did not start", "exit code %d: %s", code, stderr)
	}
	_, rest, ok := strings.Cut(line, "listening on ")
	require.True(t, ok, line)
	url, _, _ := strings.Cut(rest, ",")
	stop = sync.OnceValue(func() int {
		signals <- syscall.SIGTERM
		select {
		case code := <-ended:
			return code
		case <-time.After(time.Minute):
			return -1
		}
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("what the server said: %s", stderr)
		}
	})
	s = &standIn{url: url, said: stdout, signals: make(chan os.Signal, 2)}
	require.Eventually(t, func() bool { // not asked by HTTPS: who knows the authority is the test
		return strings.HasPrefix(url, "https:") || s.request(t, http.MethodGet, "/readyz", "") != http.StatusServiceUnavailable
	}, time.Minute, time.Millisecond, "clusters from before are recovered")
	return s, stop
}

// kafkaAddress is where the server listens for Kafka clients.
func (s *standIn) kafkaAddress(t *testing.T) string {
	t.Helper()
	var address string
	require.Eventually(t, func() bool { // it is said after the address of the API
		_, rest, _ := strings.Cut(s.said.String(), "bootstrap server ")
		line, _, whole := strings.Cut(rest, "\n")
		address = line
		return whole
	}, time.Minute, time.Millisecond)
	return address
}

// must runs a command that has to work.
func (s *standIn) must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	code, stdout, stderr := s.ottla(t, stdin, args...)
	require.Equal(t, exitOK, code, "%v: %s", args, stderr)
	return stdout
}

// A server of these tests makes no cluster by itself. While it made one, requests that name
// none would be refused.
func TestALiveServerHasNoClusterOfItsOwn(t *testing.T) {
	s, _ := liveServer(t, t.TempDir())
	assert.JSONEq(t, `{"clusters":[]}`, s.body(t, "/cluster"))
}

// The commands run against a real broker, all in this process, so that requests
// and answers are those of the API.
func TestCommandsAgainstABroker(t *testing.T) {
	dir := t.TempDir()
	s, stop := liveServer(t, dir)
	s.must(t, "", "cluster", "create", "solo", "--num-brokers", "1", "--retention-hours", "0.5")
	assert.Contains(t, s.must(t, "", "cluster", "describe", "solo"), "RETENTION   0.5h\n")
	s.must(t, "", "topic", "create", "t", "--cluster", "solo", "--partitions", "2")
	assert.Contains(t, s.must(t, "", "topic", "alter", "t", "--retention-ms", "90000"), "RETENTION         1m30s\n")

	var in strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&in, "{\"id\":%d}\n", i)
	}
	assert.Equal(t, "2500 records committed to t\n", s.must(t, in.String(), "produce", "t", "--key-field", "id"))
	out := s.must(t, "", "consume", "t", "--group", "g", "--max-records", "700")
	out += s.must(t, "", "consume", "t", "--group", "g")
	assert.Equal(t, 2500, strings.Count(out, "\n"))
	for i := range 2500 {
		require.Equal(t, 1, strings.Count(out, fmt.Sprintf("\"value\":{\"id\":%d}", i)), "record %d", i)
	}
	assert.Empty(t, s.must(t, "", "consume", "t", "--group", "g", "--wait", "10ms"), "all of it is acknowledged")
	rows := strings.Split(s.must(t, "", "offset", "list", "--group", "g"), "\n")
	require.Len(t, rows, 4)
	for _, row := range rows[1:3] {
		fields := strings.Fields(row) // topic, partition, committed, position, end, lag
		assert.Equal(t, fields[2], fields[4], row)
		assert.Equal(t, "0", fields[5], row)
	}
	s.must(t, "", "group", "seek", "g", "--topic", "t", "--to", "latest", "--partition", "1")
	s.must(t, "", "group", "delete", "g")
	s.must(t, "", "consume", "t", "--max-records", "1")
	assert.Equal(t, "CLUSTER  GROUP  STATE  GENERATION  MEMBERS  LAG\n", s.must(t, "", "group", "list"), "a group of its own is gone")

	code, _, stderr := s.ottla(t, "1\n"+strings.Repeat("x", 2<<20)+"\n3\n", "produce", "t", "--partition", "0")
	assert.Equal(t, exitFailed, code)
	assert.Regexp(t, `^ottla: line 2: .*\(record_too_large, request \S+\); 1 record committed before\n$`, stderr)
	code, _, stderr = s.ottla(t, "1\n", "produce", "__consumer_offsets")
	assert.Equal(t, exitFailed, code)
	assert.Regexp(t, `^ottla: line 1: .*\(internal_topic, request \S+\); 0 records committed before\n$`, stderr)
	code, _, stderr = s.ottla(t, "", "log", "verify", dir)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "; stop the server first, or look at a copy\n")

	assert.Equal(t, exitOK, stop())
	assert.Equal(t, 2501, strings.Count(s.must(t, "", "log", "cat", filepath.Join(dir, "solo", "broker-1", "t-0"))+
		s.must(t, "", "log", "cat", filepath.Join(dir, "solo", "broker-1", "t-1")), " PRODUCE\n"))
	code, _, stderr = s.ottla(t, "", "log", "verify", dir)
	assert.Equal(t, exitOK, code, stderr)
}
