package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakeFileSystem stands for the kernel's.
type fakeFileSystem struct {
	calls  int
	err    error
	others map[File]bool // files on another filesystem
}

func (f *fakeFileSystem) covers(d File) bool { return !f.others[d] }
func (f *fakeFileSystem) syncfs() error      { f.calls++; return f.err }
func (f *fakeFileSystem) close() error       { return nil }

func targets(files ...*fakeFile) (out []syncTarget) {
	for _, f := range files {
		out = append(out, syncTarget{file: f})
	}
	return out
}

func TestSharedSyncer(t *testing.T) {
	type result struct {
		syncfs int
		syncs  []int
		errs   []error
	}
	one, two, three := &fakeFile{}, &fakeFile{}, &fakeFile{}
	bad := &fakeFile{fail: syscall.EIO}
	tests := map[string]struct {
		fs      fakeFileSystem
		targets []syncTarget
		want    result
	}{
		"one file by itself": {
			fakeFileSystem{}, targets(one), result{0, []int{1}, []error{nil}},
		},
		"several at once": {
			fakeFileSystem{}, targets(one, two, three), result{1, []int{0, 0, 0}, []error{nil, nil, nil}},
		},
		"a failing syncfs is sorted out file by file": {
			fakeFileSystem{err: syscall.EIO}, targets(one, bad, three), result{1, []int{1, 1, 1}, []error{nil, syscall.EIO, nil}},
		},
		"a failing syncfs that concerns nobody here": {
			fakeFileSystem{err: syscall.EIO}, targets(one, two), result{1, []int{1, 1}, []error{nil, nil}},
		},
		"a file on another filesystem is synced by itself": {
			fakeFileSystem{others: map[File]bool{two: true}}, targets(one, two, three), result{1, []int{0, 1, 0}, []error{nil, nil, nil}},
		},
		"one with unsynced bytes from before too": {
			fakeFileSystem{}, []syncTarget{{file: one}, {file: two, alone: true}, {file: three}}, result{1, []int{0, 1, 0}, []error{nil, nil, nil}},
		},
		"no syncfs for what is left then": {
			fakeFileSystem{}, []syncTarget{{file: one}, {file: two, alone: true}}, result{0, []int{1, 1}, []error{nil, nil}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, target := range tt.targets {
				target.file.(*fakeFile).syncs = 0
				target.file.(*fakeFile).synced = 0
			}
			stats := &Stats{}
			s := &sharedSyncer{fs: &tt.fs, stats: stats, now: func() time.Duration { return 0 }}
			errs := s.Sync(tt.targets)
			got := result{syncfs: tt.fs.calls, errs: errs}
			total := 0
			for _, target := range tt.targets {
				got.syncs = append(got.syncs, target.file.(*fakeFile).count())
				total += target.file.(*fakeFile).count()
				covered := target.file.(*fakeFile).count() == 0
				assert.Equal(t, covered, target.file.(*fakeFile).synced == 3, "a file is told of a syncfs that succeeded, and of no other")
			}
			assert.Equal(t, tt.want, got)
			assert.Equal(t, uint64(total), stats.snapshot().Syncs)
			assert.Equal(t, uint64(tt.fs.calls), stats.snapshot().Syncfs)
		})
	}
}

func TestSyncParallelReachesEveryFileOnce(t *testing.T) {
	var files []*fakeFile
	for i := range 100 {
		files = append(files, &fakeFile{})
		if i%10 == 3 {
			files[i].fail = fmt.Errorf("file %d", i)
		}
	}
	s := &sharedSyncer{fs: &fakeFileSystem{others: map[File]bool{}}, stats: &Stats{}, now: func() time.Duration { return 0 }}
	for _, f := range files {
		s.fs.(*fakeFileSystem).others[f] = true
	}
	errs := s.Sync(targets(files...))
	for i, f := range files {
		assert.Equal(t, 1, f.count(), "file %d", i)
		assert.Equal(t, f.fail, errs[i], "file %d", i)
	}
}

func TestSyncChooser(t *testing.T) {
	// cost says what each way takes in round n.
	tests := map[string]struct {
		cost      func(n int, way syncWay) time.Duration
		rounds    int
		most      syncWay // the way of the last 100 rounds, except for probes
		maxProbes int     // of the other way, in all
	}{
		"syncfs is cheaper": {
			func(_ int, w syncWay) time.Duration { return []time.Duration{300 * us, 560 * us}[w] }, 2000, bySyncfs, 11,
		},
		"files are cheaper": {
			func(_ int, w syncWay) time.Duration { return []time.Duration{900 * us, 560 * us}[w] }, 2000, byFiles, 11,
		},
		"the first syncfs pays for what was written before": {
			func(n int, w syncWay) time.Duration {
				if n == 0 {
					return time.Second
				}
				return []time.Duration{300 * us, 3000 * us}[w]
			}, 30, bySyncfs, 5,
		},
		"another program starts to write": {
			func(n int, w syncWay) time.Duration {
				if w == bySyncfs && n > 500 {
					return time.Second
				}
				return []time.Duration{300 * us, 560 * us}[w]
			}, 2000, byFiles, 1500,
		},
		"another program stops writing": {
			func(n int, w syncWay) time.Duration {
				if w == bySyncfs && n < 500 {
					return time.Second
				}
				return []time.Duration{300 * us, 560 * us}[w]
			}, 3000, bySyncfs, 3000,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var c syncChooser
			other, late := 0, 0
			for n := range tt.rounds {
				way := c.choose(3)
				c.observe(3, way, tt.cost(n, way))
				if way != tt.most {
					other++
					if n >= tt.rounds*9/10 {
						late++
					}
				}
			}
			assert.LessOrEqual(t, late, 2, "late rounds by the dearer way")
			assert.LessOrEqual(t, other, tt.maxProbes)
			assert.Equal(t, bySyncfs, c.choose(48), "other numbers of files are judged apart")
		})
	}
}

// osFile is a real file, as *logfile.File is one.
type osFile struct{ *os.File }

func (f osFile) Fd() (uintptr, bool) { return f.File.Fd(), true }
func (f osFile) Sync() error         { return datasync(f.File) }
func (f osFile) Changes() uint64     { return 0 }
func (f osFile) Synced(uint64)       {}

func realFiles(tb testing.TB, n int) []osFile {
	tb.Helper()
	dir := tb.TempDir()
	files := make([]osFile, n)
	for i := range files {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		require.NoError(tb, err)
		tb.Cleanup(func() { _ = f.Close() })
		files[i] = osFile{f}
	}
	return files
}

func TestSharedSyncerOnRealFiles(t *testing.T) {
	files := realFiles(t, 3)
	stats := &Stats{}
	s, err := newSyncer(filepath.Dir(files[0].Name()), stats)
	require.NoError(t, err)
	for range 3 {
		var all []syncTarget
		for _, f := range files {
			_, err := f.Write([]byte("line\n"))
			require.NoError(t, err)
			all = append(all, syncTarget{file: f})
		}
		for _, err := range s.Sync(all) {
			require.NoError(t, err)
		}
	}
	got := stats.snapshot()
	assert.Equal(t, uint64(3), got.Syncfs+got.Syncs/3, "three rounds, one way or the other")

	require.NoError(t, files[1].Close())
	errs := s.Sync([]syncTarget{{file: files[0]}, {file: files[1]}})
	require.NoError(t, errs[0])
	assert.Error(t, errs[1], "a closed file is not covered by the others' sync")
	require.NoError(t, s.Close())
}

func TestSharedSyncerNeedsADirectory(t *testing.T) {
	_, err := newSyncer(filepath.Join(t.TempDir(), "missing"), &Stats{})
	assert.True(t, errors.Is(err, os.ErrNotExist), err)
}
