package logfile_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
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
