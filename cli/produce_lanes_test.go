package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
	"ottla/protocol"
)

// Records go where the server would put them, and each partition has one lane.
func TestPlacement(t *testing.T) {
	p := placement{partitions: 5, lanes: 4}
	for _, key := range []client.Data{
		client.StringData("user-1"), client.StringData("ü\n"), client.JSONData([]byte(`{"a": [1, 2]}`)), client.JSONData([]byte(`"x"`)), client.JSONData([]byte("12.50")),
		client.TextData("not JSON"), client.BytesData([]byte{0xff, 0}), client.BytesData([]byte("text")),
	} {
		r := client.Record{Key: key}
		lane := p.place(&r, 1)
		require.NotNil(t, r.Partition)
		assert.Equal(t, *r.Partition%4, lane)
	}
	keyed := client.Record{Key: client.StringData("user-42")}
	p.place(&keyed, 7)
	assert.Equal(t, protocol.PartitionForKey([]byte(`"user-42"`), 5), *keyed.Partition)
	spaced := client.Record{Key: client.JSONData([]byte(`{ "a" : 1 }`))}
	p.place(&spaced, 7)
	assert.Equal(t, protocol.PartitionForKey([]byte(`{"a":1}`), 5), *spaced.Partition)
	seen := map[int]int{}
	for line := range 10 {
		r := client.Record{}
		p.place(&r, line)
		seen[*r.Partition]++
	}
	assert.Equal(t, map[int]int{0: 2, 1: 2, 2: 2, 3: 2, 4: 2}, seen)
	left := client.Record{}
	assert.Zero(t, placement{lanes: 1}.place(&left, 3))
	assert.Nil(t, left.Partition, "the server places")
}

// What a server could refuse goes alone.
func TestRiskyLines(t *testing.T) {
	p := placement{partitions: 3, lanes: 3, careful: 1000}
	many := map[string]string{}
	for i := range 20 {
		many[fmt.Sprint(i)] = "x"
	}
	for text, want := range map[string]bool{
		`{"a":[1,2.5,"x"]}`: false, `"` + strings.Repeat("x", 1001) + `"`: true, strings.Repeat("[", 40) + strings.Repeat("]", 40): true,
		strings.Repeat("7", 200): true, `"\ud800"`: true, "plain": false,
	} {
		r := client.Record{Value: client.StringData(text)}
		if isJSON([]byte(text)) {
			r.Value = client.JSONData([]byte(text))
		}
		assert.Equal(t, want, p.risky([]byte(text), &r), text)
		assert.False(t, placement{lanes: 1}.risky([]byte(text), &r), "one lane stops by itself")
	}
	assert.True(t, p.risky(nil, &client.Record{Headers: many}))
}

// A user is told up to which line all is committed, whatever comes when.
func TestTally(t *testing.T) {
	ta := tally{upTo: 10}
	ta.commit(12)
	ta.commit(14)
	assert.Equal(t, []int{10, 2, 2}, []int{ta.upTo, ta.ahead, ta.committed})
	ta.commit(11)
	assert.Equal(t, []int{12, 1, 3}, []int{ta.upTo, ta.ahead, ta.committed})
	ta.commit(13)
	assert.Equal(t, []int{14, 0, 4}, []int{ta.upTo, ta.ahead, ta.committed})
	assert.True(t, ta.fail(16, 1, errors.New("x")))
	assert.False(t, ta.fail(15, 0, errors.New("x")))
	assert.False(t, ta.fail(18, 1, errors.New("x")))
	assert.Equal(t, []int{16, 18}, ta.lines, "those of the lane that failed first")
	assert.True(t, ta.failed())
}

// A line that the server refuses is named although its batch has lines of some
// partitions only, and says how much of the others is written.
func TestRefusalsWithSeveralLanes(t *testing.T) {
	var mu sync.Mutex
	more, seen := sync.NewCond(&mu), map[string]bool{} // lanes
	s := newStandIn(t, func(_ int, a asked) (int, string) {
		if strings.Contains(a.body, `"poison"`) {
			mu.Lock()
			for seen[a.header.Get("Producer-Id")] = true; len(seen) < 3; { // nothing more is sent after a refusal
				more.Wait()
			}
			mu.Unlock()
			at := 0
			for i, line := range strings.Split(a.body, "\n") {
				if strings.Contains(line, `"poison"`) {
					at = i + 1
				}
			}
			return 413, fmt.Sprintf(`{"error_code":41302,"code":"record_too_large","message":"line %d: it has 9 bytes","retriable":false,"outcome":"none","details":{"line":%d}}`, at, at)
		}
		mu.Lock()
		seen[a.header.Get("Producer-Id")] = true
		more.Signal()
		mu.Unlock()
		return 200, committed(a)
	})
	o := &produceOptions{topic: "t", partition: -1}
	a, err := newAPI(s.url, nil, "")
	require.NoError(t, err)
	sender, err := newSender(&process{}, a, o, 0, placement{partitions: 3, lanes: 3, careful: 1 << 20})
	require.NoError(t, err)
	var in strings.Builder
	for i := range 1000 {
		if i == 500 {
			in.WriteString("poison\n")
			continue
		}
		in.WriteString("1\n")
	}
	err = sender.run(t.Context(), strings.NewReader(in.String()))
	require.Error(t, err)
	assert.Contains(t, err.Error(), "line 501: it has 9 bytes")
	lanes := map[string]bool{}
	for _, a := range s.asked {
		lanes[a.header.Get("Producer-Id")] = true
		partitions := map[int]bool{}
		for line := range strings.Lines(a.body) {
			var r struct{ Partition int }
			require.NoError(t, json.Unmarshal([]byte(line), &r))
			partitions[r.Partition] = true
		}
		assert.Len(t, partitions, 1, "three partitions, three lanes")
	}
	assert.Len(t, lanes, 3)
	assert.Less(t, sender.tally.upTo, 501)
}

// Whoever interrupts a command while it still skips lines goes on where it would have
// begun, not where it was in the file.
func TestInterruptedWhileSkipping(t *testing.T) {
	a, err := newAPI("127.0.0.1:1", nil, "")
	require.NoError(t, err)
	s, err := newSender(&process{}, a, &produceOptions{topic: "t", partition: -1, skip: 1000}, 0, placement{lanes: 1})
	require.NoError(t, err)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	assert.EqualError(t, s.run(ctx, strings.NewReader("1\n2\n3\n")), "interrupted after 1000 lines, which are committed; --skip 1000 goes on")
}
