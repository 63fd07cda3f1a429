//go:build unix

package datadir

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLockDataDir(t *testing.T) {
	dir := t.TempDir()
	release, err := Lock(dir)
	require.NoError(t, err)

	_, err = Lock(dir) // another open file conflicts as another process would
	var inUse *InUseError
	require.ErrorAs(t, err, &inUse)
	assert.Equal(t, os.Getpid(), inUse.PID)
	assert.Contains(t, err.Error(), dir)

	require.NoError(t, os.WriteFile(filepath.Join(dir, lockName), []byte("nonsense"), 0o600))
	_, err = Lock(dir)
	require.ErrorAs(t, err, &inUse)
	assert.Zero(t, inUse.PID)

	release()
	release()
	release, err = Lock(dir)
	require.NoError(t, err, "released")
	release()
}

func TestLockDataDirMissing(t *testing.T) {
	_, err := Lock(filepath.Join(t.TempDir(), "missing"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}
