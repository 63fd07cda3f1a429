package disk

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// linuxFileSystem syncs by one descriptor of its own, open from before the
// first write: Linux reports a failed write-back once per open file, and one
// opened later might not hear of it.
type linuxFileSystem struct {
	dir      *os.File
	device   uint64
	trusted  atomic.Bool // syncfs reports errors and flushes the device
	deviceOf func(fd uintptr) (uint64, error)
}

func openFileSystem(dir string) (fileSystem, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open filesystem: %w", err)
	}
	device, err := deviceOfFd(f.Fd())
	if err != nil {
		_ = f.Close() // only opened
		return nil, fmt.Errorf("open filesystem of %s: %w", dir, err)
	}
	fs := &linuxFileSystem{dir: f, device: device, deviceOf: deviceOfFd}
	fs.trusted.Store(kernelAtLeast(kernelRelease(), 5, 8) && filesystemType(device) == "ext4")
	return fs, nil
}

func (l *linuxFileSystem) close() error { return l.dir.Close() }

func (l *linuxFileSystem) covers(f File) bool {
	if !l.trusted.Load() {
		return false
	}
	if known, ok := f.(interface{ Device() (uint64, bool) }); ok {
		if device, ok := known.Device(); ok {
			return device == l.device
		}
	}
	fd, ok := f.Fd()
	if !ok {
		return false
	}
	device, err := l.deviceOf(fd)
	return err == nil && device == l.device
}

func (l *linuxFileSystem) syncfs() error {
	for {
		err := unix.Syncfs(int(l.dir.Fd()))
		switch err {
		case unix.EINTR:
			continue
		case unix.ENOSYS, unix.EINVAL:
			l.trusted.Store(false)
		}
		return err
	}
}

func deviceOfFd(fd uintptr) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(fd), &st); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	return uint64(st.Dev), nil
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// kernelAtLeast compares a release such as "5.15.0-91-generic"; one that it
// does not understand is too old.
func kernelAtLeast(release string, major, minor int) bool {
	parts := strings.SplitN(release, ".", 3)
	if len(parts) < 2 {
		return false
	}
	a, err := strconv.Atoi(parts[0])
	if err != nil {
		return false
	}
	end := strings.IndexFunc(parts[1], func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(parts[1])
	}
	b, err := strconv.Atoi(parts[1][:end])
	if err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}

// filesystemType is the type by which a device is mounted, empty if unknown.
// Only ext4's syncfs is trusted: it flushes the device's cache even when its
// journal has nothing to commit, which not every filesystem does.
func filesystemType(device uint64) string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // only read from
	want := fmt.Sprintf("%d:%d", unix.Major(device), unix.Minor(device))
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if id, kind, ok := mountedType(lines.Text()); ok && id == want {
			return kind
		}
	}
	return ""
}

// mountedType takes the device number and filesystem type from a line of
// /proc/self/mountinfo (see proc_pid_mountinfo(5)).
func mountedType(line string) (device, kind string, ok bool) {
	before, after, ok := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !ok || len(left) < 3 || len(right) < 1 {
		return "", "", false
	}
	return left[2], right[0], true
}
