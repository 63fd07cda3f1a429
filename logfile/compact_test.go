package logfile_test

import (
	"fmt"
	"math/rand"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// keyed is a log of keyed records and, beside it, everything ever written.
type keyed struct {
	t   testing.TB
	rnd *rand.Rand
	d   *faultfs.FS
	l   *logfile.Log
	raw []logfile.Record
	pad string

	term uint64 // of what fill appends
}

func newKeyed(t testing.TB, seed int64, opt logfile.Options) *keyed {
	d := faultfs.New()
	return &keyed{t: t, rnd: rand.New(rand.NewSource(seed)), d: d, l: create(t, d, opt), term: 1}
}

// newCompacted is a log whose sealed segments are compacted into parts of
// generation 7, and that compaction.
func newCompacted(t testing.TB, opt logfile.Options) (*keyed, logfile.Compaction) {
	t.Helper()
	k := newKeyed(t, 3, opt)
	k.fill(80, 6)
	c := k.plan(7, 0)
	k.compact(c)
	return k, c
}

// fill appends entries of some records of a few keys, among them tombstones,
// records without a key, and entries without records.
func (k *keyed) fill(entries, keys int) {
	for range entries {
		base := k.l.NextOffset()
		index := k.l.LastIndex() + 1
		if k.rnd.Intn(5) == 0 {
			put(k.t, k.l, empty(index, k.term, base))
			continue
		}
		n := 1 + k.rnd.Intn(4)
		var body strings.Builder
		for i := range int64(n) {
			rec := logfile.Record{
				Offset: base + i, Timestamp: 1000*(base+i) - k.rnd.Int63n(3)*1000 + 5000, Action: []byte("PRODUCE"),
				Key: fmt.Appendf(nil, "%q", fmt.Sprint("k", k.rnd.Intn(keys))), Value: fmt.Appendf(nil, `{"n":%d%s}`, base+i, k.pad),
			}
			switch k.rnd.Intn(8) {
			case 0:
				rec.Value, rec.Action = []byte("-"), []byte("TOMBSTONE")
			case 1:
				rec.Key = []byte("-")
			}
			k.raw = append(k.raw, rec)
			fmt.Fprintf(&body, "%s liked 0 %d %s %s %s\n",
				time.UnixMilli(rec.Timestamp).UTC().Format("2006-01-02 15:04:05.000"), rec.Offset, rec.Key, rec.Value, rec.Action)
		}
		put(k.t, k.l, frame(index, k.term, logfile.KindRecords, base, n, body.String()))
	}
	k.commitAll()
}

// commitAll commits and applies everything.
func (k *keyed) commitAll() {
	k.l.Committed(k.l.LastIndex())
	k.l.SetApplied(k.l.LastIndex(), []byte("conf"), nil)
}

// want is compaction as its documentation has it, applied to all of history.
func (k *keyed) want(c logfile.Compaction) []logfile.Record {
	newest := map[string]int64{}
	for _, r := range k.raw {
		if r.Offset < c.Next {
			newest[string(r.Key)] = r.Offset
		}
	}
	var out []logfile.Record
	for _, r := range k.raw {
		if r.Offset < c.Next {
			nullKey := string(r.Key) == "-"
			gone := string(r.Value) == "-" && r.Offset < c.DropBelow && r.Offset != c.Next-1
			if r.Offset < c.Start || gone || !nullKey && newest[string(r.Key)] != r.Offset {
				continue
			}
		}
		out = append(out, r)
	}
	return out
}

func noPace(int) error { return nil }

// plan asks for a compaction of what is sealed.
func (k *keyed) plan(generation uint64, dropBelow int64) logfile.Compaction {
	to, next, _, _ := k.l.CompactionDue(k.l.LastIndex())
	return logfile.Compaction{Generation: generation, To: to, Next: next, Start: k.l.LogStart(), DropBelow: dropBelow, MaxKeys: 3}
}

func (k *keyed) compact(c logfile.Compaction) {
	k.t.Helper()
	set, err := k.l.CompactionSource().Compact(c, noPace)
	require.NoError(k.t, err)
	k.install(set)
}

func (k *keyed) install(set *logfile.CompactedSet) {
	k.t.Helper()
	var b, b2 logfile.Batch
	k.l.StageCompacted(&b, set)
	run(k.t, &b)
	k.l.AdoptCompacted(set)
	k.l.DropCompacted(&b2)
	run(k.t, &b2)
}

func readAll(t testing.TB, l *logfile.Log) []logfile.Record {
	t.Helper()
	v := l.View(l.NextOffset())
	recs, err := v.Read(nil, v.Earliest(), 1<<20, 1<<30)
	require.NoError(t, err)
	return recs
}

func equalRecords(t testing.TB, want, got []logfile.Record, msg string) {
	t.Helper()
	require.Equal(t, len(want), len(got), msg)
	for i := range want {
		got[i].Headers = nil
		require.Equal(t, want[i], got[i], msg)
	}
}

// TestCompactionAgainstModel compacts again and again while the log grows, and
// reads from every offset and time.
func TestCompactionAgainstModel(t *testing.T) {
	for seed := int64(0); seed < 12; seed += int64(stride(3)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			opt := options("b")
			opt.SegmentBytes = 400 + 100*seed
			opt.IndexInterval = 64 + int(seed)*40
			k := newKeyed(t, seed, opt)
			var c logfile.Compaction
			for round := range uint64(5) {
				k.fill(10+k.rnd.Intn(60), 1+k.rnd.Intn(30))
				c = k.plan(1000+round, c.DropBelow+k.rnd.Int63n(k.l.NextOffset()-c.DropBelow+1))
				k.compact(c)
				want := k.want(c)
				equalRecords(t, want, readAll(t, k.l), "after compaction")
				require.Equal(t, c.To, k.l.Compacted().To)
				require.LessOrEqual(t, k.l.FirstIndex(), c.To+1)
				k.checkReads(want)
				if k.rnd.Intn(2) == 0 {
					k.reopen(opt)
					equalRecords(t, want, readAll(t, k.l), "after a restart")
				}
			}
			require.NoError(t, logfile.Verify(k.d, "/data", func(path string, at int64, err error) {
				t.Errorf("%s at %d: %v", path, at, err)
			}))
			k.checkWalk(k.want(c))
		})
	}
}

func (k *keyed) reopen(opt logfile.Options) *logfile.Recovered {
	k.t.Helper()
	require.NoError(k.t, k.l.Close())
	k.d.Restart()
	l, rec := open(k.t, k.d, opt)
	k.l = l
	k.commitAll()
	return rec
}

// checkReads reads a few records from each offset, and looks for times.
func (k *keyed) checkReads(want []logfile.Record) {
	k.t.Helper()
	end := k.l.NextOffset()
	for _, hw := range []int64{end, end - 1, end / 2, k.l.Compacted().Next - 1} {
		v := k.l.View(hw)
		for from := v.Earliest(); from < end+1; from++ {
			var due []logfile.Record
			for _, r := range want {
				if r.Offset >= from && r.Offset < hw && len(due) < 3 {
					due = append(due, r)
				}
			}
			got, err := v.Read(nil, from, 3, 1<<20)
			require.NoError(k.t, err)
			equalRecords(k.t, due, got, fmt.Sprintf("from %d, high watermark %d", from, hw))
			one, err := v.Read(nil, from, 100, 1)
			require.NoError(k.t, err)
			require.Len(k.t, one, min(1, len(due)))
		}
		for ts := int64(0); ts < 1000*end+9000; ts += 4700 {
			due := v.HighWatermark()
			for _, r := range want {
				if r.Offset < hw && r.Timestamp >= ts {
					due = r.Offset
					break
				}
			}
			got, err := v.OffsetForTime(ts)
			require.NoError(k.t, err)
			require.Equal(k.t, due, got, "time %d, high watermark %d", ts, hw)
		}
	}
}

// checkWalk compares what the offline walk shows.
func (k *keyed) checkWalk(want []logfile.Record) {
	k.t.Helper()
	require.NoError(k.t, k.l.Close())
	var got []logfile.Record
	require.NoError(k.t, logfile.WalkFrames(k.d, "/data", func(_ string, _ logfile.Identity, f logfile.Frame) error {
		f.Body = append([]byte(nil), f.Body...)
		recs, err := logfile.ParseRecords(f)
		got = append(got, recs...)
		return err
	}))
	equalRecords(k.t, want, got, "walk")
}

// TestCompactionIsAFunctionOfHistory: a replica that did every compaction, one
// that did only the last, and one that was given the parts by another, whose
// segments end elsewhere, hold the same records.
func TestCompactionIsAFunctionOfHistory(t *testing.T) {
	for seed := int64(0); seed < 6; seed += int64(stride(3)) {
		opts := []logfile.Options{options("b"), options("b"), options("b")}
		for i := range opts {
			opts[i].SegmentBytes = 500 + 333*int64(i)
		}
		ks := []*keyed{newKeyed(t, seed, opts[0]), newKeyed(t, seed, opts[1]), newKeyed(t, seed, opts[2])}
		var c logfile.Compaction
		for round := range uint64(4) {
			for _, k := range ks {
				k.fill(40, 9)
			}
			c = ks[0].plan(500+round, c.Next)
			ks[0].compact(c)
		}
		ks[1].compact(c)
		r := ks[0].l.CompactedReader()
		w := ks[2].l.NewPartWriter(r.CompactedInfo, noPace)
		for at := r.Start; at < r.Next; {
			lines, next, err := r.Lines(at, 300)
			require.NoError(t, err)
			require.Greater(t, next, at)
			require.NoError(t, w.Append(lines))
			at = next
		}
		set, err := w.Finish()
		require.NoError(t, err)
		ks[2].install(set)
		for i, k := range ks {
			equalRecords(t, ks[0].want(c), readAll(t, k.l), fmt.Sprint("replica ", i))
			info := k.l.Compacted()
			info.AppendTime = ks[0].l.Compacted().AppendTime
			require.Equal(t, ks[0].l.Compacted(), info)
			recs, err := k.l.CompactedReader().Records()
			require.NoError(t, err)
			require.Len(t, recs, int(info.Records))
			k.checkReads(ks[0].want(c))
		}
	}
}

// TestCrashAtEveryStepOfCompaction stops the disk at each step, as kill -9 and
// as power cuts: all records are there, compacted by the old or the new
// generation.
func TestCrashAtEveryStepOfCompaction(t *testing.T) {
	opt := options("boot-1")
	opt.SegmentBytes = 700
	for n := 0; ; n += stride(3) {
		done := false
		for mode := range 4 {
			k := newKeyed(t, 5, opt)
			k.fill(60, 6)
			before := k.plan(100, 0)
			k.compact(before)
			k.fill(60, 6)
			after := k.plan(200, 30)
			what := fmt.Sprintf("step %d, mode %d", n, mode)
			k.d.StopAfter(n)
			done = k.crashing(after) == nil
			_ = k.l.Close()
			boot := crash(k.d, mode, int64(n))
			k.l, _ = opened(t, k.d, boot, opt, what)
			k.commitAll()
			switch got := readAll(t, k.l); k.l.Compacted().Generation {
			case 100:
				equalRecords(t, k.want(before), got, what)
				require.False(t, done, what)
			case 200:
				equalRecords(t, k.want(after), got, what)
			default:
				t.Fatal(what, k.l.Compacted())
			}
			after.Generation = 300
			k.compact(after)
			equalRecords(t, k.want(after), readAll(t, k.l), what)
			k.onlyParts(300)
		}
		if done {
			return
		}
	}
}

// TestPowerCutInRecoveryAfterFailedCompaction: the names of a generation whose
// directory sync failed can be seen by the next process, and gone with a power
// cut in the middle of its recovery; the older generation must be there then.
func TestPowerCutInRecoveryAfterFailedCompaction(t *testing.T) {
	opt := options("boot-1")
	opt.SegmentBytes = 700
	for nth := 1; ; nth++ {
		k := newKeyed(t, 5, opt)
		k.fill(60, 6)
		before := k.plan(100, 0)
		k.compact(before)
		k.fill(60, 6)
		after := k.plan(200, 30)
		k.d.Fault = failNth("syncdir", nth, errIO)
		if k.crashing(after) == nil {
			return
		}
		require.NoError(t, k.l.Close())
		k.d.Restart()
		for n, done := 0, false; !done; n += stride(3) {
			for mode := 1; mode < 8; mode++ {
				d := k.d.Clone()
				d.StopAfter(n)
				l, _, err := logfile.Open(d, dir, opt)
				if done = err == nil; done {
					require.NoError(t, l.Close())
				}
				what := fmt.Sprintf("failed sync %d, step %d, mode %d", nth, n, mode)
				l, _ = opened(t, d, crash(d, mode, int64(n)), opt, what)
				l.Committed(l.LastIndex())
				want := k.want(before)
				if l.Compacted().Generation == 200 {
					want = k.want(after)
				}
				equalRecords(t, want, readAll(t, l), what)
			}
		}
	}
}

// crashing does a compaction on a disk that may stop.
func (k *keyed) crashing(c logfile.Compaction) error {
	set, err := k.l.CompactionSource().Compact(c, noPace)
	if err != nil {
		return err
	}
	var b, b2 logfile.Batch
	k.l.StageCompacted(&b, set)
	if err := tryRun(&b); err != nil {
		return err
	}
	k.l.AdoptCompacted(set)
	k.l.DropCompacted(&b2)
	return tryRun(&b2)
}

// onlyParts checks that no file of another generation, and nothing temporary,
// is left.
func (k *keyed) onlyParts(generation uint64) {
	k.t.Helper()
	list, err := k.d.ReadDir(dir)
	require.NoError(k.t, err)
	for _, e := range list {
		require.NotContains(k.t, e.Name(), ".tmp")
		if len(e.Name()) > 30 && e.Name()[20] == '-' {
			require.Contains(k.t, e.Name(), fmt.Sprintf("-%020d.", generation))
		}
	}
}

func TestFailedCompactionLeavesNothing(t *testing.T) {
	for _, kind := range []string{"write", "sync", "create", "read"} {
		for n := 1; ; n++ {
			opt := options("b")
			opt.SegmentBytes = 700
			k := newKeyed(t, 1, opt)
			k.fill(80, 6)
			c := k.plan(7, 0)
			failed := false
			fault := failNth(kind, n, syscall.ENOSPC)
			k.d.Fault = func(op faultfs.Op) error {
				err := fault(op)
				failed = failed || err != nil
				return err
			}
			set, err := k.l.CompactionSource().Compact(c, noPace)
			k.d.Fault = nil
			if err == nil { // the index beside a part may fail
				k.install(set)
				equalRecords(t, k.want(c), readAll(t, k.l), "")
				if !failed {
					break
				}
				continue
			}
			require.ErrorIs(t, err, syscall.ENOSPC)
			equalRecords(t, k.raw, readAll(t, k.l), "")
			k.onlyParts(0)
			k.fill(1, 6) // the log is none the worse
		}
	}
}

func TestCancelledCompaction(t *testing.T) {
	opt := options("b")
	opt.SegmentBytes = 700
	k := newKeyed(t, 1, opt)
	k.fill(80, 6)
	_, err := k.l.CompactionSource().Compact(k.plan(7, 0), func(int) error { return errIO })
	require.ErrorIs(t, err, errIO)
	k.onlyParts(0)
	c := k.plan(7, 0)
	c.Next++
	_, err = k.l.CompactionSource().Compact(c, noPace)
	require.ErrorIs(t, err, logfile.ErrRefused, "an offset that is not the entry's")
}
