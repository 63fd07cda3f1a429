package logfile_test

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// crashOp is something that is done to a log of nine entries whose disk, or
// process, dies on the way.
type crashOp struct {
	name   string
	do     func(l *logfile.Log, b *logfile.Batch) error
	before int    // entries that must be there afterwards, unless reset
	reset  uint64 // the log may instead end here
}

var crashOps = []crashOp{
	{name: "append", before: 9, do: func(l *logfile.Log, b *logfile.Batch) error {
		return l.Append(b, []logfile.Frame{next(l, 1, "2")})
	}},
	{name: "segment roll", before: 9, do: func(l *logfile.Log, b *logfile.Batch) error {
		l.Roll(b)
		return l.Append(b, []logfile.Frame{next(l, 1, "2")})
	}},
	{name: "conflict truncation in the active segment", before: 8, do: func(l *logfile.Log, b *logfile.Batch) error {
		return l.Append(b, []logfile.Frame{records(9, 3, 16, 1, `"n"`)})
	}},
	{name: "conflict truncation across segments", before: 3, do: func(l *logfile.Log, b *logfile.Batch) error {
		return l.Append(b, []logfile.Frame{records(4, 3, 6, 1, `"n"`)})
	}},
	{name: "retention", before: 9, do: func(l *logfile.Log, b *logfile.Batch) error {
		l.SetApplied(9, []byte("conf"), nil)
		l.Committed(9)
		l.SetLogStart(b, 10)
		return nil
	}},
	{name: "reset", before: 9, reset: 50, do: func(l *logfile.Log, b *logfile.Batch) error {
		l.Reset(b, logfile.Checkpoint{Index: 50, Term: 1, Applied: 50, NextOffset: 90, LogStart: 90, ConfState: []byte("reset")})
		return nil
	}},
}

// begun is a log of nine entries, a vote and the staged operation.
func (o *crashOp) begun(t *testing.T, opt logfile.Options) (d *faultfs.FS, l *logfile.Log, want []logfile.Frame, b *logfile.Batch) {
	d = faultfs.New()
	l = create(t, d, opt)
	for range 9 {
		f := next(l, 2, "1")
		want = append(want, f)
		put(t, l, f)
	}
	var vote logfile.Batch
	l.SetHardState(&vote, 3, 3)
	run(t, &vote)
	b = &logfile.Batch{}
	require.NoError(t, o.do(l, b))
	return d, l, want, b
}

// check looks for what must be there after a crash and a recovery.
func (o *crashOp) check(t *testing.T, got *logfile.Log, rec *logfile.Recovered, want []logfile.Frame, what string) {
	require.EqualValues(t, 3, rec.Vote, what)
	require.GreaterOrEqual(t, rec.HardTerm, uint64(3), what)
	if o.reset > 0 && got.LastIndex() == o.reset {
		require.Equal(t, []byte("reset"), rec.Checkpoint.ConfState)
		return
	}
	require.NotEmpty(t, rec.Checkpoint.ConfState, what)
	compare(t, want[:o.before], all(t, got), got.FirstIndex(), what)
}

// TestCrashAtEveryStep stops each operation at every single step of the disk,
// as kill -9 and as power cuts that keep nothing or a random part of what was
// not synced, and opens what is left.
func TestCrashAtEveryStep(t *testing.T) {
	for _, o := range crashOps {
		for name, large := range largeBodies {
			t.Run(o.name+"/"+name, func(t *testing.T) {
				opt := options("boot-1")
				opt.SegmentBytes, opt.LargeBody = 300, large
				o.crashesEverywhere(t, opt)
			})
		}
	}
}

// largeBodies are limits of bodies that are copied: all of those in tests are, or none.
var largeBodies = map[string]int{"copied": 0, "not copied": 1}

func (o *crashOp) crashesEverywhere(t *testing.T, opt logfile.Options) {
	for n := 0; ; n += stride(2) {
		done := false
		for mode := range 4 {
			d, _, want, b := o.begun(t, opt)
			d.StopAfter(n)
			err := tryRun(b)
			done = err == nil
			what := fmt.Sprintf("step %d, mode %d", n, mode)
			got, rec := opened(t, d, crash(d, mode, int64(n)), opt, what)
			o.check(t, got, rec, want, what)
		}
		if done {
			return
		}
	}
}

// TestPowerCutInRecoveryAfterFailedSync: what a failed sync left can be seen by
// the process that starts next, and gone with a power cut that comes before that
// one has synced it. It may not delete anything before.
func TestPowerCutInRecoveryAfterFailedSync(t *testing.T) {
	opt := options("boot-1")
	opt.SegmentBytes = 300
	for _, o := range crashOps {
		for _, kind := range []string{"sync", "syncdir"} {
			t.Run(o.name+"/"+kind, func(t *testing.T) {
				for failing := 1; o.failsAndCrashes(t, opt, kind, failing); failing++ {
				}
			})
		}
	}
}

// failsAndCrashes fails the nth sync of the operation and then cuts the power at
// every step of the recovery. It reports whether there was an nth.
func (o *crashOp) failsAndCrashes(t *testing.T, opt logfile.Options, kind string, nth int) bool {
	d, l, want, b := o.begun(t, opt)
	d.Fault = failNth(kind, nth, errIO)
	if err := tryRun(b); err == nil {
		return false
	}
	require.NoError(t, l.Close())
	d.Restart()
	for n := 0; ; n += stride(3) {
		done := false
		for mode := 1; mode < 12; mode++ {
			d := d.Clone()
			d.StopAfter(n)
			l, _, err := logfile.Open(d, dir, opt)
			if done = err == nil; done {
				require.NoError(t, l.Close())
			}
			what := fmt.Sprintf("%s %d, step %d, mode %d", kind, nth, n, mode)
			got, rec := opened(t, d, crash(d, mode, int64(n)), opt, what)
			o.check(t, got, rec, want, what)
		}
		if done {
			return true
		}
	}
}

// crash restarts the process (mode 0) or the machine, and returns the boot id.
func crash(d *faultfs.FS, mode int, seed int64) string {
	switch mode {
	case 0:
		d.Restart()
		return "boot-1"
	case 1:
		d.PowerCut(nil)
	default:
		d.PowerCut(rand.New(rand.NewSource(seed*10 + int64(mode))))
	}
	return "boot-2"
}

// opened opens a log twice, since the first time may have repaired something,
// and appends to it in between.
func opened(t *testing.T, d *faultfs.FS, boot string, opt logfile.Options, what string) (*logfile.Log, *logfile.Recovered) {
	opt.BootID = boot
	l, first, err := logfile.Open(d, dir, opt)
	require.NoError(t, err, what)
	before := all(t, l)
	require.NoError(t, l.Close())
	d.PowerCut(nil)
	l, rec, err := logfile.Open(d, dir, opt)
	require.NoError(t, err, what)
	require.Equal(t, before, all(t, l), what)
	require.Equal(t, first.Vote, rec.Vote, what)
	require.Equal(t, first.HardTerm, rec.HardTerm, what)
	require.True(t, rec.Clean, what)
	t.Cleanup(func() { _ = l.Close() })
	return l, rec
}

// compare checks that got, which may begin later and go on longer, agrees with
// want and holds all of it.
func compare(t *testing.T, want, got []logfile.Frame, first uint64, what string) {
	want = want[min(int(first)-1, len(want)):]
	require.GreaterOrEqual(t, len(got), len(want), what)
	require.Equal(t, want, got[:len(want)], what)
}

// TestCrashDuringRecovery stops Open at every step while it repairs a torn
// tail.
func TestCrashDuringRecovery(t *testing.T) {
	s := newScene(t, 4, true, false, "1")
	torn := s.data[:s.starts[3]+20]
	for n := 0; ; n++ {
		d := s.d.Clone()
		d.WriteFile(s.path, torn)
		d.StopAfter(n)
		l, _, err := logfile.Open(d, dir, options("boot-2"))
		boot := crash(d, n%4, int64(n))
		l2, _ := opened(t, d, boot, options(boot), fmt.Sprint("step ", n))
		require.Equal(t, s.frames[:3], all(t, l2))
		if err == nil {
			require.NoError(t, l.Close())
			return
		}
	}
}
