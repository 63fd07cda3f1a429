//go:build !linux

package actors

import "os"

func datasync(f *os.File) error { return f.Sync() }
