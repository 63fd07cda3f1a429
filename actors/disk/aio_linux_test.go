package disk

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ottla/logfile"
)

func realBatchSyncer(t *testing.T, dir string) *aioSyncer {
	b := newBatchSyncer(dir)
	if b == nil {
		t.Skip("the kernel has no asynchronous fdatasync for this filesystem")
	}
	t.Cleanup(func() { require.NoError(t, b.close()) })
	return b.(*aioSyncer)
}

// Each file has its own result, whatever becomes of those beside it, and also where there
// are more than are under way at once.
func TestBatchesOfRealSyncs(t *testing.T) {
	files := realFiles(t, 2*aioDepth+10)
	a := realBatchSyncer(t, filepath.Dir(files[0].Name()))
	var pipe [2]int
	require.NoError(t, unix.Pipe(pipe[:]))
	defer func() { _, _ = unix.Close(pipe[0]), unix.Close(pipe[1]) }()
	for round := range 3 {
		fds, errs := make([]int, len(files)), make([]error, len(files))
		for i, f := range files {
			_, err := f.Write([]byte("line\n"))
			require.NoError(t, err)
			fd, _ := f.Fd()
			fds[i], errs[i] = int(fd), errors.New("not synced")
		}
		bad := map[int]error{}
		if round > 0 { // at the beginning, in the middle, two in turn, at the end
			bad = map[int]error{0: unix.EBADF, 5: unix.EINVAL, aioDepth - 1: unix.EBADF, aioDepth: unix.EBADF, len(fds) - 1: unix.EINVAL}
		}
		for i, err := range bad {
			if fds[i] = 1 << 20; errors.Is(err, unix.EINVAL) {
				fds[i] = pipe[1]
			}
		}
		a.datasync(fds, errs)
		for i, err := range errs {
			if bad[i] == nil {
				require.NoError(t, err, "file %d", i)
			} else {
				require.ErrorIs(t, err, bad[i], "file %d", i)
			}
		}
	}
}

func TestNoBatchesWhereThereIsNoDirectory(t *testing.T) {
	assert.Nil(t, newBatchSyncer(filepath.Join(t.TempDir(), "missing")))
}

// failingBatch syncs nothing, and says so of some.
type failingBatch struct {
	t    *testing.T
	fail map[int]error // by position
	n    int
}

func (b *failingBatch) datasync(fds []int, errs []error) {
	b.n += len(fds)
	for i, fd := range fds {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		require.NoError(b.t, err, "the descriptor is open")
		errs[i] = b.fail[i]
	}
}

func (b *failingBatch) close() error { return nil }

// writtenLog is a log with a change that is not durable.
func writtenLog(t *testing.T, dir string, i int) *logfile.File {
	id := logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "liked", Partition: i, ReplicaID: 1}
	l, err := logfile.Create(logfile.OSFS{}, filepath.Join(dir, fmt.Sprintf("liked-%d", i)), id, logfile.Checkpoint{}, logfile.Options{BootID: "b"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() }) // one is poisoned
	b := &logfile.Batch{}
	l.SetHardState(b, 1, 1)
	require.NoError(t, b.Execute())
	return b.Files()[0]
}

// A file whose sync has failed in a batch takes no more writes; the others are durable, and
// need no second sync.
func TestFilesInABatch(t *testing.T) {
	dir := t.TempDir()
	var all []syncTarget
	for i := range 3 {
		all = append(all, syncTarget{file: writtenLog(t, dir, i)})
	}
	noDescriptor := &fakeFile{}
	all = append(all, syncTarget{file: noDescriptor})
	b := &failingBatch{t: t, fail: map[int]error{1: syscall.EIO}}
	s := &sharedSyncer{fs: plainFileSystem{}, batch: b, stats: &Stats{}, now: func() (d time.Duration) { return d }}
	errs := s.Sync(all)
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], syscall.EIO)
	require.ErrorIs(t, errs[1], logfile.ErrPoisoned)
	require.NoError(t, errs[2])
	require.NoError(t, errs[3])
	assert.Equal(t, 1, noDescriptor.count())
	assert.Equal(t, 3, b.n)

	errs = s.Sync(all)
	assert.NoError(t, errs[0])
	assert.ErrorIs(t, errs[1], logfile.ErrPoisoned)
	assert.Equal(t, 5, b.n, "what has failed for good is not synced again")
	require.NoError(t, s.Close())
}
