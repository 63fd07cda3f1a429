package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// offline runs a subcommand of the binary to its end.
func (s *server) offline(args ...string) (out string, code int) {
	s.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Dir = filepath.Dir(s.dir)
	data, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		require.NoError(s.t, err)
	}
	return string(data), cmd.ProcessState.ExitCode()
}

// Two of three broker directories are gone for good: the server refuses, the
// command says what is left, and afterwards everything that the survivor has
// is served, by three replicas again.
func TestMajorityLostAndMembershipForced(t *testing.T) {
	t.Parallel()
	s, lines := filled(t)
	p := s.poll("topic=d", "group=g", "consumer_id=1", "max_records=7")
	require.Len(t, p.Records, 7)
	var committed []int64
	for i := range 3 {
		committed = append(committed, s.committed("g", "d", i))
	}
	out, code := s.offline("log", "repair", s.dir, "--force-membership", "--yes")
	require.Equal(t, 1, code, out)
	require.Contains(t, out, "stop the server first")

	// The survivor may be behind its majority in what it is not asked for below.
	s.waitInSync(protocol.MetadataTopic, 3)
	s.waitInSync(protocol.OffsetsTopic, 3)
	s.kill()
	kept := filepath.Join(t.TempDir(), "kept")
	require.NoError(t, os.CopyFS(kept, os.DirFS(s.brokerDir("default", 1))))
	for b := 1; b <= 3; b += 2 {
		require.NoError(t, os.RemoveAll(s.brokerDir("default", b)))
	}
	refusal, err := s.runToEnd()
	require.Error(t, err, refusal)
	assert.Contains(t, refusal, "ottla log repair --force-membership")
	assert.NoDirExists(t, s.brokerDir("default", 1), "nothing is made anew")

	plan, code := s.offline("log", "repair", s.dir, "--force-membership", "--dry-run")
	assert.Equal(t, 1, code, plan)
	for _, want := range []string{"__cluster_metadata-0", "__consumer_offsets-0", "d-2", "survivor: replica 2 on broker 2", "next offset 20", "given up: replica 1 on broker 1"} {
		assert.Contains(t, plan, want)
	}
	again, _ := s.offline("log", "repair", s.dir, "--force-membership", "--dry-run")
	assert.Equal(t, plan, again, "a dry run changes nothing")
	out, code = s.offline("log", "repair", s.dir, "--force-membership")
	assert.Equal(t, 1, code, out)
	assert.Contains(t, out, "--yes", "nobody at a terminal agreed")
	refusal, err = s.runToEnd()
	require.Error(t, err, refusal)

	out, code = s.offline("log", "repair", s.dir, "--force-membership", "--yes")
	require.Equal(t, 0, code, out)
	out, code = s.offline("log", "repair", s.dir, "--force-membership", "--yes")
	require.Equal(t, 0, code, out)
	assert.Contains(t, out, "nothing to do")

	s.again()
	assert.Equal(t, lines, s.sameLines("default", "d", 3, []int{1, 2, 3}, 60))
	for i := range 3 {
		assert.Len(t, s.readPartition("d", i), 20)
		assert.Equal(t, committed[i], s.committed("g", "d", i))
	}
	s.standsAlone(2, 60)
	s.waitInSync("d", 3)
	s.waitInSync(protocol.MetadataTopic, 3) // of whose first two copies the older one below would be half

	// A directory that was given up turns up again: it is older than the rest.
	s.stop()
	s.restoreOld(kept, 1)
	s.again()
	s.sameLines("default", "d", 3, []int{1, 2, 3}, 63)
	assert.DirExists(t, s.brokerDir("default", 1)+".aside-1")
}

// Copies of different ages are all that is left: the longest of each
// partition survives, the older copies do not vote again.
func TestMembershipForcedOverOlderCopies(t *testing.T) {
	t.Parallel()
	s, _ := filled(t)
	s.stop()
	old := t.TempDir()
	for b := 1; b <= 2; b++ {
		require.NoError(t, os.CopyFS(filepath.Join(old, fmt.Sprint(b)), os.DirFS(s.brokerDir("default", b))))
	}
	s.again()
	s.waitInSync("d", 3)
	s.setBroker(3, "stop", "stopped")
	for i := range 3 {
		s.produce("d", object{"value": "since", "partition": i})
	}
	s.stop()
	s.restoreOld(filepath.Join(old, "2"), 2)
	require.NoError(t, os.RemoveAll(s.brokerDir("default", 3)))
	refusal, err := s.runToEnd()
	require.Error(t, err, refusal)

	out, code := s.offline("log", "repair", s.dir, "--force-membership", "--yes")
	require.Equal(t, 0, code, out)
	assert.Contains(t, out, "an older copy")
	assert.Contains(t, out, "survivor: replica 1 on broker 1")
	s.again()
	s.sameLines("default", "d", 3, []int{1, 2, 3}, 63)
	for i := range 3 {
		assert.Len(t, s.readPartition("d", i), 21)
	}
	s.standsAlone(1, 63)
}

// A majority of one partition's copies is deleted: the others go on, and the
// command touches that partition alone.
func TestMembershipOfOnePartitionForced(t *testing.T) {
	t.Parallel()
	s, lines := filled(t)
	s.stop()
	for b := 1; b <= 2; b++ {
		require.NoError(t, os.RemoveAll(filepath.Join(s.brokerDir("default", b), "d-1")))
	}
	s.launch()
	s.eventually(waitTimeout, "readyz names the partition", func() error {
		if body := string(s.get("/readyz").body); !strings.Contains(body, `"topic":"d","partition":1`) {
			return fmt.Errorf("%s", body)
		}
		return nil
	})
	assert.Len(t, s.readPartition("d", 0), 20, "the others serve")
	assert.Contains(t, s.stderr.tail(100000), "ottla log repair --force-membership")
	s.stop()

	out, code := s.offline("log", "repair", s.dir, "--force-membership", "--yes")
	require.Equal(t, 0, code, out)
	assert.Contains(t, out, "d-1: no majority")
	assert.NotContains(t, out, "d-0")
	s.again()
	assert.Equal(t, lines, s.sameLines("default", "d", 3, []int{1, 2, 3}, 60))
	s.standsAlone(3, 60)
}

// What one node of a fleet has is not forced: the majority may live at the others.
func TestForceLeavesFleetsAlone(t *testing.T) {
	t.Parallel()
	f := startNodes(t, 3)
	f.nodes[0].topic("t", 2)
	at := f.nodes[1].produce("t", object{"partition": 0, "value": 1})
	f.nodes[0].stop()
	for _, args := range [][]string{{"--yes"}, {"--dry-run"}} {
		out, err := exec.Command(binary, append([]string{"log", "repair", f.nodes[0].dir, "--force-membership"}, args...)...).CombinedOutput() // the test's own
		require.Error(t, err)
		assert.Contains(t, string(out), "nothing was changed")
	}
	f.nodes[0].again()
	f.waitReady()
	require.Equal(t, "1", string(f.nodes[0].fetch("t", 0, at.Offset, "").Records[0].Value))
}

// Two of three machines of a fleet are lost for good: what the third one has goes on in a
// process that is alone, from which a fleet is grown again. Nothing is done while a node
// answers, and nothing to the directories that are named. What it has came there by a move.
func TestAFleetThatLostItsMajorityGoesOnAlone(t *testing.T) {
	t.Parallel()
	f := startNodes(t, 3)
	f.join("n4")
	f.nodes[0].topic("t", 2)
	f.awaitTask(f.begin(f.nodes[0], http.MethodPost, "/nodes/3/decommission", nil).ID, "done")
	f.nodes[2].stop()
	f.nodes = append(f.nodes[:2:2], f.nodes[3]) // n1, n2, n4
	require.Equal(t, []uint64{1, 2, 4}, brokerNodes(f.nodes[0], "default"))
	for i := range 40 {
		f.nodes[i%3].produce("t", object{"partition": i % 2, "value": i})
	}
	p := f.nodes[1].poll("topic=t", "group=g", "consumer_id=1", "max_records=7")
	require.Len(t, p.Records, 7)
	at := [2]int64{f.nodes[1].committed("g", "t", 0), f.nodes[1].committed("g", "t", 1)}
	for _, topic := range []string{"t", protocol.MetadataTopic, protocol.OffsetsTopic} { // the survivor has all of it
		f.nodes[0].waitInSync(topic, 3)
	}
	into := filepath.Join(t.TempDir(), "alone")
	repair := func(args ...string) (string, error) {
		out, err := exec.Command(binary, append([]string{"log", "repair", f.nodes[2].dir, "--force-membership", "--into", into}, args...)...).CombinedOutput() // the test's own
		return string(out), err
	}
	out, err := repair("--yes")
	require.Error(t, err)
	assert.Contains(t, out, "stop the server first")
	f.nodes[2].stop()
	out, err = repair("--yes")
	require.Error(t, err)
	assert.Contains(t, out, "nothing was changed")
	assert.Contains(t, out, f.seeds[0])
	assert.NoDirExists(t, into)
	for _, s := range f.nodes[:2] {
		s.kill()
		require.NoError(t, os.RemoveAll(s.dir))
	}
	out, err = repair("--dry-run")
	require.Error(t, err)
	assert.Contains(t, out, "broker 1: lost")
	assert.Contains(t, out, "survivor: replica", "what would be gone is said before")
	assert.Contains(t, out, filepath.Join(into, "default", "broker-1"))
	out, err = repair()
	require.Error(t, err, "nobody at a terminal agreed")
	assert.Contains(t, out, "--yes")
	assert.NoDirExists(t, into)
	out, err = repair("--yes")
	require.NoError(t, err, out)
	assert.Contains(t, out, "survivor: replica")
	again, err := repair("--yes")
	require.Error(t, err, again)
	assert.Contains(t, again, "is not empty")

	s := prepare(t)
	s.dir = into
	s.again()
	for part := range 2 {
		records := s.readPartition("t", part)
		require.Len(t, records, 20)
		for i, r := range records {
			assert.Equal(t, fmt.Sprint(2*i+part), string(r.Value))
		}
		assert.Equal(t, at[part], s.committed("g", "t", part))
	}
	s.waitInSync("t", 3)
	s.produce("t", object{"partition": 0, "value": "since"})
	s.stop()

	// It begins a fleet, which another node joins.
	s.args = f.node("m1", freeAddress(t)).args
	link := s.args[3]
	s.again()
	other := f.node("m2", freeAddress(t), link)
	other.again()
	s.waitInSync("t", 3)
	s.waitInSync(protocol.MetadataTopic, 3)
	require.Equal(t, `"since"`, string(other.fetch("t", 0, 20, "").Records[0].Value))
}
