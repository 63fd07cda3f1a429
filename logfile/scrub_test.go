package logfile_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

func freely(int) error { return nil }

// Every byte of every sealed segment is read and paid for, and a wrong bit in
// any of them is found; the active segment is not the scrub's to read.
func TestScrub(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, smallSegments())
	for i := range 20 {
		put(t, l, next(l, 1, "1"))
		if i%7 == 0 {
			var b logfile.Batch
			l.SetHardState(&b, 1, 7)
			l.StageSyncMark(&b)
			run(t, &b)
		}
	}
	segs := segments(t, d)
	sealed := segs[:len(segs)-1]
	require.Greater(t, len(sealed), 2)
	total, paid := int64(0), 0
	for _, path := range sealed {
		text, err := d.ReadFile(path)
		require.NoError(t, err)
		total += int64(len(text))
	}
	read, err := l.Scrub().Run(func(n int) error { paid += n; return nil })
	require.NoError(t, err)
	assert.EqualValues(t, paid, read)
	assert.Greater(t, read, total/2)
	assert.LessOrEqual(t, read, total)

	text, err := d.ReadFile(sealed[1])
	require.NoError(t, err)
	for at := range text {
		d.WriteFile(sealed[1], flip(text, at))
		var bad *logfile.CorruptError
		_, err := l.Scrub().Run(freely)
		require.ErrorAs(t, err, &bad, "byte %d", at)
		require.Equal(t, sealed[1], bad.Path)
	}
	d.WriteFile(sealed[1], text[:len(text)-3])
	_, err = l.Scrub().Run(freely)
	require.ErrorContains(t, err, "instead of")
	d.WriteFile(sealed[1], text)

	last := segs[len(segs)-1]
	text, err = d.ReadFile(last)
	require.NoError(t, err)
	d.WriteFile(last, flip(text, len(text)-5))
	_, err = l.Scrub().Run(freely)
	require.NoError(t, err)

	stop := errors.New("stop")
	_, err = l.Scrub().Run(func(int) error { return stop })
	require.ErrorIs(t, err, stop)
}

// What retention removes between the snapshot and the reading is no damage;
// what somebody else removes is.
func TestScrubOfRemovedSegments(t *testing.T) {
	d, l := smallLog(t)
	l.Committed(l.LastIndex())
	l.SetApplied(l.LastIndex(), nil, nil)
	scrub := l.Scrub()
	segs := segments(t, d)
	require.NoError(t, d.Remove(segs[1]))
	_, err := scrub.Run(freely)
	require.ErrorContains(t, err, "missing")
	var b logfile.Batch
	l.SetLogStart(&b, l.NextOffset()-1)
	run(t, &b)
	_, err = scrub.Run(freely)
	require.NoError(t, err)
}
