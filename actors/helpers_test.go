package actors

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// patience is how long a test waits for what must come: far more than a busy
// machine needs.
const patience = time.Minute

// ptr returns a pointer to v.
func ptr[T any](v T) *T { return &v }

// requireCode fails the test unless err has the code.
func requireCode(t testing.TB, code protocol.Code, err *protocol.Error) {
	t.Helper()
	require.NotNil(t, err, "want %s", code.Name)
	require.Equal(t, code.Name, err.Code.Name, err.Message)
}

// snapshotTree reads all that is below dir: files with their content.
func snapshotTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			out[path] = "directory"
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = string(b)
		return err
	}))
	return out
}
