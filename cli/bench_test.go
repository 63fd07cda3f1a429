package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBenchRefusesWhatItCannotMeasure(t *testing.T) {
	for _, args := range [][]string{
		{"bench", "nope"},
		{"bench", "echo", "--connections", "0"},
		{"bench", "echo", "--output", "xml"},
		{"bench", "echo", "--duration", "soon"},
		{"bench", "compare"},
		{"bench", "compare", "--base", "x", "nope"},
		{"bench", "ratio", "nope"},
		{"bench", "scale", "nope"},
		{"bench", "scale", "idle", "--stops", "0"},
		{"bench", "scale", "idle", "--window", "1ms"},
		{"bench", "scale", "start-many", "--start-partitions", "0"},
		{"bench", "scale", "idle", "--server", "http://127.0.0.1:1"},
	} {
		var stdout, stderr bytes.Buffer
		p := &process{stdout: &stdout, stderr: &stderr, lookupEnv: os.LookupEnv, signals: make(chan os.Signal)}
		assert.Equal(t, exitUsage, run(p, args), "%q: %s", args, &stderr)
		assert.Empty(t, stdout.String())
		assert.NotEmpty(t, stderr.String())
	}
}

// The echo server ends with SIGTERM, which the bench sends to it.
func TestEchoServerEndsWithASignal(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	var stdout, stderr bytes.Buffer
	p := &process{stdout: &stdout, stderr: &stderr, lookupEnv: os.LookupEnv, signals: signals}
	assert.Equal(t, exitOK, run(p, []string{"bench", "echo-server"}), &stderr)
	assert.Contains(t, stdout.String(), "listening on http://")
}

// paper is a result whose table and JSON can be told apart.
type paper struct{ fail error }

func (p paper) WriteTable(w io.Writer) error {
	_, err := io.WriteString(w, "a table\n")
	return errors.Join(err, p.fail)
}

func (p paper) WriteJSON(w io.Writer) error {
	_, err := io.WriteString(w, "{}\n")
	return errors.Join(err, p.fail)
}

func TestBenchHandsOutItsResult(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ output, out, printed, saved string }{
		{"table", "", "a table\n", ""},
		{"json", "", "{}\n", ""},
		{"table", "deep/er/result", "a table\n", "deep/er/result.json"},
		{"table", "result.json", "a table\n", "result.json"},
	} {
		var stdout bytes.Buffer
		f := &benchFlags{p: &process{stdout: &stdout}, output: tt.output}
		if tt.out != "" {
			f.out = filepath.Join(dir, tt.out)
		}
		require.NoError(t, f.handOut(paper{}))
		assert.Equal(t, tt.printed, stdout.String())
		if tt.saved != "" {
			text, err := os.ReadFile(filepath.Join(dir, tt.saved))
			require.NoError(t, err)
			assert.Equal(t, "{}\n", string(text))
		}
	}
	full := errors.New("no space left on device")
	f := &benchFlags{p: &process{stdout: io.Discard}, output: "table"}
	require.ErrorIs(t, f.handOut(paper{full}), full)
	f.out = filepath.Join(dir, "result.json", "below-a-file")
	assert.ErrorContains(t, f.handOut(paper{}), "save the result: ")
}
