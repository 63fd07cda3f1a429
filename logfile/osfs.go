package logfile

import (
	"io/fs"
	"os"
)

// OSFS is the operating system's filesystem.
type OSFS struct{}

// OpenFile implements FS.
func (OSFS) OpenFile(name string, flag int, perm fs.FileMode) (Handle, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return osHandle{f, deviceOf(f)}, nil
}

// MkdirAll implements FS.
func (OSFS) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }

// Remove implements FS.
func (OSFS) Remove(name string) error { return os.Remove(name) }

// RemoveAll implements FS.
func (OSFS) RemoveAll(name string) error { return os.RemoveAll(name) }

// Rename implements FS.
func (OSFS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }

// ReadDir implements FS.
func (OSFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// Stat implements FS.
func (OSFS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// SyncDir implements FS.
func (OSFS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

type osHandle struct {
	*os.File
	device device
}

// device is the filesystem that an open file is on, for as long as it is open.
type device struct {
	id    uint64
	known bool
}

// Device implements onDevice.
func (h osHandle) Device() (uint64, bool) { return h.device.id, h.device.known }

func (h osHandle) Size() (int64, error) {
	fi, err := h.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

func (h osHandle) Fd() (uintptr, bool) { return h.File.Fd(), true }
