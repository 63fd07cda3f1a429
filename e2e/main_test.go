package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"ottla/chaos/intercept"
)

// binary is the ottla that all tests of this package run: the one that the
// variable names (say, one built with the race detector), else a fresh build.
var binary = os.Getenv("OTTLA_E2E_BINARY")

func TestMain(m *testing.M) {
	intercept.Main()
	flag.Parse()
	moreAtOnce()
	os.Exit(buildAndRun(m))
}

// moreAtOnce has one parallel test more run at once than there are processors, where
// -parallel does not say otherwise: most of the time they wait for processes and disks. With
// twice as many a loaded machine has not ended syncs within a second.
func moreAtOnce() {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(runtime.GOMAXPROCS(0)+1)); err != nil {
		panic(err)
	}
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
