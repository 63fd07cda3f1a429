package replica

import (
	"fmt"
	"math/rand"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/level"
)

// TestKeyTableIsWhatAListWouldBe has keys come, come again and go, and holds the table
// against a list, through checkpoints.
func TestKeyTableIsWhatAListWouldBe(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	table := newProducerTable()
	var want []producerState // oldest first
	now := int64(1 << 40)
	for step := range fewer(60_000, 6) {
		now += rnd.Int63n(50)
		if rnd.Intn(3000) == 0 {
			now += 2 * keyRetention.Milliseconds() / int64(1+rnd.Intn(4))
		}
		s := producerState{id: fmt.Sprint("key:", rnd.Intn(30_000)), hash: rnd.Uint64(), at: now, request: request{base: int64(step), count: 1 + rnd.Intn(9), timestamp: rnd.Int63()}}
		table.put(&s)
		for len(want) > 0 && want[0].at < now-keyRetention.Milliseconds() {
			want = want[1:]
		}
		for i := range want {
			if want[i].id == s.id {
				want = append(want[:i:i], want[i+1:]...)
				break
			}
		}
		want = append(want, s)
		if rnd.Intn(2000) == 0 {
			again, err := decodeProducerTable(table.encode(level.Newest))
			require.NoError(t, err)
			require.Equal(t, table.encode(level.Newest), again.encode(level.Newest))
			table = again
		}
		if rnd.Intn(500) == 0 {
			require.Equal(t, len(want), table.keys.len())
			i := 0
			table.keys.each(func(k *knownKey, _ string) {
				require.Equal(t, want[i], *k.state(want[i].id))
				require.Equal(t, want[i], *table.get(want[i].id))
				i++
			})
			require.Equal(t, len(want), i)
		}
	}
	table.expire(now + 2*keyRetention.Milliseconds())
	assert.Zero(t, table.keys.len())
	assert.Zero(t, table.keys.bytes)
	assert.Zero(t, table.keys.hashed)
	assert.Empty(t, table.keys.segments, "memory is given back")
}

// A partition carries a thousand new keys a second, for as long as each is remembered.
func TestAThousandKeysASecond(t *testing.T) {
	table := newProducerTable()
	const start = int64(1_800_000_000_000)
	last := start + keyRetention.Milliseconds() + 10_000
	for at := start; at < last; at++ {
		id := fmt.Sprintf("key:%08x-0000-4000-8000-%012x", at, at)
		require.False(t, table.full(id, at), "after %d keys", at-start)
		table.put(&producerState{id: id, at: at, hash: uint64(at), request: request{base: 3 * (at - start), count: 3, timestamp: at - 2}})
	}
	t.Logf("%d keys, %d bytes", table.keys.len(), table.keys.bytes)
	require.Less(t, len(table.encode(level.Newest)), table.keys.bytes+100, "it is counted what they take")
}

// Below their level no table is written that older programs cannot read, and keys are not
// forgotten by that. Above it, tables of before are read.
func TestHashesAreNotWrittenBelowTheirLevel(t *testing.T) {
	at := level.HashedKeys.Level - 1
	table := newProducerTable()
	table.level = func() int { return at }
	put := func(id string) {
		table.put(&producerState{id: id, hash: 7, at: 5, request: request{base: 3, count: 2, timestamp: 4}})
	}
	put("key:a")
	put("p")
	low := table.encode(at)
	require.EqualValues(t, producerTableFormat, low[0])
	again, err := decodeProducerTable(low)
	require.NoError(t, err)
	require.Equal(t, table.get("key:a"), again.get("key:a"))
	require.Equal(t, low, again.encode(at), "as it was")
	require.EqualValues(t, producerTableWithHashes, again.encode(level.HashedKeys.Level)[0])

	at = level.HashedKeys.Level
	put("key:b")
	table.put(&producerState{id: "key:c", at: 6})
	high := table.encode(at)
	require.EqualValues(t, producerTableWithHashes, high[0])
	again, err = decodeProducerTable(high)
	require.NoError(t, err)
	for _, id := range []string{"key:a", "key:b", "key:c", "p"} {
		require.NotNil(t, again.get(id), id)
		require.Equal(t, table.get(id), again.get(id))
	}
	require.Nil(t, again.get("key:d"))
	require.EqualValues(t, producerTableWithHashes, table.encode(at - 1)[0], "what is not known cannot be written")
	for format := producerTableFormat; format <= producerTableWithHashes; format++ {
		require.Contains(t, level.Formats, fmt.Sprintf("producer table %d", format))
	}
}

func BenchmarkKeyInTheTable(b *testing.B) {
	table := newProducerTable()
	table.keys.most = b.N + 1
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range b.N {
		table.put(&producerState{id: fmt.Sprintf("key:%036d", i), hash: uint64(i), at: int64(10 + i), request: request{base: int64(i), count: 1, timestamp: int64(8 + i)}})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "B/key")
	b.ReportMetric(float64(len(table.encode(level.Newest)))/float64(b.N), "encoded-B/key")
}
