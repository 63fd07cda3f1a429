package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whoever has a wrong certificate, name, data directory or list of seeds is told so;
// the others go on.
func TestNodesThatAreWrongAreToldSo(t *testing.T) {
	t.Parallel()
	f := startNodes(t, 3)
	f.nodes[0].topic("t", 1)
	f.waitReady()
	unharmed := func(t *testing.T) {
		for i, s := range f.nodes {
			s.produce("t", object{"value": i})
			require.Contains(t, string(s.get("/readyz").want(http.StatusOK).body), `"degraded":[]`)
		}
	}
	ends := func(t *testing.T, s *server, want ...string) {
		t.Helper()
		s.t, s.root = t, t
		cmd := exec.Command(binary, append([]string{"serve", "--data-dir", s.dir}, s.args...)...)
		timer := time.AfterFunc(waitTimeout, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		require.Equal(t, 1, cmd.ProcessState.ExitCode(), "%s", out)
		for _, w := range want {
			require.Contains(t, string(out), w)
		}
		unharmed(t)
	}
	// waits: it goes on to run, because what is wrong may be at the others, and says why
	// it is not ready.
	waits := func(t *testing.T, s *server, want string) {
		t.Helper()
		s.t, s.root = t, t
		s.launch()
		s.eventually(waitTimeout, "the node says what is wrong", func() error {
			a, err := s.try(http.MethodGet, "/readyz", nil)
			if err == nil && (a.status != http.StatusServiceUnavailable || !strings.Contains(string(a.body)+s.stderr.tail(8000), want)) {
				return fmt.Errorf("%d %s %s", a.status, a.body, s.stderr.tail(2000))
			}
			return err
		})
		unharmed(t)
		s.kill()
	}
	t.Run("one data directory", func(t *testing.T) {
		s := f.node("n3", freeAddress(t), f.seeds...)
		s.dir = f.nodes[2].dir
		ends(t, s, "is in use by process")
	})
	t.Run("one name", func(t *testing.T) {
		ends(t, f.node("n2", freeAddress(t), f.seeds...), `named \"n2\"`, "another name")
	})
	t.Run("a copy of a data directory", func(t *testing.T) {
		s := f.node("n3", freeAddress(t), f.seeds...)
		require.NoError(t, os.CopyFS(s.dir, os.DirFS(f.nodes[2].dir)))
		waits(t, s, "another process with the data directory of node 3")
	})
	t.Run("another authority", func(t *testing.T) {
		other := &nodeSet{t: t, certs: filepath.Join(t.TempDir(), "certs")}
		waits(t, other.node("n4", freeAddress(t), f.seeds...), "certificate")
	})
	t.Run("another node's certificate", func(t *testing.T) {
		s := f.node("n4", freeAddress(t), f.seeds...)
		s.args = append(s.args, "--node-name", "n5")
		a, _ := exec.Command(binary, append([]string{"serve", "--data-dir", s.dir}, s.args...)...).CombinedOutput()
		require.Contains(t, string(a), "n5")
		unharmed(t)
	})
	t.Run("another fleet", func(t *testing.T) {
		other := &nodeSet{t: t, certs: f.certs}
		s := other.node("n6", freeAddress(t))
		s.args = slices.DeleteFunc(s.args, func(a string) bool { return a == "--seeds" || a == "" })
		s.again()
		s.stop()
		s.args = append(s.args, "--seeds", strings.Join(f.seeds, ","))
		s.launch() // it has a fleet, and asks nobody
		s.waitReady()
		require.Len(t, s.get("/nodes").object()["nodes"], 1)
		unharmed(t)
		s.kill()
	})
	t.Run("seeds that disagree", func(t *testing.T) {
		other := prepareNodes(t, 3)
		wrong := other.nodes[2]
		wrong.args = append(wrong.args, "--seeds", other.seeds[0]+","+other.seeds[2])
		other.nodes[0].launch()
		other.nodes[1].launch()
		wrong.launch()
		for i, s := range other.nodes {
			s.eventually(waitTimeout, "it says that the seeds disagree", func() error {
				a, err := s.try(http.MethodGet, "/readyz", nil)
				if err == nil && !strings.Contains(string(a.body), "founders need the same list") {
					return fmt.Errorf("node %d: %s", i+1, a.body)
				}
				return err
			})
		}
		wrong.stop()
		wrong.args = append(wrong.args, "--seeds", strings.Join(other.seeds, ","))
		wrong.launch()
		other.waitReady()
		require.Len(t, wrong.get("/nodes").object()["nodes"], 3)
	})
}
