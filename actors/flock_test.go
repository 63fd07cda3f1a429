//go:build unix

package actors

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLockDataDir(t *testing.T) {
	dir := t.TempDir()
	release, err := lockDataDir(dir)
	require.NoError(t, err)

	_, err = lockDataDir(dir) // another open file is as good as another process
	var inUse *dataDirInUseError
	require.ErrorAs(t, err, &inUse)
	assert.Equal(t, os.Getpid(), inUse.PID)
	assert.Contains(t, err.Error(), dir)

	require.NoError(t, os.WriteFile(filepath.Join(dir, lockName), []byte("nonsense"), 0o600))
	_, err = lockDataDir(dir)
	require.ErrorAs(t, err, &inUse)
	assert.Zero(t, inUse.PID)

	release()
	release()
	release, err = lockDataDir(dir)
	require.NoError(t, err, "released")
	release()
}

func TestLockDataDirMissing(t *testing.T) {
	_, err := lockDataDir(filepath.Join(t.TempDir(), "missing"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}
