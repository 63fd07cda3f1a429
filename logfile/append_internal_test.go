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
	for _, size := range []int{0, 1, LargeBody - 1, LargeBody, blockSize, blockSize + 1, 1 << 20, 3<<20 + 7} {
		f := Frame{
			Index: math.MaxUint64, Term: math.MaxUint64, Kind: KindRecords, BaseOffset: math.MinInt64,
			Count: math.MaxInt64, AppendTime: math.MinInt64, Body: bytes.Repeat([]byte("x"), size),
		}
		staged := len(appendFrameHead(nil, fuzzSums, &f, math.MaxUint64))
		if size < LargeBody { // larger ones are not copied
			staged += size
		}
		assert.LessOrEqual(t, staged, stagedBytes([]Frame{f}, LargeBody), size)
		assert.Greater(t, staged+maxHeadBytes, stagedBytes([]Frame{f}, LargeBody), "and no more than that: %d", size)
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

// Large bodies are written from where they are, between small ones and other lines,
// and what is then in the file is the same.
func TestLargeBodiesAreNotCopied(t *testing.T) {
	dir := t.TempDir() + "/liked-0"
	l, err := Create(OSFS{}, dir, Identity{ClusterID: "c", TopicID: "t", ReplicaID: 1}, Checkpoint{}, Options{BootID: "b"})
	require.NoError(t, err)
	b, before := &Batch{}, l.active.size
	var want []string
	for _, size := range []int{10, LargeBody, 10, 3 * blockSize, 2 * LargeBody, 10} {
		line := fmt.Sprintf("2026-11-22 17:16:03.123 liked 0 %d - {\"text\":\"%0*d\"} PRODUCE\n", l.NextOffset(), size, 1)
		f := Frame{Index: l.LastIndex() + 1, Term: 1, Kind: KindRecords, BaseOffset: l.NextOffset(), Count: 1, AppendTime: 1, Body: []byte(line)}
		f.BodySum = Checksum(f.Body)
		require.NoError(t, l.Append(b, []Frame{f}))
		l.SetHardState(b, 1, uint64(size))
		want = append(want, line)
	}
	assert.Less(t, len(b.data), LargeBody)
	assert.EqualValues(t, l.active.size-before, b.Bytes())
	require.Len(t, b.steps, 1, "one write")
	require.NoError(t, b.Execute())
	require.NoError(t, l.Close())

	l, rec, err := Open(OSFS{}, dir, Options{BootID: "b"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	assert.EqualValues(t, 10, rec.Vote)
	frames, err := l.ReadFrames(1, l.LastIndex()+1, 1<<30)
	require.NoError(t, err)
	var got []string
	for _, f := range frames {
		got = append(got, string(f.Body))
	}
	assert.Equal(t, want, got)
}
