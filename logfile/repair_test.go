package logfile_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

func diagnose(t *testing.T, d logfile.FS) (found []logfile.Damage) {
	t.Helper()
	require.NoError(t, logfile.Diagnose(d, "/data", "boot", func(one logfile.Damage) { found = append(found, one) }))
	return found
}

// damagedTail is a log of 20 records, closed with a sync mark, with a bit
// flipped in record 15.
func damagedTail(t *testing.T) (*faultfs.FS, string) {
	d := faultfs.New()
	l := create(t, d, options("boot"))
	for range 15 {
		put(t, l, next(l, 1, "1"))
	}
	put(t, l, records(16, 3, 15, 5, "1"))
	var b logfile.Batch
	l.SetHardState(&b, 9, 7)
	l.StageSyncMark(&b)
	run(t, &b)
	require.NoError(t, l.Close())
	path := segments(t, d)[0]
	text, err := d.ReadFile(path)
	require.NoError(t, err)
	at := lineAt(t, text, `liked 0 10 "user-10"`)
	d.WriteFile(path, flip(text, at))
	return d, path
}

func lineAt(t *testing.T, text []byte, what string) int {
	t.Helper()
	for i := range text {
		if len(text)-i >= len(what) && string(text[i:i+len(what)]) == what {
			return i
		}
	}
	require.FailNow(t, "not in the log", what)
	return 0
}

func TestCutTail(t *testing.T) {
	d, path := damagedTail(t)
	_, _, err := logfile.Open(d, dir, options("boot"))
	require.Error(t, err)

	found := diagnose(t, d)
	require.Len(t, found, 1)
	one := found[0]
	assert.True(t, one.Tail)
	assert.Equal(t, path, one.Path)
	assert.Equal(t, identity, one.Identity)
	assert.Equal(t, []byte("conf"), one.ConfState)
	assert.False(t, one.ConfMoved)
	assert.EqualValues(t, 10, one.NextOffset)
	assert.EqualValues(t, 20, one.LostNext)
	before, _ := d.ReadFile(path)
	assert.EqualValues(t, len(before), one.Offset+one.LostBytes)

	broken, err := logfile.CutTail(d, one, "boot")
	require.NoError(t, err)
	cut, err := d.ReadFile(broken)
	require.NoError(t, err)
	assert.Equal(t, before[one.Offset:], cut, "every byte is kept")
	assert.Empty(t, diagnose(t, d))

	l, rec := open(t, d, options("boot"))
	assert.EqualValues(t, 10, rec.NextOffset)
	assert.EqualValues(t, 9, rec.HardTerm, "the term does not go back with the entries")
	assert.EqualValues(t, 0, rec.Vote)
	put(t, l, records(l.LastIndex()+1, 9, 10, 1, "2"))
	require.NoError(t, l.Close())
	open(t, d, options("boot"))

	_, err = logfile.CutTail(d, one, "boot")
	assert.ErrorIs(t, err, logfile.ErrRefused, "the log is another one now")
}

func TestDiagnoseSparesWhatOpenCutsItself(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("boot"))
	put(t, l, next(l, 1, "1"))
	put(t, l, next(l, 1, "1"))
	require.NoError(t, l.Close())
	path := segments(t, d)[0]
	text, _ := d.ReadFile(path)
	d.WriteFile(path, text[:len(text)-3])
	assert.Empty(t, diagnose(t, d))
}

func TestDiagnoseRefusesWhatACutWouldNotHeal(t *testing.T) {
	t.Run("sealed segment", func(t *testing.T) {
		d, l := smallLog(t)
		require.NoError(t, l.Close())
		path := segments(t, d)[1]
		text, _ := d.ReadFile(path)
		d.WriteFile(path, flip(text, len(text)-50))
		found := diagnose(t, d)
		require.Len(t, found, 1)
		assert.Equal(t, path, found[0].Path)
		assert.False(t, found[0].Tail)
		_, err := logfile.CutTail(d, found[0], "boot")
		assert.ErrorIs(t, err, logfile.ErrRefused)
	})
	t.Run("header", func(t *testing.T) {
		d, path := damagedTail(t)
		text, _ := d.ReadFile(path)
		d.WriteFile(path, flip(text, 5))
		found := diagnose(t, d)
		require.Len(t, found, 1)
		assert.False(t, found[0].Tail)
	})
	t.Run("membership after the damage", func(t *testing.T) {
		d := faultfs.New()
		l := create(t, d, options("boot"))
		put(t, l, next(l, 1, "1"))
		put(t, l, frame(2, 1, logfile.KindConfChange, 1, 0, "#e YQ==\n"))
		require.NoError(t, l.Close())
		path := segments(t, d)[0]
		text, _ := d.ReadFile(path)
		d.WriteFile(path, flip(text, lineAt(t, text, `liked 0 0 "user-0"`)))
		found := diagnose(t, d)
		require.Len(t, found, 1)
		assert.True(t, found[0].ConfMoved)
	})
}
