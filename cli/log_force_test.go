package cli

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/datadir"
)

// lostMajority is a data directory of a cluster with three brokers, of which two have lost
// their directories, and the values that its topic t had.
func lostMajority(t *testing.T) (dir string, values []string) {
	t.Helper()
	dir = t.TempDir()
	s, stop := liveServer(t, dir)
	s.must(t, "", "cluster", "create", "three", "--num-brokers", "3")
	s.must(t, "", "topic", "create", "t", "--cluster", "three", "--partitions", "2")
	for i := range 40 {
		values = append(values, fmt.Sprintf(`{"n":%d}`, i))
	}
	s.must(t, strings.Join(values, "\n")+"\n", "produce", "t", "--cluster", "three", "--key-field", "n")
	require.Eventually(t, func() bool { // the survivor has all of it
		want := recordLines(t, filepath.Join(dir, "three", datadir.BrokerDirName(2)))
		for _, b := range []int{1, 3} {
			if !maps.Equal(want, recordLines(t, filepath.Join(dir, "three", datadir.BrokerDirName(b)))) {
				return false
			}
		}
		return want["t-0"]+want["t-1"] == len(values)
	}, time.Minute, 5*time.Millisecond)
	require.Equal(t, exitOK, stop())
	for _, b := range []int{1, 3} {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "three", datadir.BrokerDirName(b))))
	}
	return dir, values
}

// recordLines is how many records each log of a broker has.
func recordLines(t *testing.T, broker string) map[string]int {
	t.Helper()
	lines := map[string]int{}
	logs, err := filepath.Glob(filepath.Join(broker, "*", "*.log"))
	require.NoError(t, err)
	for _, path := range logs {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "#") {
				lines[filepath.Base(filepath.Dir(path))]++
			}
		}
	}
	return lines
}

// atTerminal runs `ottla log repair` at a terminal, whose user types answer.
func atTerminal(t *testing.T, answer string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(&process{stdin: strings.NewReader(answer), stdout: &out, stderr: &errs, asks: true}, append([]string{"log", "repair"}, args...))
	return code, out.String(), errs.String()
}

// tree is each file below a directory with its size.
func tree(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	files := map[string]int64{}
	require.NoError(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() && info.Name() != ".lock" {
			files[path] = info.Size()
		}
		return err
	}))
	return files
}

// Nothing changes until somebody has agreed, in whatever way it is refused; what the one
// copy had is there afterwards, and doing it again does nothing.
func TestForceMembershipAsksFirst(t *testing.T) {
	dir, values := lostMajority(t)
	before := tree(t, dir)
	for _, c := range []struct {
		answer string
		args   []string
		code   int
		says   string
	}{
		{"yes\n", []string{"--dry-run"}, exitFailed, "would be forced; nothing was changed"},
		{"no\n", nil, exitFailed, "nothing was changed"},
		{"y\n", nil, exitFailed, "nothing was changed"},
		{"", nil, exitFailed, "nothing was changed"},
		{"", []string{"--dry-run", "--yes"}, exitUsage, "--dry-run goes with --force-membership and without --yes"},
	} {
		code, stdout, stderr := atTerminal(t, c.answer, append([]string{dir, "--force-membership"}, c.args...)...)
		assert.Equal(t, c.code, code, "%q %q", c.answer, c.args)
		assert.Contains(t, stderr, c.says)
		assert.Equal(t, before, tree(t, dir), "%q %q", c.answer, c.args)
		if c.code == exitFailed {
			for _, want := range []string{"t-0: no majority of its 3 replicas is left", "__cluster_metadata-0: no majority", "survivor: replica 2 on broker 2", "given up: replica 1 on broker 1", "what it had is not known", "may be lost: acknowledged records at offset"} {
				assert.Contains(t, stdout, want)
			}
		}
	}
	code, _, stderr := offline(t, "repair", dir, "--force-membership")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "run it again with --yes", "nobody is at a terminal")
	assert.Equal(t, before, tree(t, dir))

	code, _, stderr = atTerminal(t, "yes\n", dir, "--force-membership")
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, stderr, "partitions continue with one copy; start the server to have the others rebuilt")
	code, stdout, stderr := offline(t, "repair", dir, "--force-membership", "--yes")
	assert.Equal(t, exitOK, code)
	assert.NotContains(t, stdout, "no majority")
	assert.Contains(t, stderr, "every partition has a majority of its replicas; nothing to do")

	s, stop := liveServer(t, dir)
	out := s.must(t, "", "consume", "t", "--cluster", "three", "--max-records", "40")
	for _, v := range values {
		assert.Equal(t, 1, strings.Count(out, `"value":`+v), v)
	}
	require.Equal(t, exitOK, stop())
}

// A partition whose last copy is gone too has nothing that can be continued with: the
// others are forced, and the exit status says that not all of them were.
func TestForceMembershipWithoutACopy(t *testing.T) {
	dir, _ := lostMajority(t)
	at := filepath.Join(dir, "three", datadir.BrokerDirName(2), "t-0")
	require.NoError(t, os.RemoveAll(at))
	code, stdout, stderr := offline(t, "repair", dir, "--force-membership", "--yes")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stdout, "no copy to continue with")
	assert.Contains(t, stderr, "1 partitions have no copy to continue with; delete their topics, or restore a backup")
	code, _, stderr = offline(t, "repair", dir, "--force-membership", "--yes")
	assert.Equal(t, exitFailed, code, "it is still gone")
	assert.Contains(t, stderr, "1 partitions have no copy to continue with")
}

func TestForceMembershipRefusesWhatIsNoDataDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{t.TempDir(), file, filepath.Join(file, "below"), "/no/such/directory"} {
		for _, args := range [][]string{{"--yes"}, {"--dry-run"}, {"--yes", "--into", filepath.Join(t.TempDir(), "new")}} {
			code, stdout, stderr := offline(t, append([]string{"repair", dir, "--force-membership"}, args...)...)
			assert.Equal(t, exitFailed, code, "%s %q: %s", dir, args, stdout)
			assert.NotEmpty(t, stderr)
		}
	}
	for _, args := range [][]string{
		{"repair"},
		{"repair", "a", "b"},
		{"repair", "a", "--into", "b"},
		{"repair", "a", "--dry-run"},
		{"repair", "--force-membership", "--into", "b"},
	} {
		code, _, stderr := offline(t, args...)
		assert.Equal(t, exitUsage, code, "%q: %s", args, stderr)
	}
}
