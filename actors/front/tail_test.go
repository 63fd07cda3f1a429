package front

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// Those who wait for the same records get all the same of them, within their
// own bounds.
func TestTailIsSharedByThoseWhoWait(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	for round := range protocol.Offset(3) {
		var all []*testFetch
		for range 3 {
			all = append(all, w.parkedFetch(q, 3*round, 100, 1<<20))
		}
		one, small := w.parkedFetch(q, 3*round, 1, 1<<20), w.parkedFetch(q, 3*round, 100, 1)
		value := string(rune('a' + round))
		leaders[0].append(`"`+value+`0"`, `"`+value+`1"`, `"`+value+`2"`)
		want := []string{`q "k0" "` + value + `0" `, `q "k1" "` + value + `1" `, `q "k2" "` + value + `2" `}
		for _, f := range all {
			assert.Equal(t, 3*round+3, f.answered().NextOffset)
			assert.Equal(t, want, f.sink.records)
			require.NotNil(t, tailAt(f.leader))
			assert.Equal(t, int64(3*round), tailAt(f.leader).from)
		}
		for _, f := range []*testFetch{one, small} {
			assert.Equal(t, 3*round+1, f.answered().NextOffset)
			assert.Equal(t, want[:1], f.sink.records)
		}
	}
}

// What is too large to be kept is read by each for itself.
func TestLargeTailIsNotKept(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	a, b := w.parkedFetch(q, 0, 100, 1<<20), w.parkedFetch(q, 0, 100, 1<<20)
	large := `"` + strings.Repeat("x", 2*maxTailBytes) + `"`
	leaders[0].append(large)
	for _, f := range []*testFetch{a, b} {
		assert.Equal(t, protocol.Offset(1), f.answered().NextOffset)
		assert.Equal(t, []string{`q "k0" ` + large + ` `}, f.sink.records)
		require.NotNil(t, tailAt(f.leader))
		assert.Empty(t, tailAt(f.leader).records)
	}
}

// A tail is of the records up to one high watermark, and of those from one
// offset on: nobody else is given it.
func TestTailIsNotForOthers(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	l := leaders[0]
	read := func(offset int64) []string {
		first, second := &textSink{}, &textSink{}
		got := gathered{sink: first, waited: l.Leadership}
		require.Nil(t, got.read(l.view.Load(), "q", 0, offset, 100, 1<<20))
		assert.Len(t, first.records, got.count)
		memo := l.Memo.Load()
		got = gathered{sink: second, waited: l.Leadership}
		require.Nil(t, got.read(l.view.Load(), "q", 0, offset, 100, 1<<20))
		assert.Equal(t, first.records, second.records)
		assert.Same(t, memo, l.Memo.Load(), "the log is read once")
		return first.records
	}
	l.append(`"a"`)
	assert.Equal(t, []string{`q "k0" "a" `}, read(0))
	l.append(`"b"`)
	assert.Equal(t, []string{`q "k0" "a" `, `q "k0" "b" `}, read(0))
	assert.Equal(t, []string{`q "k0" "b" `}, read(1))
	assert.Equal(t, []string{`q "k0" "a" `, `q "k0" "b" `}, read(0))
	assert.Empty(t, read(2))
}
