package client

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHeartbeatEndsWithTheTimeForABatch(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(server.Close)
	c, err := New(server.URL)
	require.NoError(t, err)
	consumer, err := c.NewConsumer(ConsumerConfig{
		Group: "g", Topics: []string{"t"}, SessionTimeout: 3 * time.Millisecond, MaxProcessing: time.Nanosecond,
	})
	require.NoError(t, err)
	<-consumer.startHeartbeat().done
	assert.Zero(t, asked.Load())

	consumer.alive = 20 * time.Millisecond
	<-consumer.startHeartbeat().done
	assert.Positive(t, asked.Load())
	(*heartbeat)(nil).end(t.Context())
}
