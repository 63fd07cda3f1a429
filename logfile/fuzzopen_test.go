package logfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// FuzzOpen: whatever the only segment holds, Open answers; what it accepts
// can be read, and stays the same when it is opened again.
func FuzzOpen(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "golden.log"))
	require.NoError(f, err)
	f.Add(golden)
	for _, cut := range []int{20, 60, 150, 300, 450} {
		f.Add(golden[:len(golden)-cut])
	}
	f.Add(append(golden[:len(golden)-30:len(golden)-30], make([]byte, 600)...))
	f.Add([]byte("#i 1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := faultfs.New()
		require.NoError(t, d.MkdirAll(dir, 0o755))
		d.WriteFile(dir+"/00000000000000000000.log", data)
		l, rec, err := logfile.Open(d, dir, options("boot-2"))
		if err != nil {
			return
		}
		require.Equal(t, rec.LastIndex, l.LastIndex())
		frames := all(t, l)
		_, _ = l.View(l.NextOffset()).Read(nil, l.LogStart(), 100, 1<<20)
		require.NoError(t, l.Close())
		l, _ = open(t, d, options("boot-2"))
		require.Equal(t, frames, all(t, l))
	})
}
