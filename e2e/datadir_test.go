package e2e

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Other users of the machine read nothing of the data directory, whatever the umask is.
func TestOtherUsersReadNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("secret", 2)
	s.produceAll("secret", "v", 3)
	s.poll("topic=secret", "group=g", "timeout_ms=0")
	s.stop()
	s.again()
	files := 0
	require.NoError(t, filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil // removed meanwhile
		}
		files++
		assert.Zero(t, info.Mode().Perm()&0o007, "%s: %s", path, info.Mode())
		return nil
	}))
	assert.Greater(t, files, 20)
}

// A broker whose directory is renamed while it runs says so and ends: it would go on
// without anybody finding what it writes. Put back, it goes on with all records.
func TestRenamedDataDirectory(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("t", 1)
	s.produceAll("t", "v", 5)
	require.NoError(t, os.Rename(s.dir, s.dir+".away"))
	select {
	case <-s.exited:
	case <-time.After(waitTimeout):
		require.FailNow(t, "it goes on")
	}
	assert.Equal(t, 1, s.cmd.ProcessState.ExitCode())
	assert.Contains(t, s.stderr.tail(4000), "renamed, removed or replaced while the broker ran")
	assert.NoDirExists(t, s.dir)
	require.NoError(t, os.Rename(s.dir+".away", s.dir))
	s.again()
	assert.Len(t, s.readPartition("t", 0), 5)
	s.get("/readyz").want(http.StatusOK)
}
