package logfile

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const fallocKeepSize = 1 // FALLOC_FL_KEEP_SIZE of linux/falloc.h

// deviceOf asks once for the device, which is needed at each sync.
func deviceOf(f *os.File) device {
	fi, err := f.Stat()
	if err != nil {
		return device{}
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return device{}
	}
	return device{uint64(st.Dev), true}
}

// Datasync calls fdatasync, which leaves out the times of the file.
func (h osHandle) Datasync() error {
	return h.control("fdatasync", syscall.Fdatasync)
}

// Reserve allocates beyond the end of the file with fallocate.
func (h osHandle) Reserve(off, n int64) error {
	err := h.control("fallocate", func(fd int) error {
		return syscall.Fallocate(fd, fallocKeepSize, off, n)
	})
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return nil
	}
	return err
}

// maxParts is how many parts one call may write, IOV_MAX of linux/uio.h.
const maxParts = 1024

// WritePartsAt writes the parts with one pwritev, unless it is interrupted or there are
// very many.
func (h osHandle) WritePartsAt(parts [][]byte, off int64) error {
	parts = partsBehind(parts, 0) // a call with empty ones alone would write nothing
	return h.control("pwritev", func(fd int) error {
		for len(parts) > 0 {
			n, err := unix.Pwritev(fd, parts[:min(len(parts), maxParts)], off)
			if err != nil {
				return err // control tries again when it was interrupted
			}
			if n == 0 {
				return io.ErrShortWrite
			}
			off += int64(n)
			parts = partsBehind(parts, n)
		}
		return nil
	})
}

// partsBehind is what is left of parts without their first n bytes.
func partsBehind(parts [][]byte, n int) [][]byte {
	for len(parts) > 0 && n >= len(parts[0]) {
		n -= len(parts[0])
		parts = parts[1:]
	}
	if n > 0 {
		parts[0] = parts[0][n:]
	}
	return parts
}

func (h osHandle) control(call string, fn func(fd int) error) error {
	conn, err := h.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) {
		for {
			if failed = fn(int(fd)); !errors.Is(failed, syscall.EINTR) {
				return
			}
		}
	}); err != nil {
		return err
	}
	if failed != nil {
		return &os.PathError{Op: call, Path: h.Name(), Err: failed}
	}
	return nil
}
