package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ottla/chaos/intercept"
)

// binary is the ottla that all tests of this package run: the one that the
// variable names (say, one built with the race detector), else a fresh build.
var binary = os.Getenv("OTTLA_E2E_BINARY")

func TestMain(m *testing.M) {
	intercept.Main()
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	if binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "ottla-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	binary = filepath.Join(dir, "ottla")
	build := exec.Command("go", "build", "-o", binary, "ottla")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build ottla:", err)
		return 1
	}
	return m.Run()
}
