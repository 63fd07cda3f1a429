package webhook

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// Records that follow those that retention removes under a delivery are delivered, though
// a read that was to plan more began before.
func TestRecordsBehindRemovedOnes(t *testing.T) {
	for name, more := range map[string]int{"with a record that comes": 1, "with none": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := fakeBrokerOf(protocol.SubscriptionSpec{Batch: 1, Order: protocol.OrderPartition}, "t")
			b.topics["t"].write(10)
			var got deliveries
			var refused atomic.Int32
			deliver(t, b, func(id, body string) int {
				if body == "0" {
					refused.Add(1)
					return http.StatusInternalServerError
				}
				return got.take(id, body)
			})
			b.eventually(t, "the first is refused", func() bool { return refused.Load() > 0 })
			b.change(func() { b.topics["t"].remove(5) })
			b.eventually(t, "it is noticed", func() bool { return *b.topics["t"].committed >= 5 })
			b.change(func() { b.topics["t"].write(more) })
			end := protocol.Offset(10 + more)
			b.eventually(t, "all is committed", func() bool { return *b.topics["t"].committed == end })
			want := []string{"5", "6", "7", "8", "9", "10"}[:5+more]
			assert.Equal(t, want, got.bodies())
		})
	}
}

// A record has its own id however many before it compaction has removed: not that of one
// that was delivered from the same offset on before.
func TestIdsOfRecordsBehindGaps(t *testing.T) {
	b := fakeBrokerOf(protocol.SubscriptionSpec{Batch: 1, Order: protocol.OrderPartition}, "t")
	b.topics["t"].write(3)
	b.topics["t"].compact(2)
	var got deliveries
	deliver(t, b, got.take)
	b.eventually(t, "all is committed", func() bool { return *b.topics["t"].committed == 3 })
	assert.Equal(t, []string{"msg_id-of-t-0-2"}, got.allIDs())
}

// A topic that is deleted takes only its own deliveries with it, and one that is made
// under its name is delivered from its beginning.
func TestOneOfSeveralTopicsIsDeleted(t *testing.T) {
	b := fakeBrokerOf(protocol.SubscriptionSpec{Batch: 1, Order: protocol.OrderPartition}, "t", "u")
	b.topics["u"].write(3)
	var got deliveries
	deliver(t, b, got.take)
	b.eventually(t, "the first are committed", func() bool { return *b.topics["u"].committed == 3 })
	b.change(func() {
		delete(b.topics, "t")
		b.generation++
		b.topics["u"].write(1)
	})
	b.eventually(t, "what is left is committed", func() bool { return *b.topics["u"].committed == 4 })
	b.change(func() {
		b.topics["t"] = &fakeTopic{id: "another", committed: new(protocol.Offset)}
		b.topics["t"].write(1)
		b.generation++
	})
	b.eventually(t, "the new topic is committed", func() bool { return *b.topics["t"].committed == 1 })
	assert.Equal(t, []string{"0", "1", "2", "3", "0"}, got.bodies())
}

// A worker that is ended while it joins leaves the group all the same.
func TestEndWhileJoining(t *testing.T) {
	b := fakeBrokerOf(protocol.SubscriptionSpec{Batch: 1, Order: protocol.OrderPartition}, "t")
	began, goOn := make(chan struct{}), make(chan struct{})
	b.joining = func() {
		close(began)
		<-goOn
	}
	w := deliver(t, b, (&deliveries{}).take)
	<-began
	b.change(func() { b.sub = nil })
	w.end()
	select {
	case <-w.ended: // too early
	case <-time.After(100 * time.Millisecond):
	}
	close(goOn)
	<-w.ended
	b.eventually(t, "it has joined", func() bool { return b.joined })
	b.mu.Lock()
	defer b.mu.Unlock()
	assert.Zero(t, b.members)
}

// What was delivered of a topic that was deleted meanwhile is not committed for another
// that has its name, of which the group has not heard yet.
func TestTopicIsReplacedUnderADelivery(t *testing.T) {
	b := fakeBrokerOf(protocol.SubscriptionSpec{Batch: 1, Order: protocol.OrderPartition}, "t")
	b.topics["t"].write(1)
	var got deliveries
	replace := sync.OnceFunc(func() {
		b.change(func() {
			b.topics["t"] = &fakeTopic{id: "another"}
			b.topics["t"].write(1)
		})
		time.AfterFunc(100*time.Millisecond, func() {
			b.change(func() {
				b.generation++
				if b.topics["t"].committed == nil {
					b.topics["t"].committed = new(protocol.Offset)
				}
			})
		})
	})
	deliver(t, b, func(id, body string) int {
		replace()
		return got.take(id, body)
	})
	b.eventually(t, "the new topic is committed", func() bool {
		u := b.topics["t"]
		return u.id == "another" && u.committed != nil && *u.committed == 1
	})
	assert.Equal(t, []string{"msg_id-of-t-0-0", "msg_another-0-0"}, got.allIDs())
}

// A group that has become a queue while the subscription was paused is not polled: who
// polls a queue takes records from its workers.
func TestGroupBecomesAQueue(t *testing.T) {
	b := fakeBrokerOf(protocol.SubscriptionSpec{Batch: 1, Order: protocol.OrderPartition}, "t")
	b.queue = true
	deliver(t, b, (&deliveries{}).take)
	b.eventually(t, "it has tried again", func() bool { return b.refused == 2 })
	b.mu.Lock()
	defer b.mu.Unlock()
	assert.False(t, b.joined)
}

// What is not read because the worker ends is not taken for what compaction has removed.
func TestEndWhileReading(t *testing.T) {
	b := fakeBrokerOf(protocol.SubscriptionSpec{Batch: 1}, "t")
	b.topics["t"].write(1)
	w := &worker{d: &Deliverer{b: b}, sub: b.sub}
	ctx, cancel := context.WithCancel(t.Context())
	l, u := &lane{topic: "t", topicID: "id-of-t"}, &unit{to: 1}
	records, err := w.load(ctx, l, u)
	require.Nil(t, err)
	require.Len(t, records, 1)
	cancel()
	_, err = w.load(ctx, l, u)
	require.NotNil(t, err)
}
