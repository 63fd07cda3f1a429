package logfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
)

// cutStart makes three copies of which retention has removed the first segments, with a
// checkpoint in the middle of the active one that says so, and a vote after it.
func cutStart(t *testing.T) *copies {
	c := &copies{t: t, d: newDisk(t), opt: smallSegments()}
	for b := 1; b <= 3; b++ {
		l, err := logfile.Create(c.d, copyDir(b), copyIdentity(b), logfile.Checkpoint{ConfState: []byte("conf"), HardTerm: 1}, c.opt)
		require.NoError(t, err)
		for i := range 40 {
			put(t, l, records(uint64(i+1), 1, l.NextOffset(), 1, fmt.Sprint(i)))
			var batch logfile.Batch
			if i == 37 {
				l.Committed(uint64(i))
				l.SetApplied(uint64(i), []byte("conf"), []byte("producers"))
				l.SetLogStart(&batch, int64(i)-17)
				l.StageSyncMark(&batch)
			}
			if i == 38 {
				l.SetHardState(&batch, 3, uint64(b))
			}
			run(t, &batch)
		}
		require.NoError(t, l.Close())
	}
	l, rec, err := logfile.Open(c.d, copyDir(2), c.opt)
	require.NoError(t, err)
	require.Greater(t, l.FirstIndex(), uint64(10))
	require.EqualValues(t, 20, rec.LogStart)
	c.want = all(t, l)
	require.NoError(t, l.Close())
	return c
}

// hurtCheckpoint overwrites the newest checkpoint within a copy's active segment.
func (c *copies) hurtCheckpoint(broker int) {
	segs := c.segments(broker)
	c.change(segs[len(segs)-1], func(text []byte) []byte {
		at := bytes.LastIndex(text, []byte("\n#c ")) + 1
		require.Greater(c.t, at, 200, "it is not the one at the beginning")
		copy(text[at:], "XXXXXXXXXXXXXXXXXXXX")
		return text
	})
}

// tearCheckpoint cuts the newest checkpoint within a copy's active segment short.
func (c *copies) tearCheckpoint(broker int) {
	segs := c.segments(broker)
	c.change(segs[len(segs)-1], func(text []byte) []byte {
		at := bytes.LastIndex(text, []byte("\n#c ")) + 1
		return append(text[:at], "#c 1234"...)
	})
}

// A damaged checkpoint that says where the log begins is made good from another copy,
// whose files may be damaged elsewhere.
func TestMendLostCheckpoint(t *testing.T) {
	c := cutStart(t)
	c.hurtCheckpoint(1)
	c.hurtCheckpoint(2)
	_, _, err := logfile.Open(c.d, copyDir(1), c.opt)
	require.Error(t, err)
	c.d.WriteFile(copyDir(1)+"/carry.mend.tmp", []byte("of an earlier try"))
	require.NoError(t, c.mend(1, 2, 3))
	c.whole(1)
	l, rec, err := logfile.Open(c.d, copyDir(1), c.opt)
	require.NoError(t, err)
	assert.EqualValues(t, 20, rec.LogStart)
	assert.EqualValues(t, 37, rec.Checkpoint.Applied)
	assert.Equal(t, "producers", string(rec.Checkpoint.Producers))
	require.NoError(t, l.Close())
}

// Without such another copy the damage is told as what it is, before anything is
// changed, and not as a log without damage.
func TestMendLostCheckpointIsRefused(t *testing.T) {
	c := cutStart(t)
	for b := 1; b <= 3; b++ {
		c.hurtCheckpoint(b)
	}
	before := c.d.Clone()
	require.ErrorContains(t, c.mend(1, 2, 3), "nobody has it")
	for _, path := range c.segments(1) {
		want, err := before.ReadFile(path)
		require.NoError(t, err)
		got, err := c.d.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

// A copy that has other entries, of a leader that did not stay, lends no checkpoint.
func TestMendTakesNoCheckpointOfOtherEntries(t *testing.T) {
	c := cutStart(t)
	c.hurtCheckpoint(1)
	m, err := logfile.Examine(c.d, copyDir(1), c.opt, nil)
	require.NoError(t, err)
	want, more := m.Want()
	require.True(t, more)
	require.True(t, want.Checkpoint)
	loan, err := logfile.Lend(c.d, copyDir(3), copyIdentity(3), want, 1000)
	require.NoError(t, err)
	require.NotNil(t, loan.Checkpoint)
	require.ErrorIs(t, m.PutCheckpoint(loan.Checkpoint, loan.Term+1), logfile.ErrWrongEntry)
	require.ErrorIs(t, m.PutCheckpoint(loan.Checkpoint, 0), logfile.ErrWrongEntry)
	early := *loan.Checkpoint
	early.LogStart = 0
	require.ErrorIs(t, m.PutCheckpoint(&early, loan.Term), logfile.ErrWrongEntry)
	require.NoError(t, m.PutCheckpoint(loan.Checkpoint, loan.Term))
	require.NoError(t, m.Finish())
	require.NoError(t, m.Abort())
	c.whole(1)
}

// A checkpoint at the end of the file that is damaged looks like one that was never
// written whole. What it said about the beginning of the log shows that it was.
func TestMendCheckpointThatLooksTorn(t *testing.T) {
	c := cutStart(t)
	c.tearCheckpoint(1)
	_, _, err := logfile.Open(c.d, copyDir(1), c.opt)
	var bad *logfile.CorruptError
	require.True(t, errors.As(err, &bad), "%v", err)
	require.NoError(t, c.mend(1, 2, 3))
	l, rec, err := logfile.Open(c.d, copyDir(1), c.opt)
	require.NoError(t, err)
	assert.EqualValues(t, 20, rec.LogStart)
	require.NoError(t, l.Close())
}

// A lender reads its newest segment and not the whole log if a checkpoint in it does: it
// has to answer within seconds.
func TestLendCheckpointReadsTheNewestSegment(t *testing.T) {
	c := cutStart(t)
	c.hurtCheckpoint(1)
	m, err := logfile.Examine(c.d, copyDir(1), c.opt, nil)
	require.NoError(t, err)
	want, more := m.Want()
	require.True(t, more)
	read := map[string]bool{}
	c.d.SetReadHook(func(path string) { read[path] = true })
	loan, err := logfile.Lend(c.d, copyDir(3), copyIdentity(3), want, 1000)
	c.d.SetReadHook(nil)
	require.NoError(t, err)
	require.NotNil(t, loan.Checkpoint)
	segs := c.segments(3)
	require.Equal(t, map[string]bool{segs[len(segs)-1]: true}, read)
}

// Where damage in a lender's newest segment hides the checkpoint, one of an older
// segment is lent.
func TestLendCheckpointOfAnOlderSegment(t *testing.T) {
	c := &copies{t: t, d: newDisk(t), opt: smallSegments()}
	l, err := logfile.Create(c.d, copyDir(1), copyIdentity(1), logfile.Checkpoint{ConfState: []byte("conf"), HardTerm: 1}, c.opt)
	require.NoError(t, err)
	for i := range uint64(40) {
		put(t, l, records(i+1, 1+i/20, l.NextOffset(), 1, "1"))
		l.Committed(i + 1)
		l.SetApplied(i+1, []byte("conf"), nil)
	}
	require.NoError(t, l.Close())
	segs := c.segments(1)
	c.change(segs[len(segs)-1], func(text []byte) []byte {
		clear(text[:200])
		return text
	})
	loan, err := logfile.Lend(c.d, copyDir(1), copyIdentity(1), logfile.Want{First: 1, Last: 40, Checkpoint: true}, 1000)
	require.NoError(t, err)
	require.NotNil(t, loan.Checkpoint)
	require.Greater(t, loan.Checkpoint.Applied, uint64(20))
	require.EqualValues(t, 2, loan.Term)
}
