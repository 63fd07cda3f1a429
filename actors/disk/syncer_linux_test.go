package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ottla/logfile"
)

func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

func TestKernelAtLeast(t *testing.T) {
	tests := map[string]struct {
		release string
		want    bool
	}{
		"exactly":          {"5.8", true},
		"patch level":      {"5.8.0-generic", true},
		"older minor":      {"5.4.0-150-generic", false},
		"minor of 2 digit": {"5.15.0", true},
		"newer major":      {"6.1.0", true},
		"older major":      {"4.19.0", false},
		"suffix at minor":  {"6.18-rc1", true},
		"no number":        {"linux", false},
		"empty minor":      {"5.", false},
		"empty":            {"", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tt.want, kernelAtLeast(tt.release, 5, 8)) })
	}
}

func TestMountedType(t *testing.T) {
	tests := map[string]struct {
		line         string
		device, kind string
		ok           bool
	}{
		"optional fields":    {"36 35 98:0 /a /mnt rw,noatime master:1 shared:2 - ext4 /dev/root rw", "98:0", "ext4", true},
		"no optional fields": {"36 35 0:5 / /proc rw - proc proc rw", "0:5", "proc", true},
		"no separator":       {"36 35 98:0 / /mnt rw", "", "", false},
		"empty":              {"", "", "", false},
		"cut short":          {"36 - ", "", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			device, kind, ok := mountedType(tt.line)
			assert.Equal(t, []any{tt.device, tt.kind, tt.ok}, []any{device, kind, ok})
		})
	}
}

func TestSyncfsIsTrusted(t *testing.T) {
	assert.True(t, trusts("5.17.0", "ext4"))
	assert.False(t, trusts("5.16.20", "ext4"), "it hid the errors of the journal")
	assert.False(t, trusts("6.18.0", "xfs"), "nobody has read it")
}

// Without a journal ext4's syncfs flushes the device before it writes sizes and names to it.
func TestSyncfsWithoutAJournalFlushesTheDevice(t *testing.T) {
	opened, err := openFileSystem(t.TempDir())
	require.NoError(t, err)
	fs := opened.(*linuxFileSystem)
	t.Cleanup(func() { assert.NoError(t, fs.close()) })
	var calls []string
	failed := map[string]error{}
	call := func(name string) func(int) error {
		return func(int) error {
			calls = append(calls, name)
			return failed[name]
		}
	}
	fs.sync, fs.flush, fs.journal = call("sync"), call("flush"), true
	require.NoError(t, fs.syncfs())
	assert.Equal(t, []string{"sync"}, calls)
	fs.journal = false
	require.NoError(t, fs.syncfs())
	assert.Equal(t, []string{"sync", "sync", "flush"}, calls)
	failed["flush"] = unix.EIO
	require.ErrorIs(t, fs.syncfs(), unix.EIO)
	failed["sync"] = unix.ENOSPC
	require.ErrorIs(t, fs.syncfs(), unix.ENOSPC)
}

func TestHasJournal(t *testing.T) {
	sys := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		require.NoError(t, os.MkdirAll(filepath.Join(sys, filepath.Dir(name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(sys, name), []byte(text), 0o600))
	}
	put("devices/vda1/dev", "")
	put("devices/vda2/dev", "")
	put("devices/vda3/dev", "")
	require.NoError(t, os.MkdirAll(filepath.Join(sys, "dev", "block"), 0o755))
	for n, name := range map[int]string{1: "vda1", 2: "vda2", 3: "vda3"} {
		require.NoError(t, os.Symlink("../../devices/"+name, filepath.Join(sys, "dev", "block", fmt.Sprintf("254:%d", n))))
	}
	put("fs/ext4/vda1/journal_task", "4099\n")
	put("fs/ext4/vda2/journal_task", "<none>\n")
	assert.True(t, hasJournal(sys, unix.Mkdev(254, 1)))
	assert.False(t, hasJournal(sys, unix.Mkdev(254, 2)))
	assert.False(t, hasJournal(sys, unix.Mkdev(254, 3)), "nothing is known of it")
	assert.False(t, hasJournal(sys, unix.Mkdev(254, 4)), "likewise")
}

// The number of a descriptor that is closed soon names another file, perhaps on another
// filesystem, whose sync says nothing of the right one.
func TestSyncfsKeepsItsDescriptorOpen(t *testing.T) {
	dir := t.TempDir()
	opened, err := openFileSystem(dir)
	require.NoError(t, err)
	fs := opened.(*linuxFileSystem)
	var want, got unix.Stat_t
	require.NoError(t, unix.Stat(dir, &want))
	fs.sync = func(fd int) error {
		closed := make(chan error)
		go func() { closed <- fs.close() }()
		return errors.Join(<-closed, unix.Fstat(fd, &got))
	}
	require.NoError(t, fs.syncfs())
	assert.Equal(t, want.Ino, got.Ino)
	fs.sync = unix.Syncfs
	require.Error(t, fs.syncfs(), "it is closed")
}

// Linux syncs nothing of a filesystem that is read-only, and says that it did. Many become so
// by an error, with everything unwritten that was written to them before.
func TestSyncfsOfAReadOnlyFileSystemFails(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, ""); err != nil {
		t.Skip("mounting needs root: ", err)
	}
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, 0)) })
	opened, err := openFileSystem(dir)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, opened.close()) })
	fs := opened.(*linuxFileSystem)
	require.NoError(t, fs.sync(int(fs.dir.Fd())), "the kernel's")
	require.ErrorIs(t, fs.syncfs(), unix.EROFS)
}

func TestLinuxFileSystemCovers(t *testing.T) {
	files := realFiles(t, 1)
	opened, err := openFileSystem(filepath.Dir(files[0].Name()))
	require.NoError(t, err)
	fs := opened.(*linuxFileSystem)
	defer func() { require.NoError(t, fs.close()) }()

	fs.trusted.Store(true)
	assert.True(t, fs.covers(files[0]))
	assert.False(t, fs.covers(&fakeFile{}), "no descriptor")
	fs.trusted.Store(false)
	assert.False(t, fs.covers(files[0]), "kernel or filesystem not trusted")
	fs.trusted.Store(true)
	fs.device++
	assert.False(t, fs.covers(files[0]), "on another device")
}

// TestLinuxFileSystemCoversLogFiles: a round asks for each of its files, so that
// costs no system call.
func TestLinuxFileSystemCoversLogFiles(t *testing.T) {
	dir := t.TempDir()
	opened, err := openFileSystem(dir)
	require.NoError(t, err)
	fs := opened.(*linuxFileSystem)
	defer func() { require.NoError(t, fs.close()) }()
	fs.trusted.Store(true)
	asked := 0
	fs.deviceOf = func(fd uintptr) (uint64, error) { asked++; return deviceOfFd(fd) }

	id := logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "liked", ReplicaID: 1}
	l, err := logfile.Create(logfile.OSFS{}, filepath.Join(dir, "liked-0"), id, logfile.Checkpoint{}, logfile.Options{BootID: "b"})
	require.NoError(t, err)
	b := &logfile.Batch{}
	l.SetHardState(b, 1, 1)
	require.NoError(t, b.Execute())
	f := b.Files()[0]
	assert.True(t, fs.covers(f))
	assert.Zero(t, asked)
	fs.device++
	assert.False(t, fs.covers(f), "on another device")
	fs.device--
	require.NoError(t, l.Close())
	assert.False(t, fs.covers(f), "closed")
}
