package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A key that comes again with another body has no effect on any partition, also not
// on those that have not seen it; the first body stays a repetition.
func TestAKeyWithAnotherBodyHasNoEffect(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("keys", 3)
	batch := func(records int) string {
		return `{"topic":"keys","records":[` + strings.TrimSuffix(strings.Repeat(`{"value":1},`, records), ",") + `]}`
	}
	for _, first := range []int{1, 2} {
		key := []string{"Idempotency-Key", "order-" + string(rune('0'+first))}
		s.post("/events", batch(first), key...).want(http.StatusOK)
		before := s.total("keys", 3)
		s.post("/events", batch(4), key...).wantError(http.StatusUnprocessableEntity, "idempotency_mismatch")
		assert.Equal(t, before, s.total("keys", 3))
		again := s.post("/events", batch(first), key...).want(http.StatusOK).object()
		assert.Equal(t, true, again["duplicate"])
		assert.Equal(t, before, s.total("keys", 3))
	}
}

// total is how many records a topic has.
func (s *server) total(topic string, partitions int) (n int64) {
	s.t.Helper()
	for p := range partitions {
		n += s.fetch(topic, p, 0, "").HighWatermark
	}
	return n
}
