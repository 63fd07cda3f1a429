package webhook

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"

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
	assert.Equal(t, []string{"msg_id-of-t-0-2"}, got.ids)
}
