//go:build !linux

package bench

import (
	"os"
	"runtime"
)

func syncData(f *os.File) error { return f.Sync() }

func filesystem(string) string { return "unknown" }

func kernel() string { return runtime.GOOS }
