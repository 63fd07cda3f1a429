package routing

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// TestConsumerIDsFailTogether: a hundred requests that need an id while the
// metadata does not answer wait for one attempt, not for a hundred.
func TestConsumerIDsFailTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids ConsumerIDs
		var wg sync.WaitGroup
		began := time.Now()
		for range 100 {
			wg.Go(func() {
				_, err := ids.Take(func(int) (protocol.ConsumerID, *protocol.Error) {
					<-time.After(10 * time.Second)
					return 0, protocol.Errorf(protocol.CodeNotEnoughReplicas, "no leader")
				})
				if err == nil {
					t.Error("an id from nowhere")
				}
			})
		}
		wg.Wait()
		require.Equal(t, 10*time.Second, time.Since(began))
	})
}

func TestConsumerIDsAreHandedOutOnce(t *testing.T) {
	var ids ConsumerIDs
	var blocks atomic.Int64
	var mu sync.Mutex
	seen := map[protocol.ConsumerID]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range consumerIDBlock / 2 {
				id, err := ids.Take(func(n int) (protocol.ConsumerID, *protocol.Error) {
					return protocol.ConsumerID(1 + (blocks.Add(1)-1)*int64(n)), nil
				})
				mu.Lock()
				if err != nil || seen[id] {
					t.Errorf("id %d: twice or failed: %v", id, err)
				}
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, 4*consumerIDBlock)
	require.EqualValues(t, 4, blocks.Load())
}
