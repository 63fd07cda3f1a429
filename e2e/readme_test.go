package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// step is one command of the README's tour and the line it prints there.
type step struct{ command, output string }

// tourSteps collects the console blocks of the README.
func tourSteps(t *testing.T) []step {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	var steps []step
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		for _, line := range strings.Split(strings.TrimSpace(block[1]), "\n") {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				steps = append(steps, step{command: command})
				continue
			}
			require.NotEmpty(t, steps, "output before any command: %s", line)
			steps[len(steps)-1].output += line + "\n"
		}
	}
	require.Greater(t, len(steps), 8)
	return steps
}

// The tour of the README works line by line and prints what it says there,
// except for times, cursors and the words of messages.
func TestTourOfTheReadme(t *testing.T) {
	t.Parallel()
	s := start(t)
	require.Equal(t, "data", filepath.Base(s.dir))
	for _, step := range tourSteps(t) {
		s.eventually(waitTimeout, "the tour's "+step.command, func() error {
			command := strings.ReplaceAll(step.command, "localhost:8080", strings.TrimPrefix(s.base, "http://"))
			cmd := exec.Command("bash", "-c", command)
			cmd.Dir = filepath.Dir(s.dir)
			out, err := cmd.Output()
			if err != nil && strings.HasPrefix(command, "grep") {
				return err // that broker's copy may come a moment later
			}
			require.NoError(t, err, step.command)
			assert.Equal(t, normal(step.output), normal(string(out)), step.command)
			return nil
		})
	}
}

// volatile names the fields whose values differ from run to run.
var volatile = []string{"timestamp", "receipt", "deadline", "deliver_at", "oldest_ready_ms", "lease_expires_at", "cursor", "message", "created_at", "id", "port"}

// normal renders output for comparison: JSON with volatile values
// replaced by their types, text with times replaced.
func normal(output string) string {
	var v any
	if json.Unmarshal([]byte(output), &v) != nil {
		return regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}`).ReplaceAllString(output, "<time>")
	}
	out, err := json.MarshalIndent(blank(v), "", " ")
	if err != nil {
		return err.Error()
	}
	return string(out)
}

func blank(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "details") // optional in errors
		for name, field := range v {
			if slices.Contains(volatile, name) {
				v[name] = fmt.Sprintf("<%T>", field)
				continue
			}
			if list, ok := field.([]any); ok && name == "records" { // which partition comes first is not promised
				slices.SortStableFunc(list, func(a, b any) int { return cmp.Compare(recordPartition(a), recordPartition(b)) })
			}
			v[name] = blank(field)
		}
	case []any:
		for i := range v {
			v[i] = blank(v[i])
		}
	}
	return v
}

func recordPartition(record any) float64 {
	fields, _ := record.(map[string]any)
	partition, _ := fields["partition"].(float64)
	return partition
}

func TestNormalTellsDifferencesApart(t *testing.T) {
	same := normal(`{"offset":1,"timestamp":5,"cursor":"a"}`)
	assert.Equal(t, same, normal(`{"cursor":"b","timestamp":6,"offset":1}`))
	assert.NotEqual(t, same, normal(`{"cursor":"b","timestamp":6,"offset":2}`))
	assert.NotEqual(t, same, normal(`{"cursor":"b","timestamp":"6","offset":1}`))
	assert.NotEqual(t, same, normal(`{"timestamp":6,"offset":1}`))
	assert.Equal(t, normal("2026-11-22 17:16:03.124 x 1\n"), normal("2027-01-02 03:04:05.678 x 1\n"))
}
