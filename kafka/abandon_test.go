package kafka

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

// waiting is a topic of two partitions that are empty. The first has a record when it is
// asked for a second time.
type waiting struct {
	Backend
	mu    sync.Mutex
	reads []*waitingRead
}

func (*waiting) LookupTopic(string, string, bool, time.Time) (*protocol.Topic, *protocol.Error) {
	return &protocol.Topic{Name: "t", Partitions: 2}, nil
}

func (b *waiting) StartFetch(req *protocol.FetchRequest) protocol.PendingFetch {
	if req.Sink == nil {
		return &replied{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &waitingRead{b: b, req: req}
	b.reads = append(b.reads, r)
	return r
}

// all are the reads, once there are so many, and all of them wait.
func (b *waiting) all(n int) []*waitingRead {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.reads {
		if r.resume == nil {
			return nil
		}
	}
	if len(b.reads) < n {
		return nil
	}
	return b.reads
}

// waitingRead is a read that notes what its caller does wrong.
type waitingRead struct {
	protocol.PendingFetch
	b          *waiting
	req        *protocol.FetchRequest
	resume     func() // while it is parked
	registered bool   // at the leader
	faults     []string
}

func (r *waitingRead) Advance() (*protocol.FetchReply, bool, *protocol.Error) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	parked := r.resume != nil
	r.resume = nil
	select {
	case <-r.req.Left:
		r.registered = false
		return &protocol.FetchReply{}, false, nil
	default:
	}
	if !parked || r.req.Partition > 0 {
		return nil, true, nil
	}
	r.registered = false // whoever wakes it forgets it
	r.req.Sink.Take(&protocol.Record{Key: []byte("-"), Value: []byte("1"), Timestamp: 1})
	return &protocol.FetchReply{HighWatermark: 1, NextOffset: 1}, false, nil
}

func (r *waitingRead) Park(resume func()) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	if r.resume != nil {
		r.faults = append(r.faults, "it is parked twice")
	}
	r.resume = resume
	r.registered = true
	select {
	case <-r.req.Left:
		resume()
	default:
	}
}

// Reads that still wait when an answer is complete are ended, whether they have just been
// looked at or not. None is parked twice: somebody may be about to wake it.
func TestReadsThatWaitAreEnded(t *testing.T) {
	for name, maxBytes := range map[string]int32{"all are looked at": 1000, "the answer is full": 1} {
		t.Run(name, func(t *testing.T) {
			s := newGated(t, &gated{})
			b := &waiting{}
			s.o.Access, s.b = nil, b
			client, _ := at(t, s, "192.0.2.7:1")
			req := fetchOne().(*kmsg.FetchRequest)
			req.MaxBytes = maxBytes
			second := req.Topics[0].Partitions[0]
			second.Partition = 1
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, second)
			write(t, client, req)
			var reads []*waitingRead
			require.Eventually(t, func() bool { reads = b.all(2); return reads != nil }, patience, time.Millisecond)
			reads[0].resume()
			resp := answer[*kmsg.FetchResponse](t, client, req)
			assert.NotEmpty(t, resp.Topics[0].Partitions[0].RecordBatches)
			for _, r := range reads {
				assert.Empty(t, r.faults)
				assert.False(t, r.registered)
			}
		})
	}
}

// Nor are they when the server ends.
func TestReadsThatWaitAreEndedWithTheServer(t *testing.T) {
	s := newGated(t, &gated{})
	b := &waiting{}
	s.o.Access, s.b = nil, b
	client, served := at(t, s, "192.0.2.7:1")
	go func() { _, _ = client.Read(make([]byte, 1000)) }()
	write(t, client, fetchOne())
	var reads []*waitingRead
	require.Eventually(t, func() bool { reads = b.all(1); return reads != nil }, patience, time.Millisecond)
	close(s.done)
	awaitServed(t, served)
	assert.Empty(t, reads[0].faults)
	assert.False(t, reads[0].registered)
}
