package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The settings that docs/machines.md shows are taken.
func TestSettingsOfMachines(t *testing.T) {
	dir := t.TempDir()
	settings := strings.ReplaceAll(blocks(t, "../docs/machines.md", "yaml")[0], "/etc/ottla/", dir+"/")
	file, token := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "admin-token")
	require.NoError(t, os.WriteFile(file, []byte(settings), 0o600))
	require.NoError(t, os.WriteFile(token, []byte(strings.Repeat("x", 40)), 0o600))
	out, err := exec.Command(binary, "serve", "--config", file, "--check").CombinedOutput() // the test's own
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "link: 10.0.0.1:7070")
}
