package logfile_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

func TestCreateAppendReopen(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b1"))
	assert.Equal(t, uint64(1), l.FirstIndex())
	assert.Equal(t, uint64(0), l.LastIndex())
	want := []logfile.Frame{
		empty(1, 1, 0), records(2, 1, 0, 3, `{"a b":"c d"}`), records(3, 2, 3, 1, "-"),
		frame(4, 2, logfile.KindConfChange, 4, 0, string(logfile.OpaqueBody([]byte("change")))),
	}
	put(t, l, want[:2]...)
	put(t, l, want[2:]...)
	assert.Equal(t, want, all(t, l))
	require.NoError(t, l.Close())

	d.PowerCut(nil)
	l, rec := open(t, d, options("b2"))
	assert.Equal(t, want, all(t, l))
	assert.Equal(t, identity, rec.Identity)
	assert.Equal(t, uint64(2), rec.SyncedIndex)
	assert.Equal(t, uint64(2), rec.HardTerm)
	assert.Equal(t, []byte("conf"), rec.Checkpoint.ConfState)
	assert.False(t, rec.SameBoot)
	assert.False(t, rec.Clean)
	assert.Equal(t, int64(4), l.NextOffset())
	for i, want := range []uint64{0, 1, 1, 2, 2} {
		term, ok := l.Term(uint64(i))
		assert.True(t, ok)
		assert.Equal(t, want, term, "index %d", i)
	}
	_, ok := l.Term(5)
	assert.False(t, ok)
	put(t, l, next(l, 2, "1"))
	require.NoError(t, l.Close())
	l, rec = open(t, d, options("b2"))
	assert.Equal(t, uint64(5), rec.LastIndex)
	assert.True(t, rec.SameBoot)
	assert.Equal(t, int64(6), l.NextOffset())
}

func TestCreateAndOpenRefuse(t *testing.T) {
	d := faultfs.New()
	_, _, err := logfile.Open(d, dir, options("b"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	create(t, d, options("b"))
	_, err = logfile.Create(d, dir, identity, logfile.Checkpoint{}, options("b"))
	assert.ErrorIs(t, err, fs.ErrExist)
}

func TestAppendRefusesWhatDoesNotFollow(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	put(t, l, empty(1, 3, 0), records(2, 3, 0, 2, "1"))
	l.Committed(1)
	for name, f := range map[string]logfile.Frame{
		"gap":                 records(4, 3, 2, 1, "1"),
		"wrong base offset":   records(3, 3, 3, 1, "1"),
		"falling term":        records(3, 2, 2, 1, "1"),
		"count too low":       frame(3, 3, logfile.KindRecords, 2, 1, recordLine(2, 0, "1")+recordLine(3, 0, "1")),
		"count too high":      frame(3, 3, logfile.KindRecords, 2, 2, recordLine(2, 0, "1")),
		"no LF":               frame(3, 3, logfile.KindRecords, 2, 1, strings.TrimSuffix(recordLine(2, 0, "1"), "\n")),
		"forged frame inside": frame(3, 3, logfile.KindRecords, 2, 1, recordLine(2, 0, "1")+"#f 1 4 3 r 3 0 0 0 00000000 0 00000000\n"),
		"unknown kind":        frame(3, 3, 'z', 2, 0, ""),
		"committed entry":     empty(1, 3, 0),
		"records in opaque":   frame(3, 3, logfile.KindControl, 2, 0, recordLine(2, 0, "1")),
	} {
		t.Run(name, func(t *testing.T) {
			var b logfile.Batch
			assert.ErrorIs(t, l.Append(&b, []logfile.Frame{f}), logfile.ErrRefused)
			assert.True(t, b.Empty())
			assert.Equal(t, uint64(2), l.LastIndex())
		})
	}
}

func TestBatchIsOneWrite(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	writes := 0
	d.Fault = func(op faultfs.Op) error {
		if op.Kind == "write" {
			writes++
		}
		return nil
	}
	var b logfile.Batch
	require.NoError(t, l.Append(&b, []logfile.Frame{empty(1, 1, 0), records(2, 1, 0, 2, "1")}))
	l.SetHardState(&b, 1, 2)
	require.NoError(t, l.Append(&b, []logfile.Frame{records(3, 1, 2, 2, "1")}))
	run(t, &b)
	assert.Equal(t, 1, writes)
	assert.Len(t, b.Files(), 1)
}

func TestConflictTruncatesAcrossSegments(t *testing.T) {
	d := faultfs.New()
	opt := options("b")
	opt.SegmentBytes = 600
	l := create(t, d, opt)
	for range 12 {
		put(t, l, next(l, 2, `"0123456789"`))
	}
	require.Greater(t, len(segments(t, d)), 3)
	kept := all(t, l)[:4]
	var b logfile.Batch
	l.SetHardState(&b, 5, 9)
	f := records(5, 5, 8, 1, `"new"`)
	require.NoError(t, l.Append(&b, []logfile.Frame{f}))
	run(t, &b)
	want := append(kept, f)
	assert.Equal(t, want, all(t, l))
	term, _ := l.Term(5)
	assert.Equal(t, uint64(5), term)
	require.NoError(t, l.Close())
	d.PowerCut(nil)
	l, rec := open(t, d, opt)
	assert.Equal(t, want, all(t, l))
	assert.Equal(t, uint64(9), rec.Vote)
	// And again, now an entry that was there at Open.
	f = records(3, 6, 4, 1, `"newer"`)
	put(t, l, f)
	assert.Equal(t, append(kept[:2:2], f), all(t, l))
}

func TestReset(t *testing.T) {
	d := faultfs.New()
	opt := options("b")
	opt.SegmentBytes = 600
	l := create(t, d, opt)
	for range 6 {
		put(t, l, next(l, 2, "1"))
	}
	var b logfile.Batch
	l.SetHardState(&b, 4, 2)
	l.Reset(&b, logfile.Checkpoint{Index: 100, Term: 3, HardTerm: 3, Vote: 1, Applied: 120, NextOffset: 500, LogStart: 500, ConfState: []byte("cs")})
	run(t, &b)
	assert.Equal(t, uint64(101), l.FirstIndex())
	assert.Equal(t, uint64(100), l.LastIndex())
	assert.Len(t, segments(t, d), 1)
	put(t, l, records(101, 4, 500, 2, "1"))
	require.NoError(t, l.Close())
	l, rec := open(t, d, opt)
	assert.Equal(t, int64(502), l.NextOffset())
	assert.Equal(t, uint64(4), rec.HardTerm)
	assert.Equal(t, uint64(2), rec.Vote)
	assert.Equal(t, uint64(120), rec.Checkpoint.Applied)
	term, ok := l.Term(100)
	assert.True(t, ok)
	assert.Equal(t, uint64(3), term)
}

func TestSyncMarkOnlyWhenThereIsSomethingToSay(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	put(t, l, next(l, 1, "1"))
	var b logfile.Batch
	assert.True(t, l.StageSyncMark(&b))
	assert.False(t, l.StageSyncMark(&b))
	l.SetHardState(&b, 2, 1)
	assert.True(t, l.StageSyncMark(&b), "a vote is worth a sync mark")
	run(t, &b)
	require.NoError(t, l.Close())
	_, rec := open(t, d, options("b"))
	assert.True(t, rec.Clean)
	assert.Equal(t, uint64(1), rec.SyncedIndex)
}

func TestOffsetOf(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, smallSegments())
	want := []int64{0}
	for i := range 20 {
		put(t, l, next(l, 1+i%3, "1"))
		want = append(want, l.NextOffset())
	}
	check := func(l *logfile.Log) {
		for i := l.FirstIndex(); i <= l.LastIndex()+1; i++ {
			got, err := l.OffsetOf(i)
			require.NoError(t, err)
			require.Equal(t, want[i-1], got)
		}
	}
	check(l)
	l.Committed(15)
	check(l)
	require.NoError(t, l.Close())
	l, _ = open(t, d, smallSegments())
	check(l)
	assert.Equal(t, int64(0), l.BaseOffset())
	_, err := l.OffsetOf(0)
	assert.ErrorIs(t, err, logfile.ErrRefused)
	_, err = l.OffsetOf(22)
	assert.Error(t, err)
}

// What a truncation takes out of the file it keeps beside it, the log start
// too, whenever a crash comes: the entry that moved it counts as applied and is
// not looked at again.
func TestConflictKeepsTheLogStart(t *testing.T) {
	for steps := 0; ; steps++ {
		d := faultfs.New()
		l := create(t, d, options("b"))
		for range 4 {
			put(t, l, next(l, 2, `"x"`))
		}
		var b logfile.Batch
		l.SetLogStart(&b, 2)
		l.SetApplied(3, []byte("members"), nil)
		l.StageCheckpoint(&b)
		run(t, &b)

		b = logfile.Batch{}
		require.NoError(t, l.Append(&b, []logfile.Frame{records(4, 5, 6, 1, `"new"`)})) // cuts the checkpoint off
		d.StopAfter(steps)
		err := tryRun(&b)
		if err == nil {
			require.Greater(t, steps, 2)
			require.NoError(t, l.Close())
			return
		}
		d.PowerCut(nil)
		l, rec := open(t, d, options("b2"))
		require.EqualValues(t, 3, rec.Checkpoint.Applied, "after %d steps", steps)
		require.EqualValues(t, 2, rec.LogStart, "after %d steps", steps)
		require.EqualValues(t, 2, l.LogStart(), "after %d steps", steps)
		require.NoError(t, l.Close())
	}
}

// A log that was idle when its process was killed ends with a mark that says all. Opening it
// adds nothing, and makes sure that the mark, which nobody has waited for, is on disk.
func TestALogThatEndsWithAMarkIsOpenedAsItIs(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	put(t, l, next(l, 1, "1"))
	var b logfile.Batch
	require.True(t, l.StageSyncMark(&b))
	require.NoError(t, b.Execute())
	require.NoError(t, l.Close())
	path := segments(t, d)[0]
	size := func() int64 {
		info, err := d.Stat(path)
		require.NoError(t, err)
		return info.Size()
	}
	before := size()
	l, rec := open(t, d, options("b"))
	assert.True(t, rec.Clean)
	require.NoError(t, l.Close())
	assert.Equal(t, before, size())
	d.PowerCut(nil)
	assert.Equal(t, before, size(), "the mark was made durable")
	l, rec = open(t, d, options("another boot"))
	assert.True(t, rec.Clean)
	require.NoError(t, l.Close())
	assert.Greater(t, size(), before, "after that it takes a mark of this one")
}

// Many logs that are opened at the same time share syncs. What was not synced together is
// synced by itself.
func TestOpenSyncsTogetherWithOthers(t *testing.T) {
	for _, together := range []bool{true, false} {
		d := faultfs.New()
		l := create(t, d, options("b"))
		put(t, l, next(l, 1, "1"))
		require.NoError(t, l.Close())
		asked, syncs := 0, 0
		d.Fault = func(op faultfs.Op) error {
			if strings.Contains(op.Kind, "sync") {
				syncs++
			}
			return nil
		}
		opt := options("b")
		opt.Together = func(f *logfile.File) bool {
			assert.NotZero(t, f.Changes())
			asked++
			return together
		}
		_, _ = open(t, d, opt)
		assert.Equal(t, 2, asked, "before the mark and after it")
		if together {
			assert.Zero(t, syncs)
		} else {
			assert.Equal(t, 3, syncs, "file, directory, file")
		}
	}
}
