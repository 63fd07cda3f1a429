package logfile

import (
	"errors"
	"fmt"
	"io/fs"
)

const openRead = 0 // flag of FS.OpenFile: os.O_RDONLY

// FS is the disk interface of this package. Errors follow package os: they
// match fs.ErrNotExist, syscall.ENOSPC and so on with errors.Is.
type FS interface {
	OpenFile(name string, flag int, perm fs.FileMode) (Handle, error)
	MkdirAll(name string, perm fs.FileMode) error
	Remove(name string) error
	RemoveAll(name string) error
	Rename(oldName, newName string) error
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the entries of a directory durable.
	SyncDir(name string) error
}

// Handle is an open file. ReadAt and WriteAt behave as in package io.
type Handle interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	// WritePartsAt writes parts one behind the other as WriteAt would write all of
	// them together. It may change parts, but not what they hold.
	WritePartsAt(parts [][]byte, off int64) error
	Truncate(size int64) error
	// Datasync makes the content and the size of the file durable.
	Datasync() error
	Size() (int64, error)
	// Fd returns the file descriptor, for syncfs; false when there is none.
	Fd() (uintptr, bool)
	// Reserve allocates space for n bytes at off without changing the size, so
	// that a full disk is noticed before the write. It does nothing where the
	// filesystem has no such call.
	Reserve(off, n int64) error
	Close() error
}

// removeFile unlinks a file; one that is not there is fine.
func removeFile(fsys FS, path string) error {
	if err := fsys.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove file: %w", err)
	}
	return nil
}

// freeName returns the first of the names prefix-0, prefix-1 and so on, each
// with the suffix, that no file has.
func freeName(fsys FS, prefix, suffix string) (string, error) {
	for n := 0; ; n++ {
		name := fmt.Sprintf("%s-%d%s", prefix, n, suffix)
		_, err := fsys.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
		if err != nil {
			return "", err
		}
	}
}
