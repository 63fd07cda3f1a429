package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The module can be given the address of whoever hosts it, and the client is then used
// from another module by it.
func TestTheModuleCanBeRenamed(t *testing.T) {
	if testing.Short() {
		t.Skip("builds everything under another name")
	}
	t.Parallel()
	dir := sources(t)
	in := func(dir, name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		// What it depends on is built already, by these flags.
		cmd.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -mod=mod", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s %v: %s", name, args, out)
		return string(out)
	}
	for _, module := range []string{"git.example.com/a.b/ottla", "github.com/x/y"} { // and again
		in(dir, "sh", "packaging/rename-module", module)
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		require.NoError(t, err)
		assert.Contains(t, string(mod), "module "+module+"\n")
	}
	in(dir, "go", "build", "-o", filepath.Join(t.TempDir(), "ottla"), "-ldflags", "-X github.com/x/y/cli.version=v9", ".")
	assert.Empty(t, in(dir, "sh", "-c", `grep -rn '"ottla/[a-z]' --include=*.go . || true`))
	assert.Contains(t, in(dir, "sh", "-c", "grep '^LDFLAGS' Makefile"), "github.com/x/y/cli.version")

	peers := filepath.Join(dir, "bench/peers") // a module of its own, which uses this one
	assert.Equal(t, "../..\n", in(peers, "go", "list", "-m", "-f", "{{.Replace.Path}}", "github.com/x/y"))
	assert.Equal(t, dir+"/bench\n", in(peers, "go", "list", "-f", "{{.Dir}}", "github.com/x/y/bench"))
	assert.Empty(t, in(peers, "sh", "-c", `grep -nE '(^|\s)ottla[ /]' go.mod || true`))

	user := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(user, "main.go"), []byte("package main\n\nimport \"github.com/x/y/client\"\n\nfunc main() { _, _ = client.New(\"http://localhost:8080\") }\n"), 0o600))
	in(user, "go", "mod", "init", "example.com/user")
	in(user, "go", "mod", "edit", "-require=github.com/x/y@v0.0.0", "-replace=github.com/x/y="+dir)
	in(user, "go", "build", "-o", filepath.Join(user, "user"), ".")

	for _, wrong := range []string{"", "/x", "x/", "x//y", "x y", "x;y", "../x"} {
		cmd := exec.Command("sh", "packaging/rename-module", wrong)
		cmd.Dir = dir
		assert.Error(t, cmd.Run(), wrong)
	}
}

// The check of a file in and out, with a small one.
func TestRoundTripOfAFile(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("../bench/roundtrip", binary, "3").CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Regexp(t, `(?s)^in +\d+ lines, 3 MB in .* MB/s\nout +\d+ lines, 3 MB in .*\nSHA-256 equal: [0-9a-f]{64}\n$`, string(out))
}

// The measurement with kcat, where that is installed, with few records.
func TestBenchKcat(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("kcat"); err != nil {
		t.Skip("kcat is not installed")
	}
	cmd := exec.Command("../bench/kcat", binary)
	cmd.Env = append(os.Environ(), "SERVERS=ottla", "RECORDS=2000", "ROUNDS=2")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Regexp(t, `(?s)^kcat .*\nottla .*: produce best \d+, median \d+; fetch best \d+, median \d+ records/s\n$`, string(out))
}
