package logfile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// TestDamagedParts: every flipped byte of a part is found, when it is opened,
// read or verified, and never read as something else.
func TestDamagedParts(t *testing.T) {
	opt := smallSegments()
	k, c := newCompacted(t, opt)
	want := k.want(c)
	require.NoError(t, k.l.Close())
	path := parts(t, k.d)[0]
	sound, err := k.d.ReadFile(path)
	require.NoError(t, err)
	idx := strings.TrimSuffix(path, ".log") + ".idx"
	for at := 0; at < len(sound); at += 3 {
		d := k.d.Clone()
		_ = d.Remove(idx)
		bad := append([]byte(nil), sound...)
		bad[at] ^= 4
		d.WriteFile(path, bad)
		found := 0
		require.NoError(t, logfile.Verify(d, "/data", func(string, int64, error) { found++ }))
		require.NotZero(t, found, "byte %d", at)
		l, _, err := logfile.Open(d, dir, opt)
		if err == nil {
			v := l.View(l.NextOffset())
			var got []logfile.Record
			for from := int64(0); err == nil && from < v.HighWatermark(); {
				var some []logfile.Record
				if some, err = v.Read(nil, from, 5, 1<<20); len(some) > 0 {
					got, from = append(got, some...), some[len(some)-1].Offset+1
				}
			}
			require.NoError(t, l.Close())
			for i := range got {
				require.Equal(t, want[i].Value, got[i].Value)
			}
		}
		var corrupt *logfile.CorruptError
		require.True(t, errors.As(err, &corrupt), "byte %d: %v", at, err)
	}
	for _, n := range []int{0, 1, 100, len(sound) / 2, len(sound) - 1} {
		d := k.d.Clone()
		d.WriteFile(path, sound[:n])
		_, _, err := logfile.Open(d, dir, opt)
		var corrupt *logfile.CorruptError
		require.True(t, errors.As(err, &corrupt), "%d bytes: %v", n, err)
	}
}

func parts(t testing.TB, d *faultfs.FS) []string {
	t.Helper()
	list, err := d.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range list {
		if strings.HasSuffix(e.Name(), ".log") && len(e.Name()) > 30 {
			names = append(names, dir+"/"+e.Name())
		}
	}
	return names
}

func TestMissingPartsAreDamage(t *testing.T) {
	opt := options("b")
	opt.SegmentBytes = 500
	k := newKeyed(t, 3, opt)
	k.pad = `,"pad":"` + strings.Repeat("x", 500) + `"`
	k.fill(150, 300)
	k.compact(k.plan(7, 0))
	require.NoError(t, k.l.Close())
	names := parts(t, k.d)
	require.Greater(t, len(names), 2)
	for _, name := range names {
		d := k.d.Clone()
		require.NoError(t, d.Remove(name))
		_, _, err := logfile.Open(d, dir, opt)
		var corrupt *logfile.CorruptError
		require.True(t, errors.As(err, &corrupt), "%s: %v", name, err)
	}
}

// TestResetKeepsParts: a snapshot of a compacted log begins after parts that
// are in place before it.
func TestResetKeepsParts(t *testing.T) {
	for _, crashed := range []bool{false, true} {
		opt := options("boot-1")
		opt.SegmentBytes = 700
		k := newKeyed(t, 3, opt)
		k.fill(80, 6)
		c := k.plan(7, 0)
		k.compact(c)
		want := k.want(c)
		other := newKeyed(t, 4, opt)
		other.fill(3, 6)
		w := other.l.NewPartWriter(k.l.Compacted(), noPace)
		lines, next, err := k.l.CompactedReader().Lines(0, 1<<20)
		require.NoError(t, err)
		require.Equal(t, c.Next, next)
		require.NoError(t, w.Append(lines))
		set, err := w.Finish()
		require.NoError(t, err)
		other.install(set)
		if crashed { // between the parts and the reset the old log goes on
			other.reopen(opt)
		}
		var b logfile.Batch
		other.l.Reset(&b, logfile.Checkpoint{Index: c.To, Term: 1, Applied: c.To, NextOffset: c.Next})
		run(t, &b)
		if crashed {
			other.reopen(opt)
		}
		require.Equal(t, c.To+1, other.l.FirstIndex())
		require.Zero(t, other.l.LogStart())
		for index := c.To + 1; index <= k.l.LastIndex(); index++ {
			fs, err := k.l.ReadFrames(index, index+1, 1)
			require.NoError(t, err)
			put(t, other.l, fs...)
		}
		equalRecords(t, want, readAll(t, other.l), "")

		// Without parts that reach so far, what is below is gone.
		var b2 logfile.Batch
		other.l.Reset(&b2, logfile.Checkpoint{Index: 9000, Term: 1, Applied: 9000, NextOffset: 9000})
		run(t, &b2)
		require.EqualValues(t, 9000, other.l.LogStart())
		other.reopen(opt)
		require.EqualValues(t, 9000, other.l.LogStart())
		require.Empty(t, parts(t, other.d))
	}
}

// TestRetentionOfCompactedLog: when a topic's policy changes to delete, the
// parts are its oldest segment.
func TestRetentionOfCompactedLog(t *testing.T) {
	opt := smallSegments()
	k, c := newCompacted(t, opt)
	k.fill(80, 6)
	assert.Zero(t, k.l.RetentionStart(0, 1000, -1, k.l.LastIndex()))
	assert.Equal(t, c.Next, k.l.RetentionStart(k.l.Compacted().AppendTime+1001, 1000, -1, k.l.LastIndex()))
	assert.Zero(t, k.l.RetentionStart(0, -1, 1<<20, k.l.LastIndex()))
	young := k.l.Compacted().AppendTime + 900
	early := empty(k.l.LastIndex()+1, 1, k.l.NextOffset())
	early.AppendTime = 1
	put(t, k.l, early)
	require.Greater(t, young, early.AppendTime+1000)
	assert.Zero(t, k.l.RetentionStart(young, 1000, -1, k.l.LastIndex()), "an entry of a clock that was behind makes no part old")
	start := k.l.RetentionStart(0, -1, 1000, k.l.LastIndex())
	assert.Greater(t, start, c.Next)
	var b logfile.Batch
	k.l.SetLogStart(&b, start)
	run(t, &b)
	assert.Empty(t, parts(t, k.d))
	want := k.raw[start:]
	equalRecords(t, want, readAll(t, k.l), "")
	k.reopen(opt)
	equalRecords(t, want, readAll(t, k.l), "")
}
