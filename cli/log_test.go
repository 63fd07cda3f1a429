package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
)

// logDir writes a log with n records of a partition with these voters. The replica
// is number 1.
func logDir(t *testing.T, n int, voters ...uint64) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data", "broker-1", "t-0")
	require.NoError(t, os.MkdirAll(filepath.Dir(dir), 0o755))
	conf := raftpb.ConfState{Voters: voters}
	state, err := conf.Marshal()
	require.NoError(t, err)
	id := logfile.Identity{ClusterID: "c", TopicID: "i", Topic: "t", Broker: 1, ReplicaID: 1}
	l, err := logfile.Create(logfile.OSFS{}, dir, id, logfile.Checkpoint{ConfState: state, HardTerm: 1}, logfile.Options{})
	require.NoError(t, err)
	for i := range n {
		body := []byte("#p x\n2026-11-22 17:16:03.123 t 0 " + string(rune('0'+i)) + " - {\"n\":" + string(rune('0'+i)) + "} PRODUCE\n")
		var b logfile.Batch
		require.NoError(t, l.Append(&b, []logfile.Frame{{
			Index: uint64(i + 1), Term: 1, Kind: logfile.KindRecords, BaseOffset: int64(i), Count: 1, AppendTime: 1,
			Body: body, BodySum: logfile.Checksum(body),
		}}))
		l.StageSyncMark(&b)
		require.NoError(t, b.Execute())
		for _, f := range b.Files() {
			require.NoError(t, f.Sync())
		}
		l.Synced(l.LastIndex())
	}
	require.NoError(t, l.Close())
	return dir
}

func segment(dir string) string { return filepath.Join(dir, "00000000000000000000.log") }

// spoil flips a bit of the segment.
func spoil(t *testing.T, dir, at string) {
	t.Helper()
	text, err := os.ReadFile(segment(dir))
	require.NoError(t, err)
	i := bytes.Index(text, []byte(at))
	require.Positive(t, i)
	text[i] ^= 1
	require.NoError(t, os.WriteFile(segment(dir), text, 0o600))
}

func offline(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(&process{stdout: &out, stderr: &errs}, append([]string{"log"}, args...))
	return code, out.String(), errs.String()
}

func TestLogVerifyAndCat(t *testing.T) {
	dir := logDir(t, 5, 1)
	root := filepath.Dir(filepath.Dir(dir))
	for _, path := range []string{root, dir, segment(dir)} {
		code, stdout, stderr := offline(t, "cat", path)
		assert.Equal(t, exitOK, code, stderr)
		assert.Equal(t, 5, strings.Count(stdout, "\n"))
		assert.True(t, strings.HasPrefix(stdout, "2026-11-22 17:16:03.123 t 0 0 - {\"n\":0} PRODUCE\n"), stdout)
	}
	code, stdout, stderr := offline(t, "verify", root)
	assert.Equal(t, exitOK, code)
	assert.Empty(t, stdout)
	assert.Equal(t, "1 log file, no damage\n", stderr)

	spoil(t, dir, `{"n":2}`)
	require.NoError(t, os.WriteFile(filepath.Join(root, "cluster.json"), []byte(`{"clusters":[`), 0o600))
	code, stdout, _ = offline(t, "verify", root)
	assert.Equal(t, exitFailed, code)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	require.Len(t, lines, 2, stdout)
	assert.Regexp(t, `00000000000000000000\.log: damaged at byte \d+: `, lines[0])
	assert.Contains(t, lines[1], "cluster.json: damaged at byte 0: ")

	code, stdout, stderr = offline(t, "cat", root)
	assert.Equal(t, exitFailed, code)
	assert.Equal(t, 2, strings.Count(stdout, "\n"))
	assert.Contains(t, stderr, "damaged at byte")

	code, _, stderr = offline(t, "verify", t.TempDir())
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "no log files")
	code, _, _ = offline(t, "verify", "/no/such/directory")
	assert.Equal(t, exitFailed, code)
}

func TestLogRepairOfASoleReplica(t *testing.T) {
	dir := logDir(t, 5, 1)
	code, _, stderr := offline(t, "repair", dir)
	assert.Equal(t, exitOK, code)
	assert.Equal(t, "nothing to repair\n", stderr)

	spoil(t, dir, `{"n":2}`)
	before, err := os.ReadFile(segment(dir))
	require.NoError(t, err)
	code, stdout, _ := offline(t, "repair", dir)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stdout, "kept: every record below offset 2\n")
	assert.Contains(t, stdout, "lost: every record from offset 2 on (readable ones reach 4)")
	after, err := os.ReadFile(segment(dir))
	require.NoError(t, err)
	assert.Equal(t, before, after, "nothing happens without --yes")

	code, stdout, stderr = offline(t, "repair", dir, "--yes")
	assert.Equal(t, exitOK, code, stderr)
	assert.Contains(t, stdout, ".broken")
	code, _, _ = offline(t, "verify", dir)
	assert.Equal(t, exitOK, code)
	_, stdout, _ = offline(t, "cat", dir)
	assert.Equal(t, 2, strings.Count(stdout, "\n"))
}

func TestLogRepairLeavesReplicasAlone(t *testing.T) {
	dir := logDir(t, 5, 1, 2, 3)
	spoil(t, dir, `{"n":2}`)
	before, err := os.ReadFile(segment(dir))
	require.NoError(t, err)
	code, stdout, stderr := offline(t, "repair", dir, "--yes")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stdout, "the partition has other replicas")
	assert.Contains(t, stderr, "1 damages are left")
	after, err := os.ReadFile(segment(dir))
	require.NoError(t, err)
	assert.Equal(t, before, after)

	aside := dir + ".replaced-1"
	require.NoError(t, os.Rename(dir, aside))
	code, stdout, _ = offline(t, "repair", aside)
	assert.Equal(t, exitOK, code)
	assert.Contains(t, stdout, "no longer in use")
}
