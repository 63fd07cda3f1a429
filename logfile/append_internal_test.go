package logfile

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A batch is staged in one piece of memory, whatever the numbers are.
func TestStagedBytesAreEnough(t *testing.T) {
	for _, size := range []int{0, 1, blockSize, blockSize + 1, 1 << 20, 3<<20 + 7} {
		f := Frame{
			Index: math.MaxUint64, Term: math.MaxUint64, Kind: KindRecords, BaseOffset: math.MinInt64,
			Count: math.MaxInt64, AppendTime: math.MinInt64, Body: bytes.Repeat([]byte("x"), size),
		}
		staged := len(appendFrameHead(nil, fuzzSums, &f, math.MaxUint64)) + size
		assert.LessOrEqual(t, staged, stagedBytes([]Frame{f}), size)
		assert.Greater(t, staged+maxHeadBytes, stagedBytes([]Frame{f}), "and no more than that: %d", size)
	}
}

// BenchmarkStage stages one entry of eight records in a batch of its own, as a
// replica does.
func BenchmarkStage(b *testing.B) {
	l, err := Create(OSFS{}, b.TempDir()+"/liked-0", Identity{ClusterID: "c", TopicID: "t", ReplicaID: 1}, Checkpoint{}, Options{BootID: "b"})
	require.NoError(b, err)
	b.Cleanup(func() { _ = l.Close() })
	b.ReportAllocs()
	for b.Loop() {
		var body []byte
		next := l.NextOffset()
		for i := range int64(8) {
			body = fmt.Appendf(body, "2026-11-22 17:16:03.123 liked 0 %d \"user-42\" {\"post\":7,\"text\":\"%0100d\"} PRODUCE\n", next+i, 1)
		}
		f := Frame{Index: l.LastIndex() + 1, Term: 1, Kind: KindRecords, BaseOffset: next, Count: 8, AppendTime: 1, Body: body}
		f.BodySum = Checksum(body)
		batch := &Batch{}
		if err := l.Append(batch, []Frame{f}); err != nil {
			b.Fatal(err)
		}
		if err := batch.Execute(); err != nil {
			b.Fatal(err)
		}
		l.Committed(l.LastIndex())
	}
}
