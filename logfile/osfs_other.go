//go:build !linux

package logfile

import "os"

// deviceOf returns no device on this platform.
func deviceOf(*os.File) device { return device{} }

// Datasync uses the full sync of the platform.
func (h osHandle) Datasync() error { return h.Sync() }

// WritePartsAt writes the parts one after the other.
func (h osHandle) WritePartsAt(parts [][]byte, off int64) error {
	for _, p := range parts {
		if _, err := h.WriteAt(p, off); err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}

// Reserve does nothing on this platform.
func (h osHandle) Reserve(off, n int64) error { return nil }
