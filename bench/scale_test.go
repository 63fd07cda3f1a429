package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// builtBroker is the binary.
func builtBroker(t *testing.T) string {
	if testing.Short() {
		t.Skip("needs a build of the broker")
	}
	if binary := os.Getenv("OTTLA_E2E_BINARY"); binary != "" {
		return binary
	}
	binary := filepath.Join(t.TempDir(), "ottla")
	out, err := exec.Command("go", "build", "-o", binary, "ottla").CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}

// Every case runs against the real broker, at a much smaller scale, and leaves
// nothing behind.
func TestScaleAgainstTheBroker(t *testing.T) {
	o := short()
	o.Binary, o.DataDir = builtBroker(t), t.TempDir()
	so := ScaleOptions{
		Polls: 60, PollTopics: 3, IdlePartitions: 5, StartBytes: 10 << 20, AgeBytes: 10 << 20, Stops: 2, StartPartitions: manyOnTopic + 1,
		Settle: 10 * time.Millisecond, Window: 100 * time.Millisecond,
	}
	r, err := Scale(t.Context(), o, so, ScaleNames())
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, f := range r.Figures {
		seen[f.Case] = true
		assert.NotEmpty(t, f.Values, f.Name)
		if f.Unit != "%" && !strings.Contains(f.Name, "failed") && !strings.HasPrefix(f.Name, "CPU of") { // which is counted in ticks of 10 ms
			assert.Positive(t, f.Median, "%s: %s", f.Case, f.Name)
		}
	}
	assert.Len(t, seen, len(scaleCases))
	left, err := os.ReadDir(o.DataDir)
	require.NoError(t, err)
	assert.Empty(t, left)

	var table, text bytes.Buffer
	require.NoError(t, r.WriteTable(&table))
	assert.Contains(t, table.String(), "waking 20 groups of one by one event, p99")
	require.NoError(t, r.WriteJSON(&text))
	assert.True(t, json.Valid(text.Bytes()))
}

// A case that cannot run returns the reason and the figures of the cases before it.
func TestScaleFailsWithoutABroker(t *testing.T) {
	o := short()
	o.Binary, o.DataDir = "/nonexistent", t.TempDir()
	for _, name := range ScaleNames() {
		r, err := Scale(t.Context(), o, DefaultScaleOptions(), []string{name})
		require.Error(t, err)
		require.NotNil(t, r)
	}
	_, err := Scale(t.Context(), o, DefaultScaleOptions(), []string{"nope"})
	require.ErrorContains(t, err, "unknown case")
	o.Server = "http://127.0.0.1:1"
	_, err = Scale(t.Context(), o, DefaultScaleOptions(), []string{"ack"})
	require.ErrorContains(t, err, "themselves")
}

func TestFiguresKnowTheirTargets(t *testing.T) {
	s := &scaleRun{name: "case", result: &ScaleResult{}}
	s.figure("ratio", "", atLeast(0.8), 0.7, 0.9, 0.81)
	s.figure("ratio", "", atLeast(0.8), 0.79)
	s.figure("memory", "MB", atMost(250), 250)
	s.figure("memory", "MB", atMost(250), 251)
	s.figure("rate", "/s", nil, 12345.6, 12345.6)
	var b bytes.Buffer
	require.NoError(t, s.result.WriteTable(&b))
	for _, line := range []string{
		`ratio +0\.81 +>= 0\.8: ok +0\.7 0\.9 0\.81`, `ratio +0\.79 +>= 0\.8: missed`,
		`memory +250 MB +<= 250 MB: ok`, `memory +251 MB +<= 250 MB: missed`, `rate +12,346 /s +- +12,346 12,346`,
	} {
		assert.Regexp(t, line, b.String())
	}
}

func TestGapsKnowTheLongestAndTheOneUnderWay(t *testing.T) {
	start := time.Now()
	g := &gaps{last: start.Add(-time.Minute)}
	g.answered(nil, start.Add(-40*time.Second))
	g.answered(nil, start.Add(-10*time.Second))
	assert.Equal(t, 30*time.Second, g.since())
	assert.InDelta(t, 10, g.since().Seconds(), 5)
	g.answered(nil, time.Now())
	assert.InDelta(t, 10, g.since().Seconds(), 5)
	assert.Less(t, g.since(), 9*time.Second)
}

func TestQuantileOfFewValues(t *testing.T) {
	v := []float64{1, 2, 3, 4}
	for q, want := range map[float64]float64{0: 1, 0.25: 1, 0.5: 2, 0.51: 3, 0.99: 4, 1: 4} {
		assert.InDelta(t, want, quantile(v, q), 0, "%v", q)
	}
}

func TestParkedRequestsAreSpreadOverTopics(t *testing.T) {
	p := &parking{topics: []string{"a", "b", "c"}, offset: make([]int, 10)}
	counts := map[string]int{}
	for i := range p.offset {
		counts[p.topicOf(i)]++
	}
	for i, topic := range p.topics {
		assert.Equal(t, counts[topic], p.count(i), topic)
	}
}

// If a waiting request is not answered, that is an error, not a hang.
func TestWakeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := short()
	s := &scaleRun{Options: o}
	require.Error(t, s.waitParked(ctx, "http://127.0.0.1:1", 1, time.Now()))
}

// The settings of the working directory are those of some version, which need not
// be that of the broker.
func TestBrokerOfTheBenchHasItsOwnSettings(t *testing.T) {
	o := &Options{Binary: builtBroker(t), DataDir: t.TempDir()}
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("config.yaml", []byte("setting_of_another_version: 1\n"), 0o600))
	p, err := startBroker(context.Background(), o)
	require.NoError(t, err)
	p.end()
}
