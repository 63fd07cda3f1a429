package follow

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// fakeLeader leads a log of so many records, of which the first are compacted away.
type fakeLeader struct {
	routing.Leader
	routing.LogView

	mu       sync.Mutex
	earliest int64
	end      int64
	waiter   *protocol.Waiter
}

func (f *fakeLeader) View() (routing.LogView, *protocol.Error) { return f, nil }
func (f *fakeLeader) Earliest() int64                          { return f.earliest }
func (f *fakeLeader) Unregister(*protocol.Waiter)              {}

func (f *fakeLeader) HighWatermark() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.end
}

func (f *fakeLeader) Register(w *protocol.Waiter, offset protocol.Offset) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiter = w; int64(offset) < f.end {
		w.Wake()
	}
}

func (f *fakeLeader) Read(dst []logfile.Record, offset int64, maxRecords, _ int) ([]logfile.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for o := offset; o < f.end && len(dst) < maxRecords; o++ {
		if o%2 == 0 || o >= 4 { // compaction has left every second one of the first
			dst = append(dst, logfile.Record{Offset: o})
		}
	}
	return dst, nil
}

func (f *fakeLeader) commit(end int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end = end
	if f.waiter != nil {
		f.waiter.Wake()
	}
}

// The first reading is a whole state, what is committed later follows it, and while a
// replica runs here nothing is read.
func TestReaderFollows(t *testing.T) {
	type batch struct {
		records int
		restore int64
	}
	got := make(chan batch, 10)
	next := func() batch {
		select {
		case b := <-got:
			return b
		case <-time.After(20 * time.Second):
			require.FailNow(t, "nothing is read")
			panic("unreachable")
		}
	}
	l := &fakeLeader{end: 6}
	route := routing.NewPartition(protocol.PartitionID{}, nil, 3)
	route.Set(&routing.Leadership{Leader: l, Term: 1})
	none := func() int64 { return 0 }
	stop := Start(route, func() bool { return false }, none, func(records []logfile.Record, restore int64) { got <- batch{len(records), restore} })
	require.Equal(t, batch{4, 6}, next())
	l.commit(8)
	require.Equal(t, batch{2, 0}, next())
	stop()

	// A replica that runs here gets records by itself, until it does not any more.
	var has atomic.Int64
	has.Store(8)
	away := routing.NewPartition(protocol.PartitionID{}, nil, 3)
	away.Set(&routing.Leadership{Leader: l, Term: 1, Away: true})
	silent := Start(away, func() bool { return true }, has.Load, func(records []logfile.Record, restore int64) {
		has.Add(int64(len(records)))
		got <- batch{len(records), restore}
	})
	defer silent()
	require.Never(t, func() bool { return len(got) > 0 }, 2*pause, pause/10)
	l.commit(10)
	require.Equal(t, batch{2, 0}, next())
}
