package logfile_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

func benchLog(b testing.TB) *logfile.Log {
	opt := logfile.Options{BootID: "b"}
	l, err := logfile.Create(logfile.OSFS{}, filepath.Join(b.TempDir(), "liked-0"), identity, logfile.Checkpoint{}, opt)
	require.NoError(b, err)
	b.Cleanup(func() { _ = l.Close() })
	return l
}

// BenchmarkAppend stages and executes one entry, without syncing.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint("records=", n), func(b *testing.B) {
			l := benchLog(b)
			f := records(1, 1, 0, n, `{"post":7,"payload":"0123456789012345678901234567890123456789"}`)
			frames := []logfile.Frame{f}
			var batch logfile.Batch
			b.SetBytes(int64(len(f.Body)))
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				frames[0].Index, frames[0].BaseOffset = l.LastIndex()+1, l.NextOffset()
				if err := l.Append(&batch, frames); err != nil {
					b.Fatal(err)
				}
				if err := batch.Execute(); err != nil {
					b.Fatal(err)
				}
				l.Committed(l.LastIndex())
			}
		})
	}
}

// BenchmarkRead reads 500 small records of a view.
func BenchmarkRead(b *testing.B) {
	l := benchLog(b)
	for range 1000 {
		put(b, l, next(l, 10, `{"post":7,"payload":"0123456789012345678901234567890123456789"}`))
	}
	v := l.View(l.NextOffset())
	dst := make([]logfile.Record, 0, 500)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		recs, err := v.Read(dst[:0], int64(i%9000), 500, 1<<20)
		if err != nil || len(recs) != 500 {
			b.Fatal(len(recs), err)
		}
	}
}

// BenchmarkOpen recovers an active segment of 20,000 entries.
func BenchmarkOpen(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "liked-0")
	l, err := logfile.Create(logfile.OSFS{}, dir, identity, logfile.Checkpoint{}, logfile.Options{BootID: "b"})
	require.NoError(b, err)
	var batch logfile.Batch
	for range 20_000 {
		require.NoError(b, l.Append(&batch, []logfile.Frame{next(l, 5, `{"post":7,"payload":"0123456789"}`)}))
	}
	run(b, &batch)
	require.NoError(b, l.Close())
	b.SetBytes(l.Bytes())
	b.ReportAllocs()
	for b.Loop() {
		l, _, err := logfile.Open(logfile.OSFS{}, dir, logfile.Options{BootID: "b"})
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDiagnose examines a segment of 20,000 entries whose first one is
// damaged: every line after the damage is looked at.
func BenchmarkDiagnose(b *testing.B) {
	d := faultfs.New()
	l := create(b, d, logfile.Options{BootID: "b"})
	var batch logfile.Batch
	for range 20_000 {
		require.NoError(b, l.Append(&batch, []logfile.Frame{next(l, 5, `{"post":7,"payload":"0123456789"}`)}))
	}
	run(b, &batch)
	require.NoError(b, l.Close())
	path := segments(b, d)[0]
	data, err := d.ReadFile(path)
	require.NoError(b, err)
	d.WriteFile(path, flip(data, 400))
	for b.Loop() {
		found := 0
		require.NoError(b, logfile.Diagnose(d, dir, "b", func(logfile.Damage) { found++ }))
		require.Equal(b, 1, found)
	}
}
