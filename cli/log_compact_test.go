package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
)

// compactDir compacts everything in a log.
func compactDir(t *testing.T, dir string) {
	t.Helper()
	l, _, err := logfile.Open(logfile.OSFS{}, dir, logfile.Options{})
	require.NoError(t, err)
	l.SetApplied(l.LastIndex(), nil, nil)
	l.Committed(l.LastIndex())
	do := func(stage func(b *logfile.Batch)) {
		var b logfile.Batch
		stage(&b)
		require.NoError(t, b.Execute())
	}
	do(func(b *logfile.Batch) { l.Roll(b) })
	to, next, _, _ := l.CompactionDue(l.LastIndex())
	set, err := l.CompactionSource().Compact(logfile.Compaction{Generation: 9, To: to, Next: next}, func(int) error { return nil })
	require.NoError(t, err)
	do(func(b *logfile.Batch) { l.StageCompacted(b, set) })
	l.AdoptCompacted(set)
	do(func(b *logfile.Batch) { l.DropCompacted(b) })
	require.NoError(t, l.Close())
}

func TestLogCatShowsCompactedRecords(t *testing.T) {
	dir := logDir(t, 5, 1)
	_, before, _ := offline(t, "cat", dir)
	require.Len(t, strings.Split(strings.TrimSpace(before), "\n"), 5)
	compactDir(t, dir)
	code, after, stderr := offline(t, "cat", dir)
	assert.Zero(t, code, stderr)
	assert.Equal(t, before, after, "records without keys are all kept")
	code, _, stderr = offline(t, "verify", dir)
	assert.Zero(t, code, stderr)
}
