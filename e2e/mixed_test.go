package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// before is the program of the level before the newest one, built once from git.
var before = sync.OnceValues(func() (string, error) {
	dir, err := filepath.Abs(filepath.Dir(binary))
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "ottla-before")
	out, err := exec.Command("make", "-C", "..", "--no-print-directory", "before", "BEFORE="+path).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// programBefore returns that program, and skips the test where the history is not there.
func programBefore(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds another version")
	}
	if err := exec.Command("git", "-C", "..", "log", "-1", "--format=%H", "HEAD~1").Run(); err != nil {
		t.Skip("there is no history from which an older version could be built")
	}
	path, err := before()
	require.NoError(t, err)
	return path
}

// runs starts a node with another program, once the old one is stopped.
func (s *server) runs(program string, env ...string) {
	s.t.Helper()
	s.stop()
	s.binary, s.env = program, env
	s.again()
}

// nodesOf starts a fleet of n nodes of another program.
func nodesOf(t *testing.T, program string, n int) *nodeSet {
	t.Helper()
	f := prepareNodes(t, n)
	for _, s := range f.nodes {
		s.binary = program
		s.launch()
	}
	f.waitReady()
	return f
}

// fleetInfo is what GET /fleet says of the level.
type fleetInfo struct {
	Level, Offered, Newest int
	Held                   bool
	WaitingFor             string `json:"waiting_for"`
	Versions               map[string]int
}

func (s *server) fleetInfo() (f fleetInfo) {
	s.get("/fleet").want(http.StatusOK).loosely(&f)
	return f
}

// A fleet is upgraded node by node while clients write and read, goes back to the version
// before in the same way, and forward again. Nothing is lost, nothing is new before the
// level is raised, and afterwards the older version is refused with a sentence.
func TestUpgradeAndWayBackUnderLoad(t *testing.T) {
	t.Parallel()
	old := programBefore(t)
	f := nodesOf(t, old, 3)
	f.nodes[0].topic("t", 3)
	l := f.load("t", 3, 6)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var consumed []string
	var group sync.WaitGroup
	group.Go(func() { consumed = l.group(ctx) })
	l.advance(200)

	f.roll(l, "", "OTTLA_NODE_FINALIZE=manual")
	info := f.nodes[0].fleetInfo()
	assert.Equal(t, 3, info.Level)
	assert.Equal(t, 4, info.Offered)
	assert.True(t, info.Held)

	for i, s := range f.nodes { // old ones apply what new ones decide
		name := fmt.Sprintf("mixed-%d", i)
		s.topic(name, 1)
		s.call(http.MethodPatch, "/topic/"+name, object{"partitions": 2}).want(http.StatusOK)
	}
	f.roll(l, old) // the way back
	f.roll(l, "", "OTTLA_NODE_FINALIZE=manual")

	f.typeUpgrade()
	for _, s := range f.nodes {
		s.eventually(waitTimeout, "all know the level", func() error {
			if got := s.fleetInfo().Level; got != 4 {
				return fmt.Errorf("level %d", got)
			}
			return nil
		})
	}
	l.advance(200)

	s := f.nodes[1]
	s.stop()
	assert.Contains(t, s.failsAs(old), "the fleet of this data directory is at level 4, this program knows levels 1 to 3: start a newer version here")
	s.again()
	late := f.node("late", freeAddress(t), f.seeds...)
	assert.Regexp(t, "can use formats 1 to 3, .* formats 4 to 4: no format is common to both", late.failsAs(old))

	f.waitReady()
	l.advance(200)
	l.check()
	cancel()
	group.Wait()
	assert.GreaterOrEqual(t, int64(len(consumed)), l.total())
}

// roll restarts one node after the other with a program, each once the one before is in
// sync, while records are written.
func (f *nodeSet) roll(l *nodeLoad, program string, env ...string) {
	f.t.Helper()
	for _, s := range f.nodes {
		s.runs(program, env...)
		f.waitReady()
		l.advance(100)
	}
}

// typeUpgrade types what docs/operating.md says for an upgrade, in that order.
func (f *nodeSet) typeUpgrade() {
	text, err := os.ReadFile("../docs/operating.md")
	require.NoError(f.t, err)
	_, section, found := strings.Cut(string(text), "\n### A fleet\n")
	require.True(f.t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	typed := []string{}
	for _, m := range regexp.MustCompile("`ottla ([^`]+)`").FindAllStringSubmatch(section, -1) {
		if m[1] == "status" { // it says that something is wrong, as it should
			continue
		}
		typed = append(typed, m[1])
		f.nodes[2].eventually(waitTimeout, m[1], func() error {
			code, out, problem := f.nodes[2].ottla("", strings.Fields(m[1])...)
			if code != 0 {
				return fmt.Errorf("%s %s", out, problem)
			}
			return nil
		})
	}
	require.Equal(f.t, []string{"node drain 2", "node resume 2", "fleet describe", "fleet finalize"}, typed)
}

// failsAs runs a program in the server's place, which must end with an error, and returns
// what it says.
func (s *server) failsAs(program string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", s.dir}, s.args...)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.True(s.t, errors.As(err, &exit) && exit.ExitCode() == 1, "%v: %s", err, out)
	return string(out)
}
