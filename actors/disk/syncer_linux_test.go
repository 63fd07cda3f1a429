package disk

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
