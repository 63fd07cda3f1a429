package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lineFormat is the user's format:
// [date] [time] [topic] [partition] [offset] [key] [value] [action].
// Keys and values may hold spaces, inside of JSON strings only.
var lineFormat = regexp.MustCompile(
	`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ([A-Za-z0-9._-]+) (\d+) (\d+) (\S.*) (\S.*) ([A-Z_]+)( \{.*\})?$`)

// recordLines reads what a broker's files of a partition hold once every
// line that begins with '#' is dropped. A partition without files has none.
func (s *server) recordLines(cluster string, broker int, topic string, partition int) []string {
	s.t.Helper()
	dir := filepath.Join(s.brokerDir(cluster, broker), fmt.Sprintf("%s-%d", topic, partition))
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	require.NoError(s.t, err)
	slices.Sort(files)
	var lines []string
	for _, file := range files {
		assert.Regexp(s.t, `^\d{20}\.log$`, filepath.Base(file))
		f, err := os.Open(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped since it was listed
		}
		require.NoError(s.t, err)
		in := bufio.NewScanner(f)
		in.Buffer(nil, 32<<20)
		for in.Scan() {
			if !strings.HasPrefix(in.Text(), "#") {
				lines = append(lines, in.Text())
			}
		}
		require.NoError(s.t, in.Err())
		require.NoError(s.t, f.Close())
	}
	return lines
}

// sameLines waits until the files of the brokers hold the same lines for
// each partition, exactly those that want counts, and returns them.
func (s *server) sameLines(cluster, topic string, partitions int, brokers []int, want int) map[int][]string {
	s.t.Helper()
	result := map[int][]string{}
	s.eventually(waitTimeout, fmt.Sprintf("brokers %v agree on %s", brokers, topic), func() error {
		total := 0
		for p := range partitions {
			lines := s.recordLines(cluster, brokers[0], topic, p)
			for _, b := range brokers[1:] {
				if other := s.recordLines(cluster, b, topic, p); !slices.Equal(lines, other) {
					return fmt.Errorf("partition %d: broker %d has %d lines, broker %d has %d", p, brokers[0], len(lines), b, len(other))
				}
			}
			result[p] = lines
			total += len(lines)
		}
		if total != want {
			return fmt.Errorf("%d lines, want %d", total, want)
		}
		return nil
	})
	return result
}

func TestLogFilesOfAllBrokers(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("files", 3)
	for i := range 30 {
		s.produce("files", object{"key": fmt.Sprintf("user %d", i%5), "value": object{"n": i, "text": "two words"}})
	}
	lines := s.sameLines("default", "files", 3, []int{1, 2, 3}, 30)
	for p, partition := range lines {
		for offset, line := range partition {
			m := lineFormat.FindStringSubmatch(line)
			require.NotNil(t, m, "line must have the user's format: %s", line)
			assert.Equal(t, []string{"files", fmt.Sprint(p), fmt.Sprint(offset)}, m[1:4])
			assert.Equal(t, "PRODUCE", m[6])
		}
	}
	s.kill()
	s.again()
	assert.Equal(t, lines, s.sameLines("default", "files", 3, []int{1, 2, 3}, 30), "a restart changes nothing")
}

func TestLinesAreExactlyAsSpecified(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("liked", 1)
	const at = 1795367763123 // 2026-11-22 17:16:03.123 UTC
	rows := []struct {
		fields object
		want   string
	}{
		{object{"key": "user-42", "value": object{"post": 7}}, `"user-42" {"post":7} PRODUCE`},
		{object{"value": "a b"}, `- "a b" PRODUCE`},
		{object{"key": 7}, `7 - TOMBSTONE`},
		{object{"key": "null", "value": "-"}, `"null" "-" PRODUCE`},
		{object{"key_text": "é\n", "value_text": "{}"}, `t"é\n" t"{}" PRODUCE`},
		{object{"key_base64": "/w==", "value_base64": "AP8="}, `b"/w==" b"AP8=" PRODUCE`},
		{object{"value": true, "headers": object{"trace": "x y"}}, `- true PRODUCE {"trace":"x y"}`},
	}
	var want []string
	for i, row := range rows {
		row.fields["timestamp"] = at
		s.produce("liked", row.fields)
		want = append(want, fmt.Sprintf("2026-11-22 17:16:03.123 liked 0 %d %s", i, row.want))
	}
	assert.Equal(t, want, s.sameLines("default", "liked", 1, []int{1, 2, 3}, len(want))[0])
	value, err := json.Marshal("line one\nline two\x00")
	require.NoError(t, err)
	s.produce("liked", object{"value": json.RawMessage(value), "timestamp": at})
	got := s.sameLines("default", "liked", 1, []int{1, 2, 3}, len(want)+1)[0]
	assert.Equal(t, fmt.Sprintf("2026-11-22 17:16:03.123 liked 0 %d - %s PRODUCE", len(want), value), got[len(want)])
}

// The tools of every Unix work on a live partition.
func TestGrepAndTailOnALiveLog(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("live", 1)
	s.produce("live", object{"key": "needle", "value": 1})
	s.produce("live", object{"key": "hay", "value": 2})
	s.sameLines("default", "live", 1, []int{1, 2, 3}, 2)
	dir := filepath.Join(s.brokerDir("default", 1), "live-0")
	out, err := exec.Command("grep", "-rh", "needle", dir).Output()
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(out), "\n"))
	assert.Contains(t, string(out), ` live 0 0 "needle" 1 PRODUCE`)

	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	tail := exec.Command("tail", "-n", "+1", "-f", files[0])
	stdout, err := tail.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, tail.Start())
	defer tail.Wait()         //nolint:errcheck // it was killed
	defer tail.Process.Kill() //nolint:errcheck // it may have ended
	s.produce("live", object{"key": "seen by tail", "value": 3})
	in := bufio.NewScanner(stdout)
	for in.Scan() {
		if strings.Contains(in.Text(), `live 0 2 "seen by tail" 3 PRODUCE`) {
			return
		}
	}
	require.FailNow(t, "tail -f ended without the record")
}

// A command that works on files, and has nothing to end in order, ends with a signal as
// other programs do.
func TestSignalsEndOfflineCommands(t *testing.T) {
	t.Parallel()
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("the tests run under nohup, and so would the command")
	}
	s := start(t)
	for range 20 { // more than it can write ahead
		s.produce("t", object{"value": strings.Repeat("x", 100_000)})
	}
	s.stop()
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
		cmd := exec.Command(binary, "log", "cat", s.dir) // the test's own
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = out.Read(make([]byte, 1))
		require.NoError(t, err)
		require.NoError(t, cmd.Process.Signal(sig)) // while it waits for its reader
		killer := time.AfterFunc(waitTimeout, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		assert.True(t, killer.Stop(), "it goes on after %s", sig)
		assert.Equal(t, 128+int(sig), cmd.ProcessState.ExitCode())
	}
}
