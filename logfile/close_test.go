package logfile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// TestClosedLogMakesNoFiles: a batch that begins with a roll would create a
// file by its path, where another log may stand by then.
func TestClosedLogMakesNoFiles(t *testing.T) {
	d := faultfs.New()
	opt := options("b")
	opt.SegmentBytes = 1
	l := create(t, d, opt)
	put(t, l, next(l, 1, "1"))
	b := &logfile.Batch{}
	require.NoError(t, l.Append(b, []logfile.Frame{next(l, 1, "2")}))
	before := segments(t, d)
	require.NoError(t, l.Close())
	require.ErrorIs(t, b.Execute(), logfile.ErrClosed)
	require.Equal(t, before, segments(t, d))
}
