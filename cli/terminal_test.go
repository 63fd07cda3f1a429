package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
)

// onTerminal runs a command with standard error on a terminal.
func onTerminal(env map[string]string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	p := &process{stdout: &out, stderr: &errs, terminal: true, lookupEnv: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}}
	code = run(p, args)
	return code, out.String(), errs.String()
}

func TestColoursAreForTerminalsThatWantThem(t *testing.T) {
	const plain = "ottla: 1 damaged file; "
	dir := logDir(t, 5, 1)
	spoil(t, dir, `{"n":2}`)
	for name, tt := range map[string]struct {
		env    map[string]string
		prefix string
	}{
		"terminal":       {nil, "\x1b[1;31mottla:\x1b[0m 1 damaged file; "},
		"NO_COLOR":       {map[string]string{"NO_COLOR": "1"}, plain},
		"NO_COLOR empty": {map[string]string{"NO_COLOR": ""}, "\x1b[1;31mottla:\x1b[0m 1 damaged file; "},
		"dumb":           {map[string]string{"TERM": "dumb"}, plain},
	} {
		code, stdout, stderr := onTerminal(tt.env, "log", "verify", dir)
		assert.Equal(t, exitFailed, code)
		assert.NotContains(t, stdout, "\x1b", name)
		assert.Contains(t, stderr, tt.prefix, name)
	}
	_, _, stderr := offline(t, "verify", dir)
	assert.NotContains(t, stderr, "\x1b", "no terminal")
	_, _, stderr = onTerminal(nil, "log", "verify")
	assert.Contains(t, stderr, "\x1b[1;31mottla:\x1b[0m", "usage, too")
}

// What a server, an argument or a file says does not reach a terminal as it is, in
// errors, notes and usage; what is no terminal gets it exactly.
func TestErrorsAreVisibleOnATerminal(t *testing.T) {
	const hostile, visible = "\x1b]0;x\x07\u202e\u009b31m\r\x7f", `\u001b]0;x\u0007\u202e\u009b31m\u000d\u007f`
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusConflict)
		message, _ := json.Marshal(hostile)
		fmt.Fprintf(w, `{"error_code":40901,"code":"topic_exists","message":%s,"retriable":false,"outcome":"none","request_id":"r"}`, message)
	}))
	defer srv.Close()
	for name, args := range map[string][]string{
		"an answer":   {"topic", "list", "--server", srv.URL},
		"an argument": {"topic", "describe", "x" + hostile, "--server", srv.URL},
		"a command":   {hostile},
		"a flag":      {"topic", "list", "--" + hostile},
		"a file":      {"produce", "t", "/nowhere/" + hostile, "--server", srv.URL},
	} {
		_, _, stderr := onTerminal(map[string]string{"NO_COLOR": "1"}, args...)
		if name != "a command" { // that is quoted
			assert.Contains(t, stderr, visible, name)
		}
		assert.NotRegexp(t, "[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u202e]", stderr, name)
	}
	var errs bytes.Buffer
	assert.Equal(t, exitFailed, run(&process{stdout: io.Discard, stderr: &errs, lookupEnv: func(string) (string, bool) { return "", false }}, []string{"topic", "list", "--server", srv.URL}))
	assert.Contains(t, errs.String(), hostile)
}

func TestVerifyShowsItsProgressOnATerminal(t *testing.T) {
	root := filepath.Dir(filepath.Dir(logDir(t, 5, 1)))
	_, _, stderr := onTerminal(nil, "log", "verify", root)
	assert.Regexp(t, "^\r\x1b\\[K\\[#* *\\] +\\d+%  1 files, \\d+/s\r\x1b\\[K1 log file, no damage\n$", stderr)
	_, _, stderr = onTerminal(map[string]string{"TERM": "dumb"}, "log", "verify", root)
	assert.Equal(t, "1 log file, no damage\n", stderr)
}

// Progress counts each byte once, so that it ends at 100 %.
func TestVerifyReadsEveryByteOnce(t *testing.T) {
	dir := logDir(t, 5, 1)
	info, err := os.Stat(segment(dir))
	require.NoError(t, err)
	files, size, err := countLogs(dir)
	require.NoError(t, err)
	assert.Equal(t, []any{1, info.Size()}, []any{files, size})
	r := &readProgress{FS: logfile.OSFS{}, progress: newProgress(&process{}, "files", size)}
	require.NoError(t, logfile.Verify(r, dir, func(string, int64, error) { t.Error("damage") }))
	assert.Equal(t, []any{1, info.Size()}, []any{r.files, r.bytes})
}

func TestCount(t *testing.T) {
	assert.Equal(t, []string{"0 records", "1 record", "2 records"}, []string{count(0, "record"), count(1, "record"), count(2, "record")})
}

// The remaining time goes by what was sent, not by what was skipped.
func TestProgressSaysHowLongItWillTake(t *testing.T) {
	var out strings.Builder
	g := newProgress(&process{terminal: true, stderr: &out}, "records", 1000)
	g.started = time.Now().Add(-10 * time.Second)
	g.skip(500)
	g.update(100, 750)
	assert.Contains(t, out.String(), "75%  100 records, 10/s, 10s left")
	out.Reset()
	g.shown = time.Time{}
	g.update(200, 1000)
	assert.NotContains(t, out.String(), "left")
}
