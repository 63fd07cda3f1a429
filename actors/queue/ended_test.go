package queue

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// The tree of bitmaps is a set of offsets: the same as a map, over millions of offsets
// that end in any order.
func TestEndedIsASet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		p := New("q").partitionOf(protocol.PartitionID{TopicID: "t"})
		size := int64(1) << (6 + 2*(round%6)) // up to 65,536: three levels
		p.position = rng.Int64N(200)
		first := p.position
		order := rng.Perm(int(size))
		open := map[int64]bool{}
		for _, i := range order {
			open[first+int64(i)] = true
		}
		for n, i := range order {
			o := first + int64(i)
			require.False(t, p.isEnded(o))
			p.setEnded(o)
			p.advance()
			delete(open, o)
			if n%97 == 0 {
				at := first + rng.Int64N(size)
				require.Equal(t, !open[at], p.isEnded(at), "%d of %d", at, size)
				require.True(t, p.position == first+size || open[p.position], "the position is the first that is not ended")
			}
		}
		require.Equal(t, first+size, p.position)
		require.Empty(t, p.nodes, "nothing is left")
	}
}

// One record that does not end keeps no more than a few nodes, however many after it
// are ended.
func TestOneOpenRecordCostsLittle(t *testing.T) {
	p := New("q").partitionOf(protocol.PartitionID{TopicID: "t"})
	const size = 1 << 20
	for o := int64(1); o < size; o++ {
		p.setEnded(o)
	}
	p.advance()
	require.Zero(t, p.position)
	require.LessOrEqual(t, len(p.nodes), 8)
	p.setEnded(0)
	p.advance()
	require.EqualValues(t, size, p.position)
	require.Empty(t, p.nodes)
}

func TestRetentionOverATree(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		p := New("q").partitionOf(protocol.PartitionID{TopicID: "t"})
		const size = 9000
		ended := map[int64]bool{}
		for o := range int64(size) {
			if rng.IntN(10) > 0 {
				ended[o] = true
				p.setEnded(o)
			}
		}
		p.advance()
		earliest := p.position + rng.Int64N(size-p.position)
		want := int64(0)
		for o := p.position; o < earliest; o++ {
			if !ended[o] {
				want++
			}
		}
		lost, given := p.lose(earliest)
		require.Equal(t, want, lost)
		require.Empty(t, given)
		for o := earliest; o < size; o++ {
			require.Equal(t, ended[o], p.isEnded(o), "%d after %d", o, earliest)
		}
		require.False(t, ended[p.position])
	}
}

// A flush may be cut off anywhere, and nobody is told that it was: but what was ended
// before it stays so.
func TestNoPrefixOfAFlushForgetsAnEnd(t *testing.T) {
	s := fed(t, 0, nil)
	known := map[string]metarecord.Record{}
	keep := func(into map[string]metarecord.Record, recs []metarecord.Record) {
		for _, rec := range recs {
			if into[string(rec.Key)] = rec; rec.Value == nil {
				delete(into, string(rec.Key))
			}
		}
	}
	keep(known, s.settingsRecord())
	const size = 3 * chunkSize * chunkSize
	p := s.parts[partition0]
	rng := rand.New(rand.NewPCG(5, 6))
	cuts := 0
	for o := int64(size - 1); o >= 0; o-- { // from the end, so that all levels are used
		p.setEnded(o)
		p.advance()
		recs := s.flush(1)
		if len(recs) > 1 || rng.IntN(50) == 0 {
			for cut := range recs {
				part := maps.Clone(known)
				keep(part, recs[:cut])
				again := New("q")
				for _, rec := range part {
					require.NoError(t, again.Apply(rec))
				}
				again.Resume()
				for _, sample := range []int64{o + 1, o + 63, o + 64, o + chunkSize*chunkSize, size - 1, o + 1 + rng.Int64N(size-o)} {
					if sample > o && sample < size {
						require.True(t, again.partitionOf(partition0).isEnded(sample), "%d was ended before %d", sample, o)
					}
				}
				cuts++
			}
		}
		keep(known, recs)
	}
	require.Greater(t, cuts, 100)
	require.Len(t, known, 2, "the settings and the position")
}
