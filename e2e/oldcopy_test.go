package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// restoreOld puts an earlier copy of a broker's directory in its place.
func (s *server) restoreOld(copied string, broker int) {
	s.t.Helper()
	require.NoError(s.t, os.RemoveAll(s.brokerDir("default", broker)))
	require.NoError(s.t, os.CopyFS(s.brokerDir("default", broker), os.DirFS(copied)))
}

// A broker's directory restored from an earlier copy has forgotten what it
// acknowledged. Broker 3 was down then, so 2 was needed for every majority;
// were 2 to vote now, it and 3 could elect a leader that never had it.
func TestOldCopyOfABrokerDirectoryIsRebuilt(t *testing.T) {
	t.Parallel()
	s, lines := filled(t)
	s.stop()
	old := filepath.Join(t.TempDir(), "broker-2")
	require.NoError(t, os.CopyFS(old, os.DirFS(s.brokerDir("default", 2))))

	s.again()
	s.waitInSync("d", 3)
	s.setBroker(3, "stop", "stopped")
	for i := range 30 {
		s.produce("d", object{"value": fmt.Sprintf("since %d", i), "partition": i % 3})
	}
	s.stop()
	s.restoreOld(old, 2)

	s.again()
	after := s.sameLines("default", "d", 3, []int{1, 2, 3}, 90)
	for p := range 3 {
		assert.Equal(t, lines[p], after[p][:len(lines[p])])
		assert.Len(t, s.readPartition("d", p), 30)
	}
	assert.DirExists(t, s.brokerDir("default", 2)+".aside-1", "the old copy is kept")
	s.standsAlone(1, 90)
	assert.Contains(t, string(s.get("/metrics").body), `ottla_broker_directories_replaced_total{reason="outdated"} 1`)
}

// The same while the process runs, and with no chance for the replica that has
// everything to be elected: broker 1 is down while 2 and 3, of which one has
// forgotten and one has never had the newest records, come up.
func TestOldCopyPutInPlaceOfAStoppedBroker(t *testing.T) {
	t.Parallel()
	s, _ := filled(t)
	s.setBroker(2, "stop", "stopped")
	old := filepath.Join(t.TempDir(), "broker-2")
	require.NoError(t, os.CopyFS(old, os.DirFS(s.brokerDir("default", 2))))
	s.setBroker(2, "start", "running")
	s.waitInSync("d", 3)

	s.setBroker(3, "stop", "stopped")
	for i := range 30 {
		s.produce("d", object{"value": fmt.Sprintf("since %d", i), "partition": i % 3})
	}
	s.setBroker(2, "stop", "stopped")
	s.setBroker(1, "stop", "stopped")
	s.restoreOld(old, 2)
	s.setBroker(2, "start", "running")
	s.setBroker(3, "start", "running")
	assert.Equal(t, http.StatusServiceUnavailable, s.get("/readyz").status, "a broker that has forgotten elects nobody")

	s.setBroker(1, "start", "running")
	s.waitReady()
	for p := range 3 {
		assert.Len(t, s.readPartition("d", p), 30)
	}
	s.sameLines("default", "d", 3, []int{1, 2, 3}, 90)
	s.standsAlone(1, 90)
}

// A copy that was made while the broker ran is older too: a stop counts.
func TestCopyOfARunningBrokerIsNoticed(t *testing.T) {
	t.Parallel()
	s, _ := filled(t)
	old := filepath.Join(t.TempDir(), "broker-3")
	require.NoError(t, os.CopyFS(old, os.DirFS(s.brokerDir("default", 3))))
	s.produce("d", object{"value": "since", "partition": 0})
	s.stop()
	s.restoreOld(old, 3)
	s.again()
	s.sameLines("default", "d", 3, []int{1, 2, 3}, 61)
	assert.DirExists(t, s.brokerDir("default", 3)+".aside-1")
}

// Copies of all directories as of one moment are a backup, not old copies.
func TestWholeDataDirectoryRestored(t *testing.T) {
	t.Parallel()
	s, lines := filled(t)
	s.stop()
	backup := filepath.Join(t.TempDir(), "backup")
	require.NoError(t, os.CopyFS(backup, os.DirFS(s.dir)))
	s.again()
	s.produce("d", object{"value": "since", "partition": 0})
	s.stop()
	require.NoError(t, os.RemoveAll(s.dir))
	require.NoError(t, os.CopyFS(s.dir, os.DirFS(backup)))
	s.again()
	assert.Equal(t, lines, s.sameLines("default", "d", 3, []int{1, 2, 3}, 60))
	assert.NotContains(t, s.stderr.tail(8000), "level=ERROR")
	aside, err := filepath.Glob(filepath.Join(s.dir, "default", "*.aside-*"))
	require.NoError(t, err)
	assert.Empty(t, aside)
}

// Copies of different ages: whatever is kept, something is forgotten, so the
// server refuses and changes nothing.
func TestCopiesOfDifferentAgesAreRefused(t *testing.T) {
	t.Parallel()
	s, _ := filled(t)
	s.stop()
	old := t.TempDir()
	for b := 1; b <= 2; b++ {
		require.NoError(t, os.CopyFS(filepath.Join(old, fmt.Sprint(b)), os.DirFS(s.brokerDir("default", b))))
	}
	s.again()
	s.produce("d", object{"value": "since", "partition": 0})
	s.stop()
	for b := 1; b <= 2; b++ {
		s.restoreOld(filepath.Join(old, fmt.Sprint(b)), b)
	}
	out, err := s.runToEnd()
	require.Error(t, err, out)
	assert.Contains(t, out, "older cop")
	assert.Contains(t, out, "ottla log repair --force-membership")
	assert.Contains(t, out, "d-0")
	for b := 1; b <= 3; b++ {
		assert.NoDirExists(t, s.brokerDir("default", b)+".aside-1")
		assert.DirExists(t, s.brokerDir("default", b))
	}
}
