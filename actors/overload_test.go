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

// While the disk is held, producers wait until their time is up and are told
// that they cannot know; reads, waiting polls and administration go on; and
// when it is released writing is as before, with every acknowledged record.
func TestProducersWaitForAHeldDiskAloneAndNotForEver(t *testing.T) {
	dir := t.TempDir()
	held := &hangingSync{hangs: make(chan struct{}, 1000)}
	n := startNode(t, dir, func(o *Options) { o.beforeSync = held.before })
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "q", Partitions: ptr(1)})
	produce(t, n, "q", 0, `"first"`)
	tp, perr := n.LookupTopic("", "q", false, time.Time{})
	require.Nil(t, perr)

	goOn := make(chan struct{})
	held.hang(goOn)
	release := sync.OnceFunc(func() { held.hang(nil); close(goOn) })
	defer release()
	send := func(i int, d time.Duration) protocol.ProduceResult {
		req := &protocol.ProduceRequest{Topic: tp}
		req.Lines.Add(time.Now().UnixMilli(), "q", 0, []byte("-"), []byte(fmt.Sprint(i)), protocol.ActionProduce, nil)
		n.Produce([]*protocol.ProduceRequest{req}, time.Now().Add(d))
		return req.Result
	}
	const producers = 300
	results := make([]protocol.ProduceResult, producers)
	var all sync.WaitGroup
	for i := range producers {
		all.Add(1)
		go func() {
			defer all.Done()
			patience := 500 * time.Millisecond
			if i%2 == 1 {
				patience = 30 * time.Second
			}
			results[i] = send(i, patience)
		}()
	}
	<-held.hangs
	assert.Equal(t, []string{`"first"`}, fetchAll(t, n, "q", 0))
	began := time.Now()
	reply, perr := n.Fetch(&protocol.FetchRequest{Topic: tp, Offset: 1, MaxRecords: 10, MaxBytes: 1000, Timeout: 50 * time.Millisecond})
	require.Nil(t, perr)
	assert.Empty(t, reply.Records, "what is not on disk is not shown")
	_, perr = n.Topics("", false)
	require.Nil(t, perr)
	_, perr = n.Clusters()
	require.Nil(t, perr)
	n.Metrics()
	res := send(-1, 100*time.Millisecond)
	require.NotNil(t, res.Err)
	assert.Equal(t, protocol.OutcomeUnknown, res.Err.Outcome)
	assert.Less(t, time.Since(began), 20*time.Second, "nobody else waits for the disk")

	release()
	all.Wait()
	produce(t, n, "q", 0, `"last"`)
	there := fetchAll(t, n, "q", 0)
	acked := 0
	for i, r := range results {
		if r.Err == nil {
			acked++
			require.Equal(t, fmt.Sprint(i), there[r.BaseOffset])
			continue
		}
		require.Equal(t, protocol.OutcomeUnknown, r.Err.Outcome)
		require.Zero(t, i%2, "who has patience is answered: %v", r.Err)
	}
	require.GreaterOrEqual(t, acked, producers/2)
	require.LessOrEqual(t, len(there), producers+3, "nothing is there twice")
}
