package logfile

import (
	"bytes"
	"io/fs"
)

// oneFile is a filesystem of one file, which is also its handle, for tests of
// what is opened and closed. Other calls than those of a reader panic.
type oneFile struct {
	FS
	Handle
	data    []byte
	sizeErr error
	opened  string
	closed  bool
}

func (f *oneFile) OpenFile(name string, _ int, _ fs.FileMode) (Handle, error) {
	f.opened = name
	return f, nil
}

func (f *oneFile) Size() (int64, error) { return int64(len(f.data)), f.sizeErr }

func (f *oneFile) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(f.data).ReadAt(p, off)
}

func (f *oneFile) Close() error {
	f.closed = true
	return nil
}

// memFile is a file in memory. Other calls than ReadAt and WriteAt panic.
type memFile struct {
	Handle
	data []byte
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(f.data).ReadAt(p, off)
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) { return copy(f.data[off:], p), nil }
