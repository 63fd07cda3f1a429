package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A topic is copied by what consume prints, keys, headers, times and all kinds of
// values included.
func TestCopyATopicWithTheCommandLine(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("from", 1)
	s.topic("to", 1)
	for _, fields := range []string{
		`"key":"a","value":{"n":12.50}`, `"key_text":"b","value_text":"x y"`, `"key":{"k":1},"value_base64":"//79"`,
		`"key":"gone"`, `"value":123456789012345678901234567890,"headers":{"h":"1"}`, `"value":"\u2028","timestamp":1000`,
	} {
		s.post("/events", `{"topic":"from",`+fields+`}`).want(http.StatusOK)
	}
	out := s.must("", "consume", "from")
	s.must(out, "produce", "to", "--records")
	copied := s.must("", "consume", "to")
	assert.Equal(t, strings.ReplaceAll(out, `"topic":"from"`, `"topic":"to"`), copied)

	s.must(out, "produce", "to", "--records", "--skip", "4")
	assert.Len(t, strings.Split(strings.TrimSpace(s.must("", "consume", "to")), "\n"), 8)
	code, _, stderr := s.ottla("{\"value\":1}\n[]\n", "produce", "to", "--records")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "line 2: not a record as 'ottla consume' prints it")
}

func TestConsumeFormats(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("f", 2)
	s.topic("g", 1)
	file := filepath.Join(t.TempDir(), "lines")
	var lines strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&lines, "line %d é\n", i)
	}
	require.NoError(t, os.WriteFile(file, []byte(lines.String()), 0o600))
	s.must("", "produce", "g", file)
	out := s.must("", "consume", "g", "--values")
	assert.Equal(t, sha256.Sum256([]byte(lines.String())), sha256.Sum256([]byte(out)), "what went in comes out")

	for i := range 6 {
		s.produce("f", object{"key": fmt.Sprint("k", i), "value": i, "partition": i % 2})
	}
	assert.Equal(t, "k1\t1\nk3\t3\nk5\t5\n", s.must("", "consume", "f", "--partition", "1", "--keys", "--values"))
	assert.Equal(t, "1 1 3\n1 2 5\n", s.must("", "consume", "f", "--partition", "1", "--offset", "1", "--format", `%p %o %v\n`))
	assert.Equal(t, "4\n5\n", s.must("", "consume", "f", "--tail", "1", "--values"))
	assert.Equal(t, "0\n2\n", s.must("", "consume", "f", "--partition", "0", "--values", "--max-records", "2"))
	assert.Equal(t, 3006, strings.Count(s.must("", "consume", "f", "g"), "\n"), "two topics")
	code, _, stderr := s.ottla("", "consume", "f", "--partition", "7")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "no partition 7")
	s.run("no group is left", func(t *testing.T) { assert.JSONEq(t, `{"groups":[]}`, string(s.get("/groups").body)) })

	s.must("", "topic", "create", "kept", "--retention-ms", "1d", "--segment-bytes", "1MiB")
	topic := s.get("/topic/kept").object()
	assert.Equal(t, "86400000 1048576", fmt.Sprint(topic["retention_ms"], " ", topic["segment_bytes"]))
	assert.Empty(t, s.must("", "consume", "f", "--from", "now"))
	assert.Equal(t, 6, strings.Count(s.must("", "consume", "f", "--from", "-1h"), "\n"))
}

// A reader of the output that has enough ends the command at once, although there is
// more to print.
func TestConsumeEndsWithItsReader(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("p", 1)
	var lines strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&lines, "%0100d\n", i)
	}
	s.must(lines.String(), "produce", "p")
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "consume", "p", "--server", s.base, "--follow")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var stderr safeBuffer
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	require.True(t, bufio.NewScanner(out).Scan())
	require.NoError(t, out.Close())
	began := time.Now()
	require.NoError(t, cmd.Wait(), stderr.tail(1000))
	assert.Empty(t, stderr.tail(1000))
	assert.Less(t, time.Since(began), 30*time.Second)
	assert.JSONEq(t, `{"groups":[]}`, string(s.get("/groups").body))
}
