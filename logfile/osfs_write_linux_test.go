package logfile_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
)

// partsFile is a new file, open for WritePartsAt.
func partsFile(t *testing.T) (logfile.Handle, string) {
	path := filepath.Join(t.TempDir(), "file")
	h, err := logfile.OSFS{}.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { _ = h.Close() })
	return h, path
}

// Parts that are empty are left out, even if a whole call of pwritev would have no others.
func TestEmptyPartsAreWritten(t *testing.T) {
	none := make([][]byte, 1024)
	x, y := [][]byte{[]byte("x")}, [][]byte{[]byte("y")}
	for name, row := range map[string]struct {
		parts [][][]byte
		want  string
	}{
		"no parts":         {nil, ""},
		"an empty one":     {[][][]byte{{{}}}, ""},
		"many empty ones":  {[][][]byte{none, none}, ""},
		"before":           {[][][]byte{none, x}, "x"},
		"behind":           {[][][]byte{x, none}, "x"},
		"between":          {[][][]byte{x, none, none, y}, "xy"},
		"a call of others": {[][][]byte{none[:1023], x, y}, "xy"},
	} {
		t.Run(name, func(t *testing.T) {
			var parts [][]byte
			for _, p := range row.parts {
				parts = append(parts, p...)
			}
			h, path := partsFile(t)
			require.NoError(t, h.WritePartsAt(parts, 0))
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, row.want, string(got))
		})
	}
}

// A call of pwritev may write less than it was given, as up to the largest size that a file
// may have: the rest is written behind that or fails, and what was written is a prefix. The
// limit is the whole process's, so the test runs in another one.
func TestShortWritesOfParts(t *testing.T) {
	const limit, inside = 5000, "OTTLA_TEST_FILE_SIZE_LIMIT"
	if os.Getenv(inside) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), inside+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
	for _, sizes := range [][]int{{4000, 4000}, {5000, 1}, {10, 4989, 0, 1, 100}, {0, 9000}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			var parts [][]byte
			for i, n := range sizes {
				parts = append(parts, bytes.Repeat([]byte{byte('a' + i)}, n))
			}
			all := bytes.Join(parts, nil)
			h, path := partsFile(t)
			require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: before.Max}))
			err := h.WritePartsAt(parts, 0)
			require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before))
			require.ErrorIs(t, err, syscall.EFBIG)
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, string(all[:limit]), string(got))
		})
	}
}
