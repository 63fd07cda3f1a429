package disk

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkDiskRound appends 4 KiB to each of n files and makes them durable,
// in each way that a round can; docs/adr/0002-shared-sync.md has the results.
func BenchmarkDiskRound(b *testing.B) {
	ways := []struct {
		name string
		sync func(s *sharedSyncer, targets []syncTarget, which []int, errs []error)
	}{
		{"one-by-one", func(_ *sharedSyncer, targets []syncTarget, _ []int, errs []error) {
			for i, t := range targets {
				errs[i] = t.file.Sync()
			}
		}},
		{"parallel", (*sharedSyncer).parallel},
		{"batch", func(s *sharedSyncer, targets []syncTarget, _ []int, errs []error) {
			fds := make([]int, len(targets))
			for i, t := range targets {
				fd, _ := t.file.Fd()
				fds[i] = int(fd)
			}
			s.batch.datasync(fds, errs)
		}},
		{"syncfs", (*sharedSyncer).shared},
		{"adaptive", func(s *sharedSyncer, targets []syncTarget, _ []int, errs []error) { copy(errs, s.Sync(targets)) }},
	}
	for _, n := range []int{1, 3, 48} {
		for _, way := range ways {
			b.Run(fmt.Sprintf("files=%d/%s", n, way.name), func(b *testing.B) { benchRound(b, n, way.sync) })
		}
	}
}

func benchRound(b *testing.B, n int, sync func(*sharedSyncer, []syncTarget, []int, []error)) {
	files := realFiles(b, n)
	s, err := newSyncer(filepath.Dir(files[0].Name()), &Stats{})
	require.NoError(b, err)
	defer func() { require.NoError(b, s.Close()) }()
	var all []syncTarget
	var which []int
	for i, f := range files {
		all, which = append(all, syncTarget{file: f}), append(which, i)
	}
	page, took := make([]byte, 4096), make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		for _, f := range files {
			if _, err := f.Write(page); err != nil {
				b.Fatal(err)
			}
		}
		errs := make([]error, n)
		sync(s, all, which, errs)
		for _, err := range errs {
			if err != nil {
				b.Fatal(err)
			}
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}
