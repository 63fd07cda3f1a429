package actors

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// hangingSync holds up the disk's syncs while it is told to.
type hangingSync struct {
	mu    sync.Mutex
	goOn  chan struct{} // nil: it does not hang
	hangs chan struct{} // one per sync that hangs
}

func (h *hangingSync) before() {
	h.mu.Lock()
	wait := h.goOn
	h.mu.Unlock()
	if wait != nil {
		h.hangs <- struct{}{}
		<-wait
	}
}

func (h *hangingSync) hang(goOn chan struct{}) {
	h.mu.Lock()
	h.goOn = goOn
	h.mu.Unlock()
}

func TestDiskThatHangsFailsItsBrokersUntilItReturns(t *testing.T) {
	dir := t.TempDir()
	hanging := &hangingSync{hangs: make(chan struct{}, 100)}
	n := startNode(t, dir, func(o *Options) {
		o.stallAfter, o.SyncInterval, o.beforeSync = 50*time.Millisecond, 10*time.Millisecond, hanging.before
	})
	defer stopNode(t, n)
	// The disk may take as long by itself for a moment, and then refuses.
	accepts := func(value string) {
		require.Eventually(t, func() bool {
			res := tryProduce(t, n, "q", 0, value)
			if res.Err != nil && res.Err.Outcome == protocol.OutcomeNone {
				return false
			}
			require.Nil(t, res.Err)
			return true
		}, patience, 10*time.Millisecond)
	}
	accepts(`1`)

	goOn := make(chan struct{})
	hanging.hang(goOn)
	tp, perr := n.LookupTopic("", "q", false, time.Time{})
	require.Nil(t, perr)
	started := &protocol.ProduceRequest{Topic: tp, Reply: protocol.NewFuture[protocol.ProduceResult]()}
	started.Lines.Add(time.Now().UnixMilli(), "q", 0, []byte("-"), []byte("2"), protocol.ActionProduce, nil)
	n.env.system.Root.Send(pidOf(leaderOf(t, tp, 0)), started)
	<-hanging.hangs
	require.Eventually(t, func() bool {
		for id := 1; id <= 3; id++ {
			if b := brokerInfo(n, id); b.State != protocol.BrokerFailed || b.Error == "" {
				return false
			}
		}
		return true
	}, patience, time.Millisecond, "the brokers do not say that they failed")
	ready := n.Readiness()
	require.False(t, ready.Ready)
	require.Contains(t, ready.Leaderless[0].Reason, "the disk")

	res := tryProduce(t, n, "q", 0, `"refused"`)
	require.NotNil(t, res.Err)
	require.Equal(t, protocol.CodeNotEnoughReplicas, res.Err.Code)
	require.Equal(t, protocol.OutcomeNone, res.Err.Outcome)
	require.Equal(t, []string{`1`}, fetchAll(t, n, "q", 0), "what was committed can be read")

	hanging.hang(nil)
	close(goOn)
	awaitReady(t, n)
	got, ok := started.Reply.Wait(time.Now().Add(patience))
	require.True(t, ok)
	require.Nil(t, got.Err, "what was under way is committed after all")
	require.Eventually(t, func() bool { return brokerInfo(n, 2).State == protocol.BrokerRunning }, patience, time.Millisecond)
	accepts(`3`)
	require.Equal(t, []string{`1`, `2`, `3`}, fetchAll(t, n, "q", 0))
}
