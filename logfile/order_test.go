package logfile_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// recorded runs fn and returns the operations of the disk, one a line, without
// reads, reservations and index files, whose order does not matter.
func recorded(d *faultfs.FS, fn func()) string {
	var ops []string
	d.Fault = func(op faultfs.Op) error {
		name := strings.TrimPrefix(filepath.Base(op.Path), "000000000000000000")
		if op.Kind != "read" && op.Kind != "reserve" && !strings.HasSuffix(name, ".idx") {
			ops = append(ops, op.Kind+" "+name)
		}
		return nil
	}
	fn()
	d.Fault = nil
	return strings.Join(ops, "\n")
}

func lines(ops ...string) string { return strings.Join(ops, "\n") }

// fourSegments is a log of segments that begin at offsets 0, 2, 4 and 6, all of
// it committed up to the entry given.
func fourSegments(t *testing.T, d *faultfs.FS, committed uint64) *logfile.Log {
	l := create(t, d, options("b"))
	for range 3 {
		put(t, l, next(l, 2, "1"))
		var b logfile.Batch
		require.True(t, l.Roll(&b))
		run(t, &b)
	}
	put(t, l, next(l, 2, "1"))
	require.NoError(t, l.Close())
	l, _ = open(t, d, options("b")) // handles have the final names now
	l.Committed(committed)
	l.SetApplied(committed, []byte("conf"), nil)
	return l
}

// TestOrderOnDisk holds the steps of each operation against the section of that
// name in README.md.
func TestOrderOnDisk(t *testing.T) {
	for name, row := range map[string]struct {
		committed uint64
		stage     func(t *testing.T, l *logfile.Log, b *logfile.Batch)
		want      string
	}{
		"append": {
			0, func(t *testing.T, l *logfile.Log, b *logfile.Batch) {
				require.NoError(t, l.Append(b, []logfile.Frame{next(l, 1, "1"), records(6, 1, 9, 1, "1")}))
				l.SetHardState(b, 2, 1)
			}, lines("write 06.log", "sync 06.log"),
		},
		"roll": {
			0, func(t *testing.T, l *logfile.Log, b *logfile.Batch) { require.True(t, l.Roll(b)) },
			lines("sync 06.log", "truncate 06.log", // of the reserved space
				"create 08.log.tmp", "write 08.log.tmp", "sync 08.log.tmp", "rename 08.log", "syncdir liked-0"),
		},
		"truncation in the active segment": {
			0, func(t *testing.T, l *logfile.Log, b *logfile.Batch) {
				require.NoError(t, l.Append(b, []logfile.Frame{empty(4, 2, 6)}))
			}, lines("create carry.tmp", "write carry.tmp", "sync carry.tmp", "rename carry", "syncdir liked-0",
				"truncate 06.log", "sync 06.log", "write 06.log", "sync 06.log"),
		},
		"truncation across segments": {
			0, func(t *testing.T, l *logfile.Log, b *logfile.Batch) {
				require.NoError(t, l.Append(b, []logfile.Frame{empty(2, 2, 2)}))
			}, lines("create carry.tmp", "write carry.tmp", "sync carry.tmp", "rename carry", "syncdir liked-0",
				"remove 06.log", "syncdir liked-0", "remove 04.log", "syncdir liked-0",
				"truncate 02.log", "sync 02.log", "write 02.log", "sync 02.log"),
		},
		"retention": {
			4, func(_ *testing.T, l *logfile.Log, b *logfile.Batch) { l.SetLogStart(b, 4) },
			lines("write 06.log", "sync 06.log", "remove 00.log", "syncdir liked-0", "remove 02.log", "syncdir liked-0", "sync 06.log"),
		},
		"reset": {
			4, func(_ *testing.T, l *logfile.Log, b *logfile.Batch) {
				l.Reset(b, logfile.Checkpoint{Index: 20, Term: 1, NextOffset: 50, LogStart: 50})
			}, lines("create 50.log.tmp", "write 50.log.tmp", "sync 50.log.tmp", "rename 50.log.reset", "syncdir liked-0",
				"remove 06.log", "syncdir liked-0", "remove 04.log", "syncdir liked-0",
				"remove 02.log", "syncdir liked-0", "remove 00.log", "syncdir liked-0", "rename 50.log", "syncdir liked-0"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := faultfs.New()
			l := fourSegments(t, d, row.committed)
			var b logfile.Batch
			row.stage(t, l, &b)
			assert.Equal(t, row.want, recorded(d, func() { run(t, &b) }))
		})
	}
}

// TestOrderOfRecovery: what Open cuts off is kept durably before it is cut, and
// everything is durable before the sync mark says so.
func TestOrderOfRecovery(t *testing.T) {
	s := newScene(t, 3, true, false, "1")
	s.d.WriteFile(s.path, s.data[:len(s.data)-5])
	cut := filepath.Base(s.path) + "."
	got := recorded(s.d, func() { open(t, s.d, options("boot-2")) })
	steps := strings.Split(got, "\n")
	require.Greater(t, len(steps), 8)
	for i, want := range []string{"create ", "write ", "sync ", "rename ", "syncdir liked-0", "truncate 00.log", "sync 00.log", "write 00.log"} {
		assert.Contains(t, steps[i], want, "step %d of\n%s", i, got)
		if i < 4 {
			assert.Contains(t, steps[i], strings.TrimPrefix(cut, "000000000000000000"))
			assert.Contains(t, steps[i], ".broken")
		}
	}
	assert.Equal(t, []string{"sync 00.log", "syncdir liked-0", "write 00.log", "sync 00.log"}, steps[len(steps)-4:],
		"the sync mark after everything else")
}

// TestRetentionLimits: a segment is due when its last entry is older than the
// limit, or when the log has the limit without it, and not a byte earlier.
func TestRetentionLimits(t *testing.T) {
	d := faultfs.New()
	l := fourSegments(t, d, 4) // entries 1 to 4, appended in seconds 1 to 4
	size := map[string]int64{}
	for _, path := range segments(t, d) {
		b, err := d.ReadFile(path)
		require.NoError(t, err)
		size[strings.TrimPrefix(filepath.Base(path), "000000000000000000")] = int64(len(b))
	}
	total := l.Bytes()
	for _, row := range []struct {
		name       string
		now, ms, n int64
		committed  uint64
		want       int64
	}{
		{"no limit", 1 << 40, -1, -1, 4, 0},
		{"exactly as old as the limit", 1000 + 500, 500, -1, 4, 0},
		{"older by a millisecond", 1000 + 501, 500, -1, 4, 2},
		{"two older", 2000 + 501, 500, -1, 4, 4},
		{"all old: the active segment stays", 1 << 40, 0, -1, 4, 6},
		{"old, and only the first is committed", 1 << 40, 0, -1, 1, 2},
		{"old, and none is committed", 1 << 40, 0, -1, 0, 0},
		{"just the limit without the first", 0, -1, total - size["00.log"], 4, 2},
		{"a byte less without the first", 0, -1, total - size["00.log"] + 1, 4, 0},
		{"just the limit without two", 0, -1, total - size["00.log"] - size["02.log"], 4, 4},
		{"no bytes at all", 0, -1, 0, 4, 6},
		{"by time or by size, whichever is more", 1000 + 501, 500, total - size["00.log"] - size["02.log"], 4, 4},
	} {
		assert.Equal(t, row.want, l.RetentionStart(row.now, row.ms, row.n, row.committed), row.name)
	}
	var b logfile.Batch
	l.SetLogStart(&b, 3)
	run(t, &b)
	assert.EqualValues(t, 3, l.RetentionStart(0, -1, total, 4), "the start does not go back")
	assert.EqualValues(t, 4, l.RetentionStart(2000+501, 500, -1, 4))
}

// TestRetentionAfterAClockWasAhead: what was written before an entry is at least as old as
// the entry, however far ahead the clock was that stamped it.
func TestRetentionAfterAClockWasAhead(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	put2 := func(at int64) {
		f := next(l, 2, "1")
		f.AppendTime = at
		put(t, l, f)
	}
	roll := func() {
		var b logfile.Batch
		require.True(t, l.Roll(&b))
		run(t, &b)
	}
	const ahead = 1 << 42
	for _, at := range []int64{1000, ahead, ahead} {
		put2(at)
		roll()
	}
	put2(ahead)
	for range 2 {
		assert.EqualValues(t, 2, l.RetentionStart(9000, 5000, -1, 100), "nobody knows how old the others are")
		assert.False(t, l.RollDue(9000, 5000))
		require.NoError(t, l.Close())
		l, _ = open(t, d, options("b"))
	}
	said := empty(5, 1, 8)
	said.AppendTime = 2000
	put(t, l, said)
	for range 2 {
		assert.EqualValues(t, 2, l.RetentionStart(7000, 5000, -1, 100))
		assert.EqualValues(t, 6, l.RetentionStart(7001, 5000, -1, 100), "all that is sealed")
		assert.False(t, l.RollDue(6999, 5000))
		assert.True(t, l.RollDue(7000, 5000))
		require.NoError(t, l.Close())
		l, _ = open(t, d, options("b"))
	}
	roll()
	put2(3000)
	assert.EqualValues(t, 8, l.RetentionStart(7001, 5000, -1, 100))
}

// TestRetentionAfterAClockWasBehind: an entry with an early time makes nothing before it
// old, neither in its own segment nor in those before it nor after a restart.
func TestRetentionAfterAClockWasBehind(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	const now = 10_000_000
	for i, at := range []int64{now - 300, now - 200, now - 100, now - 1_000_000} {
		f := next(l, 2, "1")
		f.AppendTime = at
		put(t, l, f)
		if i == 0 || i == 3 {
			assert.Zero(t, l.RetentionStart(now, 5000, -1, 100))
			var b logfile.Batch
			require.True(t, l.Roll(&b))
			run(t, &b)
		}
	}
	for range 2 {
		assert.Zero(t, l.RetentionStart(now, 5000, -1, 100), "all is younger than a second")
		assert.EqualValues(t, 2, l.RetentionStart(now+4701, 5000, -1, 100))
		assert.EqualValues(t, 2, l.RetentionStart(now+4900, 5000, -1, 100))
		assert.EqualValues(t, 8, l.RetentionStart(now+4901, 5000, -1, 100))
		require.NoError(t, l.Close())
		l, _ = open(t, d, options("b"))
	}
}

// TestRetentionOfTheTimeAheadAlone: where no records follow those of a clock that was
// ahead, they are as old as the entry that put the time right.
func TestRetentionOfTheTimeAheadAlone(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, options("b"))
	f := next(l, 2, "1")
	f.AppendTime = 1 << 42
	put(t, l, f)
	var b logfile.Batch
	require.True(t, l.Roll(&b))
	run(t, &b)
	assert.Zero(t, l.RetentionStart(9000, 5000, -1, 100))
	said := empty(2, 1, 2)
	said.AppendTime = 2000
	put(t, l, said)
	for range 2 {
		assert.Zero(t, l.RetentionStart(7000, 5000, -1, 100))
		assert.EqualValues(t, 2, l.RetentionStart(7001, 5000, -1, 100))
		require.NoError(t, l.Close())
		l, _ = open(t, d, options("b"))
	}
}

// TestLogStart: a start in the middle of a segment hides records and removes
// nothing; what goes is what is committed and applied.
func TestLogStart(t *testing.T) {
	for name, row := range map[string]struct {
		committed, applied uint64
		start, want        int64
		first              uint64
	}{
		"in the middle of a segment": {4, 4, 3, 3, 2},
		"at the end of a segment":    {4, 4, 4, 4, 3},
		"not committed":              {1, 4, 6, 6, 2},
		"not applied":                {4, 2, 6, 6, 3},
		"beyond the end":             {4, 4, 100, 8, 4},
		"going back":                 {4, 4, -5, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := faultfs.New()
			l := fourSegments(t, d, row.committed)
			l.SetApplied(row.applied, []byte("conf"), nil)
			var b logfile.Batch
			l.SetLogStart(&b, row.start)
			require.NoError(t, tryRun(&b))
			assert.Equal(t, row.want, l.LogStart())
			assert.Equal(t, row.first, l.FirstIndex())
			assert.Len(t, segments(t, d), 5-int(row.first))
			v := l.View(8)
			assert.Equal(t, row.want, v.Earliest())
			recs, err := v.Read(nil, row.want, 100, 1<<20)
			require.NoError(t, err)
			assert.Len(t, recs, int(8-row.want))
			if row.want > 0 {
				_, err = v.Read(nil, row.want-1, 1, 1)
				assert.ErrorIs(t, err, logfile.ErrBelowStart)
			}
			if row.first > 1 { // the start stands in the checkpoint that replaced segments
				require.NoError(t, l.Close())
				l, rec := open(t, d, options("b"))
				assert.Equal(t, row.want, l.LogStart())
				assert.Equal(t, row.want, rec.LogStart)
			}
		})
	}
}
