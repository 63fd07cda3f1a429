package actors

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// idempotent sends one value as a producer's request.
func idempotent(t *testing.T, n *Node, topic, id string, epoch, seq int64, hash uint64, value string) protocol.ProduceResult {
	t.Helper()
	deadline := time.Now().Add(patience)
	tp, err := n.LookupTopic("", topic, true, deadline)
	require.Nil(t, err)
	req := &protocol.ProduceRequest{Topic: tp, ProducerID: id, Epoch: epoch, Sequence: seq, BodyHash: hash}
	req.Lines.Add(1_700_000_000_123, topic, 0, []byte("-"), []byte(value), protocol.ActionProduce, nil)
	n.Produce([]*protocol.ProduceRequest{req}, deadline)
	return req.Result
}

func TestIdempotentProduceOverRestart(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	first := idempotent(t, n, "once", "p", 1, 5, 0, `"a"`)
	require.Nil(t, first.Err)
	require.False(t, first.Duplicate)

	check := func(n *Node) {
		again := idempotent(t, n, "once", "p", 1, 5, 0, `"a"`)
		require.Nil(t, again.Err)
		require.True(t, again.Duplicate)
		require.Equal(t, first.BaseOffset, again.BaseOffset)
		require.EqualValues(t, 1_700_000_000_123, again.Timestamp)
		require.Equal(t, protocol.CodeStaleSequence, idempotent(t, n, "once", "p", 1, 4, 0, `"b"`).Err.Code)
		require.Equal(t, protocol.CodeStaleEpoch, idempotent(t, n, "once", "p", 0, 9, 0, `"b"`).Err.Code)
	}
	check(n)
	keyed := idempotent(t, n, "once", "key:k", 0, 0, 77, `"k"`)
	require.Nil(t, keyed.Err)
	require.Equal(t, protocol.CodeIdempotencyMismatch, idempotent(t, n, "once", "key:k", 0, 0, 78, `"other"`).Err.Code)
	stopNode(t, n)

	n = startNode(t, dir)
	defer stopNode(t, n)
	check(n)
	require.Equal(t, keyed.BaseOffset, idempotent(t, n, "once", "key:k", 0, 0, 77, `"k"`).BaseOffset)
	next := idempotent(t, n, "once", "p", 2, 0, 0, `"new epoch"`)
	require.Nil(t, next.Err)
	require.False(t, next.Duplicate)
	require.Equal(t, []string{`"a"`, `"k"`, `"new epoch"`}, fetchAll(t, n, "once", 0))
}

func TestConcurrentRetriesMakeOneRecord(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	produce(t, n, "once", 0, `"warm"`)
	const requests, retries = 20, 8
	var wg sync.WaitGroup
	offsets := make([][]protocol.Offset, requests)
	var mu sync.Mutex
	for i := range requests {
		for range retries {
			wg.Go(func() {
				res := idempotent(t, n, "once", fmt.Sprintf("key:%d", i), 0, 0, uint64(i), fmt.Sprint(i))
				mu.Lock()
				defer mu.Unlock()
				if assert.Nil(t, res.Err) {
					offsets[i] = append(offsets[i], res.BaseOffset)
				}
			})
		}
	}
	wg.Wait()
	require.Len(t, fetchAll(t, n, "once", 0), 1+requests)
	for i := range offsets {
		for _, off := range offsets[i] {
			require.Equal(t, offsets[i][0], off, "request %d", i)
		}
	}
}
