package cli

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/datadir"
)

// inFleet makes the data directory that of the first of two nodes of a fleet, the other of
// which is reached at link.
func inFleet(t *testing.T, dir, link string) {
	t.Helper()
	require.NoError(t, datadir.WriteNode(dir, &datadir.Node{Fleet: "f", Node: 1, UUID: "u1", Founding: datadir.Founding{Fleet: "f", Founders: []datadir.Founder{
		{Node: 1, UUID: "u1", Name: "n1", Link: "127.0.0.1:1"}, {Node: 2, UUID: "u2", Name: "n2", Link: link},
	}}}))
}

// What one node has left of a fleet goes on alone in a new directory, once somebody has
// agreed and no other node answers; the old directory stays as it was.
func TestGatherGoesOnWithWhatIsLeft(t *testing.T) {
	dir, values := lostMajority(t)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer other.Close()
	inFleet(t, dir, other.Addr().String())
	before := tree(t, dir)
	into := filepath.Join(t.TempDir(), "alone")
	args := []string{dir, "--force-membership", "--into", into}

	code, stdout, stderr := atTerminal(t, "yes\n", args...)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, fmt.Sprintf("nothing was changed: node 2 (n2, %s) of the fleet, or something at its address, answers", other.Addr()))
	assert.Empty(t, stdout, "it is not said what would be given up before it may be")
	require.NoError(t, other.Close())

	for _, c := range []struct {
		answer string
		more   []string
	}{{"no\n", nil}, {"", nil}, {"yes please\n", nil}, {"yes\n", []string{"--dry-run"}}} {
		code, stdout, stderr = atTerminal(t, c.answer, append(args[:len(args):len(args)], c.more...)...)
		assert.Equal(t, exitFailed, code, c)
		assert.Contains(t, stderr, "nothing was changed", c)
		for _, want := range []string{
			"cluster three, broker 1: lost\n", "cluster three, broker 3: lost\n",
			"cluster three, broker 2: from " + filepath.Join(dir, "three", "broker-2"), "survivor: replica 2 on broker 2", into,
		} {
			assert.Contains(t, stdout, want, c)
		}
		assert.NoDirExists(t, into)
	}
	code, _, stderr = offline(t, append([]string{"repair"}, args...)...)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "run it again with --yes", "nobody is at a terminal")
	assert.NoDirExists(t, into)

	code, _, stderr = atTerminal(t, "yes\n", args...)
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, before, tree(t, dir), "what it was made of is as it was")
	code, _, stderr = atTerminal(t, "yes\n", args...)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "is not empty")

	s, stop := liveServer(t, into)
	out := s.must(t, "", "consume", "t", "--cluster", "three", "--max-records", fmt.Sprint(len(values)))
	for _, v := range values {
		assert.Equal(t, 1, strings.Count(out, `"value":`+v), v)
	}
	require.Equal(t, exitOK, stop())
}

// A fleet of which there is no broker in the directories has nothing that goes on.
func TestGatherOfNothing(t *testing.T) {
	into := filepath.Join(t.TempDir(), "alone")
	empty, lone := t.TempDir(), t.TempDir()
	inFleet(t, empty, "127.0.0.1:1")
	for dir, says := range map[string]string{empty: "there is no cluster in these directories", lone: "no data directory of a node of a fleet"} {
		code, _, stderr := offline(t, "repair", dir, "--force-membership", "--into", into, "--yes")
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, stderr, says)
	}
	second := t.TempDir()
	inFleet(t, second, "127.0.0.1:1")
	code, _, stderr := offline(t, "repair", empty, second, "--force-membership", "--into", into, "--yes")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "are both of node 1: name the newer one only")
	assert.NoDirExists(t, into)
}

// Each broker is listed with where it comes from, with what had moved already, and with
// what is left out.
func TestGatheringIsExplained(t *testing.T) {
	var stdout bytes.Buffer
	explainGathering(&process{stdout: &stdout}, &datadir.Gathering{Clusters: []*datadir.Gathered{{
		Name: "c", Brokers: 3, From: map[int]string{3: "/b/broker-3", 1: "/a/broker-1"}, Left: []string{"/c/broker-1"},
		Moved: map[string][]string{"/d/broker-3": {"t-0", "u-4"}},
	}, {Name: "empty", Brokers: 1}}})
	assert.Equal(t, `cluster c, broker 1: from /a/broker-1
cluster c, broker 3: from /b/broker-3
cluster c, broker 2: lost
cluster c: of /d/broker-3, to where a broker was on its way, what had moved already: t-0, u-4
cluster c: /c/broker-1 is left out: of this broker a newer directory is there
cluster empty, broker 1: lost
`, stdout.String())
}
