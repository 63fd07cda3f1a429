package replica

import (
	"fmt"
	"strings"
	"testing"

	"ottla/actors/level"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProducerTableRoundTrip(t *testing.T) {
	table := newProducerTable()
	for i := range 100 {
		table.put(&producerState{
			id: fmt.Sprintf("p%d", i%40), epoch: int64(i), hash: uint64(i) << 60, at: int64(5000 + i),
			request: request{seq: int64(i * 2), base: int64(i), count: i, timestamp: int64(1000 + i)},
		})
	}
	again, err := decodeProducerTable(table.encode(level.Newest))
	require.NoError(t, err)
	require.Equal(t, table.encode(level.Newest), again.encode(level.Newest))
	for cut := 1; cut < len(table.encode(level.Newest)); cut++ {
		short, err := decodeProducerTable(table.encode(level.Newest)[:cut])
		require.True(t, err != nil || len(short.byID) < 40, "cut at %d", cut)
	}
}

func TestProducerLineRoundTrip(t *testing.T) {
	s := &producerState{id: `key:"a"#`, epoch: 1, hash: 0xdeadbeef, request: request{seq: 2, base: 3, count: 4, timestamp: 5}}
	line := string(s.appendLine(nil))
	require.Equal(t, "#p 1 2 deadbeef 3 4 5 key:\"a\"#\n", line)
	back, err := parseProducerLine([]byte(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "#p ")))
	require.NoError(t, err)
	require.Equal(t, s, back)
	for _, bad := range []string{"", "1 2 3", "x 2 3 4 5 6 id", "1 2 g 4 5 6 id", "1 2 3 4 5 6 id more"} {
		_, err := parseProducerLine([]byte(bad))
		require.Error(t, err, "%q", bad)
	}
}

func TestProducerTableForgetsByAppendTimeAlone(t *testing.T) {
	table := newProducerTable()
	table.put(&producerState{id: "old", at: 0})
	table.put(&producerState{id: "kept", at: 1})
	late := producerRetention.Milliseconds() + 1
	table.put(&producerState{id: "new", at: late})
	assert.Nil(t, table.get("old"))
	assert.NotNil(t, table.get("kept"))
	assert.NotNil(t, table.get("new"))
}

func TestProducerTableFull(t *testing.T) {
	table := newProducerTable()
	for i := range maxProducers {
		table.put(&producerState{id: fmt.Sprint(i), at: 10})
	}
	require.True(t, table.full(10+producerRetention.Milliseconds()))
	require.False(t, table.full(11+producerRetention.Milliseconds()), "the oldest may go")
}
