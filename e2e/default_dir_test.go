package e2e

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRelativeDataDirectory runs as a newcomer does: the default data
// directory is ./data, a path relative to the working directory.
func TestRelativeDataDirectory(t *testing.T) {
	s := &server{t: t, root: t, dir: filepath.Join(t.TempDir(), "data"), args: []string{"--data-dir", "./data"}}
	s.again()
	require.Equal(t, 201, s.post("/cluster", object{"name": "second", "log_directory": "deep/second"}).status)
	require.Equal(t, 200, s.post("/events", object{"topic": "here", "value": 1}).status)
	s.kill()
	s.again()
	require.Equal(t, 200, s.get("/topic/here").status)
	require.Equal(t, 200, s.get("/cluster/second").status)
	require.FileExists(t, filepath.Join(s.dir, "deep", "second", "broker-1", "cluster.json"))
}
