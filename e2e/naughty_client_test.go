package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	ottla "ottla/client"
)

// The Go client as ways in and out of naughty values.

func (s *server) goClient() (*ottla.Client, context.Context) {
	s.t.Helper()
	c, err := ottla.New(s.base)
	require.NoError(s.t, err)
	ctx, cancel := context.WithTimeout(s.t.Context(), waitTimeout)
	s.t.Cleanup(func() {
		cancel()
		c.CloseIdleConnections()
	})
	return c, ctx
}

// data is the payload for the client, in the form for its kind.
func (p payload) data() ottla.Data {
	switch {
	case p.json:
		return ottla.JSONData([]byte(p.content))
	case utf8.ValidString(p.content):
		return ottla.TextData(p.content)
	}
	return ottla.BytesData([]byte(p.content))
}

func (p payload) clientRecord() ottla.Record {
	r := ottla.Record{Key: p.data(), Value: p.data()}
	if !p.json && utf8.ValidString(p.content) && len(p.content) < 1000 {
		r.Headers = map[string]string{"h": p.content, p.content: "x"}
	}
	return r
}

func sendWithClient(s *server, topic string, all []payload) {
	c, ctx := s.goClient()
	for _, p := range all {
		_, err := c.Produce(ctx, topic, p.clientRecord())
		require.NoError(s.t, err, p.name)
	}
}

// sendWithProducer sends batches, compressed, without waiting in between; over
// one lane, as the keys differ and the tests count on the order.
func sendWithProducer(s *server, topic string, all []payload) {
	c, ctx := s.goClient()
	producer, err := c.NewProducer(topic, ottla.ProducerConfig{Linger: 5 * time.Millisecond, Compression: ottla.Zstd, Lanes: 1})
	require.NoError(s.t, err)
	for _, p := range all {
		require.NoError(s.t, producer.Send(ctx, p.clientRecord(), func(_ ottla.Ack, err error) {
			assert.NoError(s.t, err, p.name)
		}), p.name)
	}
	require.NoError(s.t, producer.Close(ctx))
}

func fetchWithClient(s *server, topic string, n int) (got []cameBack) {
	c, ctx := s.goClient()
	for len(got) < n {
		reply, err := c.Fetch(ctx, topic, 0, ottla.FetchOptions{Offset: int64(len(got)), MaxBytes: 300_000})
		require.NoError(s.t, err)
		require.NotEmpty(s.t, reply.Messages)
		got = appendMessages(s.t, got, reply.Messages)
	}
	return got
}

func consumeWithClient(s *server, topic string, n int) (got []cameBack) {
	c, ctx := s.goClient()
	consumer, err := c.NewConsumer(ottla.ConsumerConfig{Group: "client-" + topic, Topics: []string{topic}, MaxRecords: 7})
	require.NoError(s.t, err)
	for len(got) < n {
		batch, err := consumer.Poll(ctx)
		require.NoError(s.t, err)
		got = appendMessages(s.t, got, batch)
	}
	require.NoError(s.t, consumer.Close(ctx))
	return got
}

// appendMessages appends what the client made of records, in the form in
// which the server sends them.
func appendMessages(t *testing.T, got []cameBack, messages []ottla.Message) []cameBack {
	t.Helper()
	for _, m := range messages {
		r := cameBack{}
		for name, d := range map[string]ottla.Data{"key": m.Key, "value": m.Value} {
			switch d.Kind() {
			case ottla.Null:
				r[name] = json.RawMessage("null")
			case ottla.JSON:
				r[name] = d.Bytes()
			default:
				r[name+"_base64"] = marshal(t, base64.StdEncoding.EncodeToString(d.Bytes()))
			}
		}
		r["headers"] = marshal(t, m.Headers)
		got = append(got, r)
	}
	return got
}

func marshal(t *testing.T, v any) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}
