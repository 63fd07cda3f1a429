package cli

import (
	"bytes"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
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
		{"bench", "scale", "idle", "--server", "http://127.0.0.1:1"},
	} {
		var stdout, stderr bytes.Buffer
		p := &process{stdout: &stdout, stderr: &stderr, lookupEnv: os.LookupEnv, signals: make(chan os.Signal)}
		assert.Equal(t, exitUsage, run(p, args), "%q: %s", args, &stderr)
		assert.Empty(t, stdout.String())
		assert.NotEmpty(t, stderr.String())
	}
}

// The bench ends its echo server as service managers end processes.
func TestEchoServerEndsWithASignal(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	var stdout, stderr bytes.Buffer
	p := &process{stdout: &stdout, stderr: &stderr, lookupEnv: os.LookupEnv, signals: signals}
	assert.Equal(t, exitOK, run(p, []string{"bench", "echo-server"}), &stderr)
	assert.Contains(t, stdout.String(), "listening on http://")
}
