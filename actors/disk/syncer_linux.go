package disk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	journal  bool               // sizes and names are durable with its end
	sync     func(fd int) error // syncfs(2)
	flush    func(fd int) error // fsync(2) of the directory, which flushes the device
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
	fs := &linuxFileSystem{dir: f, device: device, deviceOf: deviceOfFd, sync: unix.Syncfs, flush: unix.Fsync, journal: hasJournal("/sys", device)}
	fs.trusted.Store(trusts(kernelRelease(), filesystemType(device)))
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

// syncfs keeps the descriptor open until it is done, also when the filesystem is closed
// meanwhile: its number would soon be that of another file.
func (l *linuxFileSystem) syncfs() error {
	conn, err := l.dir.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = l.syncFd(int(fd)) }); err != nil {
		return err
	}
	return failed
}

func (l *linuxFileSystem) syncFd(fd int) error {
	err := l.sync(fd)
	for errors.Is(err, unix.EINTR) {
		err = l.sync(fd)
	}
	if err == nil && !l.journal {
		err = l.flush(fd)
	}
	if err == nil {
		return writable(fd)
	}
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		l.trusted.Store(false)
	}
	return err
}

// writable returns an error when the filesystem is read-only. Linux syncs nothing of such a
// one and says that it did; and ext4 becomes one by an error, whatever it has not written yet.
func writable(fd int) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return os.NewSyscallError("fstatfs", err)
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return fmt.Errorf("nothing is synced of what is read-only: %w", unix.EROFS)
	}
	return nil
}

// trusts decides whether syncfs reports all errors and flushes the device. Before Linux 5.8 it
// reported no failed write-back, and before 5.17 not that the journal could not be written.
// ext4's flushes the device's cache even when its journal has nothing to commit, which not
// every filesystem does.
func trusts(release, kind string) bool { return kernelAtLeast(release, 5, 17) && kind == "ext4" }

// hasJournal reports whether an ext4 filesystem is known to have a journal, by the process
// that writes it. Without one, syncfs flushes the device before it writes inodes and directories.
func hasJournal(sys string, device uint64) bool {
	block, err := os.Readlink(filepath.Join(sys, "dev", "block", fmt.Sprintf("%d:%d", unix.Major(device), unix.Minor(device))))
	if err != nil {
		return false
	}
	task, err := os.ReadFile(filepath.Join(sys, "fs", "ext4", filepath.Base(block), "journal_task"))
	return err == nil && !bytes.HasPrefix(task, []byte("<"))
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
