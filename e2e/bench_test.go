package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The bench is a client like any other: every workload runs against a broker
// that it starts, gets right answers only, and leaves nothing behind.
func TestBenchRunsEveryWorkload(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "results", "short")
	data := filepath.Join(dir, "data")
	require.NoError(t, os.Mkdir(data, 0o755))
	cmd := exec.Command(binary, "bench", "--connections", "4", "--partitions", "2", "--duration", "500ms", "--warmup", "100ms",
		"--data-dir", data, "--out", out)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
	assert.Contains(t, string(text), "produce-single")

	file, err := os.ReadFile(out + ".json")
	require.NoError(t, err)
	var result struct {
		Measurements []struct {
			Name             string
			Requests, Errors int64
			FirstError       string `json:"first_error"`
			Series           []any
		}
	}
	require.NoError(t, json.Unmarshal(file, &result))
	var names []string
	for _, m := range result.Measurements {
		names = append(names, m.Name)
		assert.Positive(t, m.Requests, m.Name)
		assert.Zero(t, m.Errors, "%s: %s", m.Name, m.FirstError)
		assert.NotEmpty(t, m.Series, m.Name)
	}
	assert.Equal(t, []string{
		"echo", "produce-single", "produce-batch", "produce-async", "fetch",
		"longpoll/ack", "longpoll/delivery", "longpoll/beyond-ack",
		"longpoll-commit/ack", "longpoll-commit/delivery", "longpoll-commit/beyond-ack", "poll", "poll-commit", "commit", "fanout/delivery", "fanout/ack", "fanout-groups/delivery", "fanout-groups/ack", "kafka-produce", "kafka-fetch", "kafka-client-produce", "kafka-client-fetch", "kafka-commit", "fair/modest-alone", "fair/modest-beside", "fair/greedy", "mixed/produce", "mixed/consume", "mixed/fetch",
	}, names)
	assert.FileExists(t, out+".svg")
	left, err := os.ReadDir(data)
	require.NoError(t, err)
	assert.Empty(t, left, "the broker's data is removed")
}

// A bench of several nodes starts a fleet, whose nodes all get requests.
func TestBenchOfAFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("takes several seconds")
	}
	t.Parallel()
	data := t.TempDir()
	cmd := exec.Command(binary, "bench", "produce-single", "produce-batch", "poll", "--nodes", "3", "--connections", "6", "--duration", "300ms",
		"--warmup", "100ms", "--data-dir", data, "--output", "json")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	text, err := cmd.Output()
	require.NoError(t, err, "%s", &errs)
	var result struct {
		Options      struct{ Nodes int }
		Measurements []struct {
			Name             string
			Requests, Errors int64
			FirstError       string `json:"first_error"`
		}
	}
	require.NoError(t, json.Unmarshal(text, &result))
	assert.Equal(t, 3, result.Options.Nodes)
	require.Len(t, result.Measurements, 3)
	for _, m := range result.Measurements {
		assert.Positive(t, m.Requests, m.Name)
		assert.Zero(t, m.Errors, "%s: %s", m.Name, m.FirstError)
	}
	left, err := os.ReadDir(data)
	require.NoError(t, err)
	assert.Empty(t, left, "the nodes' data is removed")
}
