package logfile_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// What the owner sets is in the next checkpoint, and Open finds it there: the
// state that replaces what entries before it say.
func TestCheckpointsSayWhatTheOwnerSet(t *testing.T) {
	for name, write := range map[string]func(l *logfile.Log, b *logfile.Batch){
		"at a roll":           func(l *logfile.Log, b *logfile.Batch) { l.Roll(b) },
		"in between":          func(l *logfile.Log, b *logfile.Batch) { l.StageCheckpoint(b) },
		"before a truncation": func(l *logfile.Log, b *logfile.Batch) { _ = l.Append(b, []logfile.Frame{empty(4, 6, 3)}) },
	} {
		t.Run(name, func(t *testing.T) {
			d := faultfs.New()
			l := create(t, d, options("b"))
			for range 4 {
				put(t, l, next(l, 1, "1"))
			}
			calls := 0
			l.SetApplied(3, []byte("members"), []byte("not these"))
			l.ProducersFrom(func() []byte { calls++; return []byte("producers") })
			l.SetCompaction([]byte("compaction"))
			assert.Zero(t, calls, "encoded for checkpoints only")
			var b logfile.Batch
			write(l, &b)
			run(t, &b)
			assert.Positive(t, calls)
			require.NoError(t, l.Close())
			d.PowerCut(nil)
			_, rec := open(t, d, options("b2"))
			cp := rec.Checkpoint
			assert.EqualValues(t, 3, cp.Applied)
			assert.Equal(t, []string{"members", "producers", "compaction"}, []string{string(cp.ConfState), string(cp.Producers), string(cp.Compaction)})
		})
	}
}

func TestWhatALogSaysOfItself(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	assert.Equal(t, identity, l.Identity())
	assert.Zero(t, l.LastAppendTime())
	put(t, l, next(l, 2, "1"), empty(2, 1, 2))
	assert.EqualValues(t, 2000, l.LastAppendTime())
	late := next(l, 1, "1")
	late.AppendTime = 500
	put(t, l, late)
	assert.EqualValues(t, 500, l.LastAppendTime(), "the last, also when it is less")
	var b logfile.Batch
	l.SetHardState(&b, 5, 2)
	term, vote := l.HardState()
	assert.Equal(t, []uint64{5, 2}, []uint64{term, vote}, "from when it is staged")
	size := int64(0)
	run(t, &b)
	for _, path := range segments(t, d) {
		text, err := d.ReadFile(path)
		require.NoError(t, err)
		size += int64(len(text))
	}
	assert.Equal(t, size, l.Bytes())

	l.SetSegmentBytes(1)
	put(t, l, next(l, 1, "1"))
	require.Len(t, segments(t, d), 2)
	l.SetSegmentBytes(0)
	put(t, l, next(l, 1, "1"))
	require.Len(t, segments(t, d), 2, "the default is far away")
}

// A batch that is reset is as good as a new one, for another log too, and does
// not touch what it has written.
func TestBatchReset(t *testing.T) {
	d, other := faultfs.New(), faultfs.New()
	l, l2 := create(t, d, options("b")), create(t, other, options("b"))
	var b logfile.Batch
	for i := range 3 {
		f, f2 := next(l, 1, fmt.Sprint(i)), next(l2, 1, fmt.Sprint("2", i))
		require.NoError(t, l.Append(&b, []logfile.Frame{f}))
		assert.Greater(t, b.Bytes(), len(f.Body))
		run(t, &b)
		b.Reset()
		assert.True(t, b.Empty())
		assert.Empty(t, b.Files())
		assert.Zero(t, b.Bytes())
		require.NoError(t, b.Execute(), "an empty one does nothing")
		require.NoError(t, l2.Append(&b, []logfile.Frame{f2}))
		run(t, &b)
		b.Reset()
		assert.Equal(t, f, all(t, l)[i])
		assert.Equal(t, f2, all(t, l2)[i])
	}
	require.NoError(t, l.Append(&b, []logfile.Frame{next(l, 1, "1")}))
	assert.Panics(t, func() { _ = l2.Append(&b, []logfile.Frame{next(l2, 1, "1")}) }, "one batch for two logs")
}

// Entries that are staged and not executed are neither there nor damage.
func TestReadOfWhatIsNotWrittenYet(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	put(t, l, next(l, 1, "1"))
	var b logfile.Batch
	f := next(l, 1, "2")
	require.NoError(t, l.Append(&b, []logfile.Frame{f}))
	told := 0
	l.OnDamage(func(error) { told++ })
	_, err := l.ReadFrames(2, 3, 1)
	require.ErrorIs(t, err, logfile.ErrBeyondEnd)
	got, err := l.ReadFrames(1, 2, 1)
	require.NoError(t, err)
	require.Len(t, got, 1)
	_, err = l.ReadFrames(3, 4, 1)
	require.ErrorIs(t, err, logfile.ErrBeyondEnd)
	run(t, &b)
	got, err = l.ReadFrames(2, 3, 1)
	require.NoError(t, err)
	assert.Equal(t, f, got[0])
	assert.Zero(t, told)
}

// A tail that Open would cut by itself is not Examine's to mend, whether the
// process was killed or the power was cut; a tail that it would not cut is refused.
func TestExamineLeavesTornTailsToOpen(t *testing.T) {
	c := newCopies(t, false)
	segs := c.segments(1)
	path := segs[len(segs)-1]
	sound, err := c.d.ReadFile(path)
	require.NoError(t, err)
	last := bytes.LastIndex(sound, []byte("\n#f ")) + 1
	last = bytes.LastIndex(sound[:last-1], []byte("\n#f ")) + 1
	for name, row := range map[string]struct {
		data []byte
		boot string
		cut  bool
	}{
		"short, same boot":         {sound[:last+60], "b", true},
		"short, after a restart":   {sound[:last+60], "b2", true},
		"a short header":           {sound[:last+5], "b2", true},
		"garbage after a restart":  {append(bytes.Clone(sound[:last]), "???\n"...), "b2", true},
		"garbage in the same boot": {append(bytes.Clone(sound[:last]), "???\n"...), "b", false},
	} {
		t.Run(name, func(t *testing.T) {
			c.d.WriteFile(path, row.data)
			opt := c.opt
			opt.BootID = row.boot
			m, err := logfile.Examine(c.d, copyDir(1), opt, nil)
			if !row.cut {
				var bad *logfile.CorruptError
				require.ErrorAs(t, err, &bad)
				return
			}
			require.NoError(t, err)
			assert.False(t, m.Damaged())
			_, more := m.Want()
			assert.False(t, more)
			l, rec, err := logfile.Open(c.d.Clone(), copyDir(1), opt)
			require.NoError(t, err)
			assert.EqualValues(t, len(row.data)-last, rec.CutBytes)
			require.NoError(t, l.Close())
		})
	}
}

// A damaged part is found, and the log is not said to be mended without what it held.
func TestExamineFindsDamagedParts(t *testing.T) {
	opt := smallSegments()
	k, _ := newCompacted(t, opt)
	require.NoError(t, k.l.Close())
	m, err := logfile.Examine(k.d, dir, opt, nil)
	require.NoError(t, err)
	assert.False(t, m.Damaged())
	path := parts(t, k.d)[0]
	text, err := k.d.ReadFile(path)
	require.NoError(t, err)
	k.d.WriteFile(path, flip(text, len(text)/2))
	m, err = logfile.Examine(k.d, dir, opt, nil)
	require.NoError(t, err)
	assert.True(t, m.Damaged())
	want, more := m.Want()
	require.True(t, more)
	assert.NotNil(t, want.Parts)
	require.ErrorIs(t, m.Finish(), logfile.ErrRefused)
	require.NoError(t, m.Abort())
}
