package e2e

import (
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

// tinyDisk is a directory with so little space, which goes with the test. It skips the
// test where nothing can be mounted.
func tinyDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=96m", "none", dir).CombinedOutput(); err != nil {
		t.Skipf("nothing can be mounted: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	return dir
}

// A disk that gets full refuses records at once and says that nothing was done, takes
// them again when there is room, and says why a server does not start on it.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	disk := tinyDisk(t)
	s := prepare(t, "OTTLA_STORAGE_SEGMENT_BYTES=1MiB")
	s.dir = filepath.Join(disk, "data")
	s.again()
	s.topic("fills", 1)
	body := strings.Repeat("x", 200_000)
	taken := int64(0)
	for {
		began := time.Now()
		a := s.post("/events?topic=fills", body, "Content-Type", "text/plain")
		if a.status == http.StatusOK {
			taken++
			require.Less(t, taken, int64(500))
			continue
		}
		e := a.wantError(http.StatusServiceUnavailable, "storage_full")
		assert.Equal(t, "none", e.Outcome)
		assert.Less(t, time.Since(began), 20*time.Second, "at once")
		break
	}
	assert.Equal(t, taken, s.fetch("fills", 0, 0, "&max_records=1").HighWatermark, "what was refused is not there")
	ready := string(s.get("/readyz").want(http.StatusOK).body)
	assert.Contains(t, ready, "the disk is full", "it says so, and can be read from")
	s.kill()
	fill := filepath.Join(disk, "fill")
	out, _ := exec.Command("dd", "if=/dev/zero", "of="+fill, "bs=4k").CombinedOutput()
	require.Contains(t, string(out), "No space left")
	s.launch()
	require.Eventually(t, func() bool {
		return strings.Contains(string(s.get("/readyz").body), "the disk is full")
	}, waitTimeout, 50*time.Millisecond)
	require.NoError(t, os.Remove(fill))
	s.waitReady()
	require.Equal(t, taken, s.fetch("fills", 0, 0, "&max_records=1").HighWatermark)
	s.delete("/topic/fills").want(http.StatusNoContent)
	require.Eventually(t, func() bool {
		return s.post("/events", `{"topic":"small","value":1}`).status == http.StatusOK
	}, waitTimeout, 100*time.Millisecond)
}
