package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/certs/certstest"
)

// The certificate of the HTTP API serves Kafka clients, too: they are heard over TLS, and not
// without it, or under an authority that they do not know.
func TestKafkaClientsSpeakTLS(t *testing.T) {
	ca := certstest.New(t)
	cert, key := ca.Issue("server")
	s, _ := liveServerWith(t, t.TempDir(), map[string]string{
		"OTTLA_KAFKA_LISTEN": "127.0.0.1:0", "OTTLA_TLS_CERT": cert, "OTTLA_TLS_KEY": key, "OTTLA_TLS_MIN_VERSION": "1.3",
	})
	assert.True(t, strings.HasPrefix(s.url, "https://"), s.url)
	s.must(t, "", "cluster", "create", "default", "--num-brokers", "1", "--ca", ca.PEM)
	s.must(t, "", "topic", "create", "t", "--ca", ca.PEM)
	at := s.kafkaAddress(t)
	write := func(o ...kgo.Opt) error {
		c, err := kgo.NewClient(append(o, kgo.SeedBrokers(at), kgo.DefaultProduceTopic("t"), kgo.RecordDeliveryTimeout(time.Minute))...)
		require.NoError(t, err)
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return c.ProduceSync(ctx, kgo.StringRecord("over TLS")).FirstErr()
	}
	require.NoError(t, write(kgo.DialTLSConfig(ca.Client(""))))
	assert.Contains(t, s.must(t, "", "consume", "t", "--values", "--max-records", "1", "--ca", ca.PEM), "over TLS")

	shut := func(o ...kgo.Opt) {
		c, err := kgo.NewClient(append(o, kgo.SeedBrokers(at), kgo.RetryTimeout(time.Nanosecond), kgo.RequestRetries(0))...)
		require.NoError(t, err)
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.Error(t, c.Ping(ctx))
		require.NoError(t, ctx.Err(), "it is refused, not left waiting")
	}
	shut()
	shut(kgo.DialTLSConfig(certstest.New(t).Client("")))
}
