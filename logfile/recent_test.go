package logfile_test

import (
	"fmt"
	"math/rand"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// countReads counts the reads of files from now on.
func countReads(d *faultfs.FS) *int {
	reads := new(int)
	d.Fault = func(op faultfs.Op) error {
		if op.Kind == "read" {
			*reads++
		}
		return nil
	}
	return reads
}

// Whoever reads at the end of a log reads no file, and sees what a reader of the file
// sees: with any high watermark, from any offset, with any bounds.
func TestRecentEntriesAreReadFromMemory(t *testing.T) {
	d, rnd := faultfs.New(), rand.New(rand.NewSource(1))
	opt := smallSegments()
	opt.Recent = logfile.NewRecent(1 << 20)
	l := create(t, d, opt)
	for i := range 120 {
		f := next(l, 1+rnd.Intn(4), fmt.Sprintf(`{"n":%d}`, i))
		put(t, l, f, empty(f.Index+1, 1, f.BaseOffset+int64(f.Count)))
	}
	end := l.NextOffset()
	reads := countReads(d)
	got, err := l.View(end).Read(nil, end-20, 100, 1<<20)
	require.NoError(t, err)
	require.Len(t, got, 20)
	require.Zero(t, *reads)
	d.Fault = nil

	opt.Recent = nil
	plain, _ := open(t, copyOf(t, d), opt)
	for range 2000 {
		hw := end - int64(rnd.Intn(60))
		from, n, size := max(0, hw-int64(rnd.Intn(200))), rnd.Intn(40), rnd.Intn(2000)
		want, err := plain.View(hw).Read(nil, from, n, size)
		require.NoError(t, err)
		got, err := l.View(hw).Read(nil, from, n, size)
		require.NoError(t, err)
		require.Equal(t, want, got, "high watermark %d, from %d, %d records, %d bytes", hw, from, n, size)
		i := 0
		require.NoError(t, l.View(hw).Each(from, n, size, func(r *logfile.Record) {
			require.Equal(t, want[i], *r)
			i++
		}))
		require.Len(t, want, i)
	}
}

// What is not committed is in memory too, and nobody sees it: entries of another term take
// its place.
func TestRecentEntriesThatAreReplaced(t *testing.T) {
	d, opt := faultfs.New(), options("b")
	opt.Recent = logfile.NewRecent(1 << 20)
	l := create(t, d, opt)
	put(t, l, next(l, 2, `"committed"`))
	before := l.View(2)
	put(t, l, records(2, 1, 2, 2, `"lost"`))
	got, err := before.Read(nil, 0, 10, 1<<20)
	require.NoError(t, err)
	require.Len(t, got, 2)

	put(t, l, records(2, 2, 2, 2, `"kept"`))
	for _, v := range []*logfile.View{before, l.View(4)} {
		got, err := v.Read(nil, 0, 10, 1<<20)
		require.NoError(t, err)
		require.Len(t, got, int(v.HighWatermark()))
		for _, r := range got[2:] {
			require.Equal(t, `"kept"`, string(r.Value))
		}
	}
	var b logfile.Batch
	l.Reset(&b, logfile.Checkpoint{Applied: 9, Term: 2, Index: 9, NextOffset: 100, LogStart: 100, HardTerm: 2})
	run(t, &b)
	require.Zero(t, opt.Recent.Bytes())
	put(t, l, records(10, 2, 100, 1, `"new"`))
	require.Positive(t, opt.Recent.Bytes())
	require.NoError(t, l.Close())
	require.Zero(t, opt.Recent.Bytes())
}

// The bytes of all logs are bounded together, and those of one by themselves. What has
// gone is read from the file.
func TestRecentEntriesAreBounded(t *testing.T) {
	const bound = 10_000
	shared := logfile.NewRecent(bound)
	var logs []*logfile.Log
	var wait sync.WaitGroup
	for range 4 {
		opt := options("b")
		opt.Recent = shared
		logs = append(logs, create(t, faultfs.New(), opt))
	}
	for _, l := range logs {
		wait.Go(func() {
			for range 100 {
				f := next(l, 3, `"x"`)
				put(t, l, f)
				if n := shared.Bytes(); n > bound {
					t.Errorf("%d bytes", n)
				}
				v := l.View(l.NextOffset())
				got, err := v.Read(nil, max(0, v.HighWatermark()-50), 100, 1<<20)
				if err != nil || len(got) != int(min(50, v.HighWatermark())) {
					t.Errorf("%d records: %v", len(got), err)
				}
			}
		})
	}
	wait.Wait()
	for _, l := range logs {
		require.NoError(t, l.Close())
	}
	require.Zero(t, shared.Bytes())
}

// copyOf is a log's files on another disk.
func copyOf(t *testing.T, d *faultfs.FS) *faultfs.FS {
	t.Helper()
	c := faultfs.New()
	require.NoError(t, c.MkdirAll(dir, 0o755))
	list, err := d.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range list {
		data, err := d.ReadFile(dir + "/" + e.Name())
		require.NoError(t, err)
		c.WriteFile(dir+"/"+e.Name(), data)
	}
	return c
}

// BenchmarkReadTheLast reads the last record of a log, which was written a moment ago in an
// entry of 64, out of its file and out of memory.
func BenchmarkReadTheLast(b *testing.B) {
	for name, shared := range map[string]*logfile.Recent{"file": nil, "memory": logfile.NewRecent(1 << 20)} {
		b.Run(name, func(b *testing.B) {
			opt := options("b")
			opt.Recent = shared
			l, err := logfile.Create(logfile.OSFS{}, b.TempDir()+"/liked-0", identity, logfile.Checkpoint{ConfState: []byte("conf"), HardTerm: 1}, opt)
			require.NoError(b, err)
			defer func() { _ = l.Close() }()
			for range 20 {
				put(b, l, next(l, 64, `{"n":1234567890}`))
			}
			v := l.View(l.NextOffset())
			b.ReportAllocs()
			for b.Loop() {
				if err := v.Each(v.HighWatermark()-1, 1, 1<<20, func(*logfile.Record) {}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAppendEntry stages an entry of 64 records, with its end kept in memory and without.
func BenchmarkAppendEntry(b *testing.B) {
	for name, shared := range map[string]*logfile.Recent{"not kept": nil, "kept": logfile.NewRecent(1 << 20)} {
		b.Run(name, func(b *testing.B) {
			opt := options("b")
			opt.Recent, opt.SegmentBytes = shared, 1<<40
			l := create(b, faultfs.New(), opt)
			f := next(l, 64, `{"n":1234567890}`)
			frames := []logfile.Frame{f}
			b.ReportAllocs()
			for b.Loop() {
				var batch logfile.Batch
				if err := l.Append(&batch, frames); err != nil {
					b.Fatal(err)
				}
				frames[0].Index++
				frames[0].BaseOffset += int64(f.Count)
			}
		})
	}
}
