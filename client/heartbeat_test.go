package client

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHeartbeatEndsWithTheTimeForABatch(t *testing.T) {
	asked := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(server.Close)
	c, err := New(server.URL)
	require.NoError(t, err)
	consumer, err := c.NewConsumer(ConsumerConfig{
		Group: "g", Topics: []string{"t"}, SessionTimeout: 3 * time.Millisecond, MaxProcessing: time.Nanosecond,
	})
	require.NoError(t, err)
	<-consumer.startHeartbeat().done
	assert.Empty(t, asked)

	consumer.alive = time.Hour
	beat := consumer.startHeartbeat()
	<-asked
	beat.end(t.Context())
	<-beat.done
	(*heartbeat)(nil).end(t.Context())
}
