package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ottla runs a command of the binary against the server.
func (s *server) ottla(stdin string, args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "OTTLA_SERVER="+s.base)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, failed := err.(*exec.ExitError); !failed { //nolint:errorlint // Run returns it as it is
		require.NoError(s.t, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// must is ottla for commands that have to work.
func (s *server) must(stdin string, args ...string) string {
	s.t.Helper()
	code, stdout, stderr := s.ottla(stdin, args...)
	require.Zero(s.t, code, "%v: %s", args, stderr)
	return stdout
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	s := start(t)
	assert.Contains(t, s.must("", "cluster", "create", "solo", "--num-brokers", "1"), "BROKER 1")
	assert.Contains(t, s.must("", "cluster", "list"), "solo")
	assert.Contains(t, s.must("", "topic", "create", "clicks", "--partitions", "2"), "PARTITION 1")
	assert.Contains(t, s.must("", "topic", "describe", "clicks"), "in sync")
	assert.Contains(t, s.must("", "topic", "alter", "clicks", "--retention-ms", "3600000"), "RETENTION         1h\n")

	assert.Equal(t, "3 records committed to clicks\n", s.must("{\"n\":1}\nplain text\n12345678901234567890.10\n", "produce", "clicks", "--key", "k"))
	out := s.must("", "consume", "clicks", "--group", "g", "--max-records", "2")
	assert.Contains(t, out, `"value":"plain text"`)
	out = s.must("", "consume", "clicks", "--group", "g")
	assert.Equal(t, 1, strings.Count(out, "\n"), "reading goes on where it ended: %s", out)
	assert.Contains(t, out, `"value":12345678901234567890.10,`)

	assert.Regexp(t, `clicks +\d +3 +`, s.must("", "offset", "list", "--group", "g"))
	s.must("", "group", "seek", "g", "--topic", "clicks", "--to", "earliest")
	assert.Equal(t, 3, strings.Count(s.must("", "consume", "clicks", "--group", "g"), "\n"))
	assert.Contains(t, s.must("", "group", "list"), "empty")
	s.must("", "group", "delete", "g")
	assert.Equal(t, 3, strings.Count(s.must("", "consume", "clicks"), "\n"))
	assert.NotContains(t, s.must("", "group", "list"), "consumer-", "a group of its own is gone with it")
	s.must("", "topic", "delete", "clicks")
	code, _, stderr := s.ottla("", "topic", "describe", "clicks")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "topic_not_found")
	s.must("", "cluster", "delete", "solo")
	code, _, _ = s.ottla("", "topic", "frobnicate")
	assert.Equal(t, 2, code)
}

// A follower in another process prints every record exactly once although the
// server is killed and started again meanwhile: between polls, nothing is in
// flight.
func TestConsumeFollowsOverARestart(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.must("{\"n\":1}\n{\"n\":2}\n", "produce", "clicks")
	port := s.base[strings.LastIndex(s.base, ":")+1:]

	var out, errs safeBuffer
	cmd := exec.Command(binary, "consume", "clicks", "--group", "g", "--follow", "--server", s.base)
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	wait := func(n int) {
		s.eventually(waitTimeout, "the follower has printed "+fmt.Sprint(n), func() error {
			if got := strings.Count(out.tail(1<<20), "\n"); got != n {
				return fmt.Errorf("%d lines; %s", got, errs.tail(2000))
			}
			return nil
		})
	}
	wait(2)
	for round, end := range []func(){s.kill, s.stop} {
		end()
		s.args = []string{"--listen", "127.0.0.1:" + port}
		s.again()
		s.must(fmt.Sprintf("{\"round\":%d}\n", round), "produce", "clicks")
		wait(3 + round)
	}
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait(), errs.tail(2000))
	assert.Regexp(t, `clicks +\d +\d+ +`, s.must("", "offset", "list", "--group", "g"))
}

// Verify finds a flipped byte and nothing else; repair cuts it out of a
// partition that has no other copy, and the server serves what is left.
func TestOfflineLogCommands(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.must("", "cluster", "create", "solo", "--num-brokers", "1")
	s.must("", "topic", "create", "one", "--cluster", "solo", "--partitions", "1")
	for n := range 5 {
		s.must(fmt.Sprintf("{\"n\":%d}\n", n), "produce", "one")
	}
	code, _, stderr := s.ottla("", "log", "verify", s.dir)
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "in use by process")
	s.stop()

	code, stdout, stderr := s.ottla("", "log", "verify", s.dir)
	require.Zero(t, code, stdout)
	assert.Contains(t, stderr, "no damage")
	log := filepath.Join(s.dir, "solo", "broker-1", "one-0")
	assert.Equal(t, 5, strings.Count(s.must("", "log", "cat", log), " PRODUCE\n"))

	path := filepath.Join(log, "00000000000000000000.log")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	text[bytes.Index(text, []byte(`{"n":3}`))+5] = '8'
	require.NoError(t, os.WriteFile(path, text, 0o600))
	code, stdout, _ = s.ottla("", "log", "verify", s.dir)
	assert.Equal(t, 1, code)
	assert.Regexp(t, `^\S+/one-0/0{20}\.log: damaged at byte \d+: [^\n]*\n$`, stdout)
	code, stdout, _ = s.ottla("", "log", "repair", s.dir)
	assert.Equal(t, 1, code)
	assert.Contains(t, stdout, "kept: every record below offset 3")
	s.must("", "log", "repair", s.dir, "--yes")
	s.must("", "log", "verify", s.dir)

	s.again()
	assert.Equal(t, 3, strings.Count(s.must("", "consume", "one"), "\n"))
	s.must("{\"n\":9}\n", "produce", "one")
	assert.Contains(t, s.must("", "consume", "one"), `"offset":3,`)
}
