package logfile_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

func TestDeviceOfAFile(t *testing.T) {
	dir := t.TempDir()
	var st syscall.Stat_t
	require.NoError(t, syscall.Stat(dir, &st))
	tests := map[string]struct {
		fs     logfile.FS
		dir    string
		device uint64
		known  bool
	}{
		"on a disk":    {logfile.OSFS{}, filepath.Join(dir, "liked-0"), uint64(st.Dev), true},
		"on no device": {faultfs.New(), "/liked-0", 0, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l, err := logfile.Create(tt.fs, tt.dir, identity, logfile.Checkpoint{}, options("boot-1"))
			require.NoError(t, err)
			b := &logfile.Batch{}
			require.NoError(t, l.Append(b, []logfile.Frame{next(l, 1, "1")}))
			run(t, b)
			device, known := b.Files()[0].Device()
			assert.Equal(t, tt.device, device)
			assert.Equal(t, tt.known, known)
			require.NoError(t, l.Close())
			_, known = b.Files()[0].Device()
			assert.False(t, known, "closed")
		})
	}
}
