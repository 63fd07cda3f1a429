package cli

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNodeCert(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	var stdout, stderr bytes.Buffer
	p := &process{stdout: &stdout, stderr: &stderr, lookupEnv: func(string) (string, bool) { return "", false }}
	command := func(args ...string) int {
		stdout.Reset()
		stderr.Reset()
		return run(p, append([]string{"node", "cert", "--dir", dir}, args...))
	}
	assert.Equal(t, exitOK, command("a", "b"), stderr.String())
	assert.Contains(t, stdout.String(), "ca.pem: a new authority, until ")
	assert.Contains(t, stdout.String(), filepath.Join(dir, "b.pem")+" with "+filepath.Join(dir, "b.key"))
	assert.Equal(t, exitOK, command("c", "--host", "c.example,10.0.0.3"))
	assert.NotContains(t, stdout.String(), "authority")
	assert.Equal(t, exitFailed, command("a"))
	assert.Contains(t, stderr.String(), "file exists")
	for _, args := range [][]string{{}, {"d", "--days", "0"}, {"d", "--days", "4000"}} {
		assert.Equal(t, exitUsage, command(args...), args)
	}
	assert.Equal(t, exitFailed, command("../d"))
	assert.Contains(t, stderr.String(), "cannot be the name of a node")
}
