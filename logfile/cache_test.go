package logfile_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// idleTwice closes what is not used from now on: the first call only looks.
func idleTwice(c *logfile.HandleCache) {
	c.CloseIdle()
	c.CloseIdle()
}

// oneRecord is a log of one record on a disk that knows what is open.
func oneRecord(t *testing.T) (*counting, logfile.Options, *logfile.Log) {
	fsys := &counting{FS: faultfs.New(), open: map[string]int{}}
	opt := options("boot-1")
	opt.Cache = logfile.NewHandleCache(1, 10)
	l := create(t, fsys, opt)
	put(t, l, next(l, 1, "1"))
	return fsys, opt, l
}

// TestIdleLogsAreClosed: a log that nobody uses has no open file, and opens it again
// for whoever comes.
func TestIdleLogsAreClosed(t *testing.T) {
	fsys, opt, l := oneRecord(t)
	opt.Cache.CloseIdle()
	require.Equal(t, 1, fsys.total(), "it was used a moment ago")
	opt.Cache.CloseIdle()
	require.Zero(t, fsys.total())
	require.Zero(t, opt.Cache.Active())

	mustRead(t, l.View(1), 0, 1)
	require.Equal(t, 1, fsys.total(), "a reader opens it")
	idleTwice(opt.Cache)
	require.Zero(t, fsys.total())
	put(t, l, next(l, 1, "2"))
	require.Equal(t, 1, fsys.total(), "a writer opens it")
	idleTwice(opt.Cache)

	require.NoError(t, l.Close())
	l, _ = open(t, fsys, opt)
	assert.Len(t, all(t, l), 2)
	idleTwice(opt.Cache)
	assert.Zero(t, fsys.total(), "one that was opened after a restart closes too")
	assert.Len(t, mustRead(t, l.View(2), 0, 2), 2)
}

// TestWhatMayNotBeDurableStaysOpen: the open file is the one that hears of a
// write-back that failed.
func TestWhatMayNotBeDurableStaysOpen(t *testing.T) {
	fsys, opt, l := oneRecord(t)

	var b logfile.Batch
	require.NoError(t, l.Append(&b, []logfile.Frame{next(l, 1, "2")}))
	require.NoError(t, b.Execute())
	idleTwice(opt.Cache)
	require.Equal(t, 1, fsys.total(), "it was not synced")
	file := b.Files()[0]
	before := file.Changes()

	var later logfile.Batch
	require.NoError(t, l.Append(&later, []logfile.Frame{next(l, 1, "3")}))
	require.NoError(t, later.Execute())
	file.Synced(before)
	idleTwice(opt.Cache)
	require.Equal(t, 1, fsys.total(), "what was written after that sync was not synced")
	file.Synced(file.Changes())
	idleTwice(opt.Cache)
	require.Zero(t, fsys.total(), "a syncfs is as good")

	require.NoError(t, l.Append(&b, nil))
	put(t, l, next(l, 1, "4"))
	file.Poison(errors.New("the disk is gone"))
	idleTwice(opt.Cache)
	require.Equal(t, 1, fsys.total(), "after a failure nothing is closed that might have to be looked at")
}

// TestWriteWithoutDescriptors: a write that cannot open its file has no effect, and the sync
// of what it did not write is none that fails.
func TestWriteWithoutDescriptors(t *testing.T) {
	fsys, opt, l := oneRecord(t)
	idleTwice(opt.Cache)

	fsys.refuse = syscall.EMFILE
	var b logfile.Batch
	require.NoError(t, l.Append(&b, []logfile.Frame{next(l, 1, "2")}))
	require.ErrorIs(t, b.Execute(), syscall.EMFILE)
	require.NoError(t, b.Files()[0].Sync())
	require.NoError(t, b.Files()[0].Poisoned())
	fsys.refuse = nil
	run(t, &b)
	require.NoError(t, l.Close())
	l, _ = open(t, fsys, opt)
	assert.Len(t, all(t, l), 2)
}

// TestAnotherFileInTheMeantime: nothing is written behind the end of a shorter file that was put
// where the log's was.
func TestAnotherFileInTheMeantime(t *testing.T) {
	d := faultfs.New()
	opt := options("boot-1")
	opt.Cache = logfile.NewHandleCache(1, 10)
	l := create(t, d, opt)
	path := segments(t, d)[0]
	short, err := d.ReadFile(path)
	require.NoError(t, err)
	put(t, l, next(l, 1, "1"))
	idleTwice(opt.Cache)
	d.WriteFile(path, short)
	var b logfile.Batch
	require.NoError(t, l.Append(&b, []logfile.Frame{next(l, 1, "2")}))
	err = b.Execute()
	require.ErrorIs(t, err, logfile.ErrPoisoned)
	var damage *logfile.CorruptError
	require.ErrorAs(t, err, &damage)
	after, err := d.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, short, after)
}

// TestManyLogsFewHandles: more logs than may be open work, one after the other.
func TestManyLogsFewHandles(t *testing.T) {
	d := faultfs.New()
	fsys := &counting{FS: d, open: map[string]int{}}
	opt := smallSegments()
	opt.Cache = logfile.NewHandleCache(1, 3)
	require.NoError(t, d.MkdirAll("/data", 0o755))
	logs := make([]*logfile.Log, 20)
	for i := range logs {
		var err error
		logs[i], err = logfile.Create(fsys, fmt.Sprintf("/data/liked-%d", i), identity, logfile.Checkpoint{}, opt)
		require.NoError(t, err)
	}
	for round := range 12 {
		for i, l := range logs {
			put(t, l, next(l, 1, fmt.Sprint(round)))
			require.LessOrEqual(t, fsys.total(), 5, "log %d in round %d: three active ones and a sealed one, and the one in use", i, round)
		}
	}
	for i, l := range logs {
		assert.Len(t, all(t, l), 12, "log %d", i)
		require.NoError(t, l.Close())
	}
	assert.Zero(t, fsys.total(), "%v", fsys.open)
	assert.Zero(t, opt.Cache.Active())
}

// TestClosingIdleLogsWhileTheyAreUsed races the cache with a writer, readers, a
// reset and the end of a log on a real disk.
func TestClosingIdleLogsWhileTheyAreUsed(t *testing.T) {
	opt := smallSegments()
	opt.Cache = logfile.NewHandleCache(1, 1)
	where := filepath.Join(t.TempDir(), "liked-0")
	l, err := logfile.Create(logfile.OSFS{}, where, identity, logfile.Checkpoint{}, opt)
	require.NoError(t, err)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				opt.Cache.CloseIdle()
			}
		}
	})
	for n := range int64(200) {
		put(t, l, next(l, 1, "1"))
		view := l.View(n + 1)
		wg.Go(func() {
			got, err := view.Read(nil, 0, 1<<20, 1<<20)
			if err == nil && assert.NotEmpty(t, got) {
				assert.Zero(t, got[0].Offset)
			}
		})
	}
	assert.Len(t, all(t, l), 200)
	var b logfile.Batch
	l.Reset(&b, logfile.Checkpoint{Index: 500, Term: 1, NextOffset: 500, LogStart: 500})
	run(t, &b)
	put(t, l, next(l, 1, "1"))
	require.NoError(t, l.Close())
	close(stop)
	wg.Wait()
	l, _, err = logfile.Open(logfile.OSFS{}, where, opt)
	require.NoError(t, err)
	assert.Len(t, all(t, l), 1)
	require.NoError(t, l.Close())
}
