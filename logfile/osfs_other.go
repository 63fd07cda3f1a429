//go:build !linux

package logfile

import "os"

// deviceOf returns no device on this platform.
func deviceOf(*os.File) device { return device{} }

// Datasync uses the full sync of the platform.
func (h osHandle) Datasync() error { return h.Sync() }

// Reserve does nothing on this platform.
func (h osHandle) Reserve(off, n int64) error { return nil }
