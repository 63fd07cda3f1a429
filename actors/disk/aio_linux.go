package disk

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// aioSyncer has the kernel sync several files at the same time, by its interface for
// asynchronous I/O (io_submit(2), since Linux 4.18). Goroutines would begin one after the
// other: each stands in a system call until the runtime notices and lets the next one run,
// so the device is flushed once for each. It has one owner.
type aioSyncer struct{ ctx uintptr }

// aioDepth is how many syncs are under way at most.
const aioDepth = 64

// iocb and ioEvent are those of linux/aio_abi.h.
type iocb struct {
	data uint64
	_    [2]uint32 // key, flags of reads and writes
	op   uint16
	_    int16 // priority
	fd   uint32
	_    [4]uint64 // buffer, size, offset, reserved
	_    [2]uint32 // flags, eventfd
}

type ioEvent struct {
	data uint64
	_    uint64 // the iocb
	res  int64
	_    int64
}

const iocbFdatasync = 3 // IOCB_CMD_FDSYNC

// newBatchSyncer returns nil where the kernel, or the sandbox around this process, does
// not do it for the filesystem of dir.
func newBatchSyncer(dir string) batchSyncer {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // only opened
	a := &aioSyncer{}
	//nolint:gosec // G103: the kernel writes one word there, during the call
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, aioDepth, uintptr(unsafe.Pointer(&a.ctx)), 0); errno != 0 {
		return nil
	}
	var errs [1]error
	if a.submit([]int{int(f.Fd())}) != 1 || a.await(1, errs[:]) != nil || errs[0] != nil {
		_ = a.close() // it is not used
		return nil
	}
	return a
}

// datasync implements batchSyncer.
func (a *aioSyncer) datasync(fds []int, errs []error) {
	for len(fds) > 0 {
		part := fds[:min(len(fds), aioDepth)]
		n := a.submit(part)
		if n == 0 { // it will be told what is wrong with the first
			errs[0] = os.NewSyscallError("fdatasync", fdatasync(fds[0]))
			n = 1
		} else if err := a.await(n, errs[:n]); err != nil {
			// Nobody knows how these have ended. A failure would be reported once, and may have been.
			for i := range n {
				errs[i] = err
			}
		}
		fds, errs = fds[n:], errs[n:]
	}
}

func fdatasync(fd int) (err error) {
	for {
		if err = unix.Fdatasync(fd); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// submit begins syncs, and returns how many of the first of them have begun.
func (a *aioSyncer) submit(fds []int) int {
	blocks := make([]iocb, len(fds))
	list := make([]*iocb, len(fds))
	for i, fd := range fds {
		blocks[i] = iocb{data: uint64(i), op: iocbFdatasync, fd: uint32(fd)}
		list[i] = &blocks[i]
	}
	for {
		//nolint:gosec // G103: the kernel reads the list and its blocks during the call
		n, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, a.ctx, uintptr(len(list)), uintptr(unsafe.Pointer(&list[0])))
		runtime.KeepAlive(blocks)
		switch errno {
		case 0:
			return int(n)
		case unix.EINTR:
		default:
			return 0
		}
	}
}

// await waits for the end of n syncs, and sets the error of each.
func (a *aioSyncer) await(n int, errs []error) error {
	var events [aioDepth]ioEvent
	for n > 0 {
		//nolint:gosec // G103: the kernel writes n events at most, during the call
		got, _, errno := unix.Syscall6(unix.SYS_IO_GETEVENTS, a.ctx, uintptr(n), uintptr(n), uintptr(unsafe.Pointer(&events)), 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return os.NewSyscallError("io_getevents", errno)
		}
		for _, e := range events[:got] {
			errs[e.data] = nil
			if e.res < 0 {
				errs[e.data] = os.NewSyscallError("fdatasync", syscall.Errno(-e.res))
			}
		}
		n -= int(got)
	}
	return nil
}

func (a *aioSyncer) close() error {
	if _, _, errno := unix.Syscall(unix.SYS_IO_DESTROY, a.ctx, 0, 0); errno != 0 {
		return os.NewSyscallError("io_destroy", errno)
	}
	return nil
}
