package logfile_test

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

var errIO = errors.New("input/output error")

// failNth fails the nth operation (from 1) of a kind once.
func failNth(kind string, n int, err error) func(faultfs.Op) error {
	return func(op faultfs.Op) error {
		if op.Kind != kind {
			return nil
		}
		if n--; n == 0 {
			return err
		}
		return nil
	}
}

func TestFailedSyncPoisonsForGood(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	put(t, l, next(l, 1, "1"))
	acked := all(t, l)
	d.Fault = failNth("sync", 1, errIO)
	var b logfile.Batch
	big := `"` + strings.Repeat("x", 3000) + `"` // several sectors
	require.NoError(t, l.Append(&b, []logfile.Frame{next(l, 1, big)}))
	require.NoError(t, b.Execute())
	f := b.Files()[0]
	err := f.Sync()
	assert.ErrorIs(t, err, logfile.ErrPoisoned)
	assert.ErrorIs(t, err, errIO)
	assert.ErrorIs(t, f.Sync(), logfile.ErrPoisoned, "a second sync must not succeed")
	assert.ErrorIs(t, f.Poisoned(), errIO)
	var later logfile.Batch
	require.NoError(t, l.Append(&later, []logfile.Frame{next(l, 1, "3")}))
	assert.ErrorIs(t, later.Execute(), logfile.ErrPoisoned)
	require.NoError(t, l.Close())

	// The page cache still has what the disk does not; recovery writes it again,
	// so that what it found stays after the next power cut.
	d.Restart()
	l, rec := open(t, d, options("b"))
	found := all(t, l)
	assert.Equal(t, acked, found[:1])
	require.NoError(t, l.Close())
	d.PowerCut(nil)
	l, rec2 := open(t, d, options("b2"))
	assert.Equal(t, found, all(t, l))
	assert.Equal(t, rec.LastIndex, rec2.LastIndex)
}

// TestLostVoteIsWrittenAgain: the header of an entry says which entry before it
// was synced, and nothing of the lines between the two. When their sync fails
// they stay in the page cache alone, like the entry.
func TestLostVoteIsWrittenAgain(t *testing.T) {
	for i := 0; i < 512; i += 5 { // wherever it stands in a sector, across a boundary too
		d := faultfs.New()
		l := create(t, d, options("b"))
		put(t, l, next(l, 1, strings.Repeat("1", 1+i)))
		var b logfile.Batch
		l.SetHardState(&b, 7, 2)
		require.NoError(t, l.Append(&b, []logfile.Frame{next(l, 7, "2")}))
		d.Fault = failNth("sync", 1, errIO)
		require.ErrorIs(t, tryRun(&b), logfile.ErrPoisoned)
		require.NoError(t, l.Close())

		d.Restart() // kill -9
		l, rec := open(t, d, options("b"))
		require.EqualValues(t, 2, l.LastIndex())
		require.EqualValues(t, 2, rec.Vote)
		require.NoError(t, l.Close())

		d.PowerCut(nil)
		l, rec, err := logfile.Open(d, dir, options("b2"))
		require.NoError(t, err, "value of %d bytes", 1+i)
		require.EqualValues(t, 2, l.LastIndex(), "value of %d bytes: a synced entry is gone", 1+i)
		require.EqualValues(t, []uint64{7, 2}, []uint64{rec.HardTerm, rec.Vote})
		require.NoError(t, l.Close())
	}
}

// TestLostSyncMarkIsWrittenAgain: a sync mark proves what is before it, not
// itself. When its own sync fails it stays in the page cache alone; were it not
// written again, a later power cut would leave a hole before synced entries.
func TestLostSyncMarkIsWrittenAgain(t *testing.T) {
	for i := 0; i < 512; i += 5 { // wherever it stands in a sector, across a boundary too
		d := faultfs.New()
		l := create(t, d, options("b"))
		put(t, l, next(l, 1, strings.Repeat("1", 1+i)))
		var b logfile.Batch
		require.True(t, l.StageSyncMark(&b))
		d.Fault = failNth("sync", 1, errIO)
		require.ErrorIs(t, tryRun(&b), logfile.ErrPoisoned)
		require.NoError(t, l.Close())

		d.Restart() // kill -9
		l, _ = open(t, d, options("b"))
		put(t, l, next(l, 1, "2"))
		require.NoError(t, l.Close())

		d.PowerCut(nil)
		l, _, err := logfile.Open(d, dir, options("b2"))
		require.NoError(t, err, "value of %d bytes", 1+i)
		require.EqualValues(t, 2, l.LastIndex(), "value of %d bytes: a synced entry is gone", 1+i)
		require.NoError(t, l.Close())
	}
}

// TestEverySyncOfARollPoisons: whichever sync fails, nothing is acknowledged
// afterwards.
func TestEverySyncOfARollPoisons(t *testing.T) {
	for _, kind := range []string{"sync", "syncdir"} {
		for n := 1; ; n++ {
			d := faultfs.New()
			l := create(t, d, options("b"))
			put(t, l, next(l, 1, "1"))
			failed := false
			fault := failNth(kind, n, errIO)
			d.Fault = func(op faultfs.Op) error {
				err := fault(op)
				failed = failed || err != nil
				return err
			}
			var b, later logfile.Batch
			l.Roll(&b)
			require.NoError(t, l.Append(&b, []logfile.Frame{next(l, 1, "2")}))
			err := tryRun(&b)
			if !failed {
				require.NoError(t, err)
				break
			}
			require.ErrorIs(t, err, logfile.ErrPoisoned, "%s %d", kind, n)
			require.ErrorIs(t, tryRun(&b), logfile.ErrPoisoned, "%s %d", kind, n)
			require.NoError(t, l.Append(&later, []logfile.Frame{next(l, 1, "3")}))
			require.ErrorIs(t, later.Execute(), logfile.ErrPoisoned)
		}
	}
}

// Room for a write is enough: it need not be there for what may come after it.
func TestRoomForAWriteIsEnough(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	put(t, l, next(l, 1, "1"))
	d.Fault = failNth("reserve", 1, syscall.ENOSPC)
	put(t, l, next(l, 1, `"`+strings.Repeat("x", 100_000)+`"`))
}

// A full disk cuts a write of several pieces anywhere: what it kept of them is cut off, and
// the second try writes all of them.
func TestFullDiskWithinPieces(t *testing.T) {
	for space := 0; ; space++ {
		d := faultfs.New()
		opt := options("b")
		opt.LargeBody = 100 // the first and the last are copied
		l := create(t, d, opt)
		put(t, l, next(l, 1, "1"))
		path := segments(t, d)[0]
		before, err := d.ReadFile(path)
		require.NoError(t, err)
		var b logfile.Batch
		var frames []logfile.Frame
		for _, size := range []int{1, 100, 100, 1} {
			f := next(l, 1, `"`+strings.Repeat("x", size)+`"`)
			frames = append(frames, f)
			require.NoError(t, l.Append(&b, []logfile.Frame{f}))
		}
		d.SetSpace(int64(space))
		err = b.Execute()
		full := err != nil
		if full {
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.NotErrorIs(t, err, logfile.ErrPoisoned)
			after, err := d.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, before, after, "with space for %d bytes", space)
		}
		d.SetSpace(-1)
		run(t, &b)
		require.NoError(t, l.Close())
		d.PowerCut(nil)
		l, _ = open(t, d, options("b2"))
		require.Equal(t, frames, all(t, l)[1:], "with space for %d bytes", space)
		if !full {
			require.EqualValues(t, b.Bytes(), space)
			return
		}
	}
}

func TestFullDiskIsRetriable(t *testing.T) {
	for name, full := range map[string]func(d *faultfs.FS){
		"half the frame is written": func(d *faultfs.FS) { d.SetSpace(40) },
		"nothing is written":        func(d *faultfs.FS) { d.SetSpace(0) },
		"reserving fails": func(d *faultfs.FS) { // with more than is needed, and without
			first, second := failNth("reserve", 1, syscall.ENOSPC), failNth("reserve", 2, syscall.ENOSPC)
			d.Fault = func(op faultfs.Op) error { return cmp.Or(first(op), second(op)) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := faultfs.New()
			l := create(t, d, options("b"))
			big := `"` + strings.Repeat("x", 100_000) + `"` // more than is reserved
			put(t, l, next(l, 1, "1"))
			first := next(l, 1, big)
			var b, b2 logfile.Batch
			require.NoError(t, l.Append(&b, []logfile.Frame{first}))
			second := next(l, 1, "2")
			require.NoError(t, l.Append(&b2, []logfile.Frame{second}))
			full(d)
			before, err := d.ReadFile(segments(t, d)[0])
			require.NoError(t, err)
			err = b.Execute()
			require.ErrorIs(t, err, syscall.ENOSPC)
			assert.NotErrorIs(t, err, logfile.ErrPoisoned)
			after, err := d.ReadFile(segments(t, d)[0])
			require.NoError(t, err)
			assert.Equal(t, before, after, "half a frame can be seen")

			d.SetSpace(-1)
			err = b2.Execute()
			require.ErrorIs(t, err, logfile.ErrOrder, "a later batch must not overtake")
			require.ErrorIs(t, err, syscall.ENOSPC)
			run(t, &b)
			run(t, &b)
			run(t, &b2)
			assert.Equal(t, []logfile.Frame{first, second}, all(t, l)[1:])
			require.NoError(t, l.Close())
			d.PowerCut(nil)
			l, _ = open(t, d, options("b2"))
			assert.Equal(t, []logfile.Frame{first, second}, all(t, l)[1:])
		})
	}
}

// A part of a write that cannot be taken away may get to the disk, and a power
// cut during a second try leave a mixture of both.
func TestFullDiskThatKeepsAPartIsFinal(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	put(t, l, next(l, 1, "1"))
	var b logfile.Batch
	require.NoError(t, l.Append(&b, []logfile.Frame{next(l, 1, `"`+strings.Repeat("x", 1000)+`"`)}))
	d.SetSpace(40)
	d.Fault = failNth("truncate", 1, syscall.EIO)
	err := b.Execute()
	require.ErrorIs(t, err, logfile.ErrPoisoned)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorIs(t, err, syscall.EIO)
	d.SetSpace(-1)
	require.ErrorIs(t, b.Execute(), logfile.ErrPoisoned, "no second try")
}

func TestFullDiskWhileRollingIsRetriable(t *testing.T) {
	rollingIsRetriable(t, syscall.ENOSPC, "write", "create", "rename")
}

// Too many open files are no failed sync: what could not be opened is tried again.
func TestLackOfDescriptorsWhileRollingIsRetriable(t *testing.T) {
	rollingIsRetriable(t, syscall.EMFILE, "create", "syncdir")
	rollingIsRetriable(t, syscall.ENFILE, "create", "syncdir")
}

func rollingIsRetriable(t *testing.T, cause error, kinds ...string) {
	for n := 1; ; n++ {
		d := faultfs.New()
		l := create(t, d, options("b"))
		put(t, l, next(l, 1, "1"))
		failed := false
		count := 0
		d.Fault = func(op faultfs.Op) error {
			if slices.Contains(kinds, op.Kind) {
				if count++; count == n {
					failed = true
					return cause
				}
			}
			return nil
		}
		var b logfile.Batch
		l.Roll(&b)
		f := next(l, 1, "2")
		require.NoError(t, l.Append(&b, []logfile.Frame{f}))
		if err := tryRun(&b); err != nil {
			require.ErrorIs(t, err, cause)
			require.NoError(t, tryRun(&b), "operation %d", n)
		}
		require.Equal(t, f, all(t, l)[1])
		require.NoError(t, l.Close())
		d.PowerCut(nil)
		l, _ = open(t, d, options("b2"))
		require.Equal(t, f, all(t, l)[1])
		if !failed {
			return
		}
	}
}

func TestReadErrorIsNeitherEmptyNorDamage(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	put(t, l, next(l, 3, "1"))
	d.Fault = failNth("read", 1, errIO)
	_, err := l.View(3).Read(nil, 0, 10, 1000)
	assert.ErrorIs(t, err, errIO)
	var bad *logfile.CorruptError
	assert.False(t, errors.As(err, &bad))
	require.NoError(t, l.Close())
	d.Fault = failNth("read", 2, errIO)
	_, _, err = logfile.Open(d, dir, options("b"))
	assert.ErrorIs(t, err, errIO)
	assert.False(t, errors.As(err, &bad))
}

func TestClosed(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	put(t, l, next(l, 1, "1"))
	v := l.View(1)
	require.NoError(t, l.Close())
	_, err := v.Read(nil, 0, 1, 1)
	assert.ErrorIs(t, err, logfile.ErrClosed)
}
