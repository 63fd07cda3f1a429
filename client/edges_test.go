package client_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
)

// transport answers requests without a network, so that time can be simulated.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// hang is a server that accepts a request and never answers.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func answer(body string) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func over(t *testing.T, f transport) *client.Client {
	c, err := client.New("http://none.invalid", client.WithHTTPClient(&http.Client{Transport: f}))
	require.NoError(t, err)
	return c
}

func TestSendDoesNotLingerWhileMemoryIsUsedUp(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		f, c := newFake(t)
		p := newProducer(t, c, client.ProducerConfig{
			Linger: time.Hour, BatchBytes: 100, BatchRecords: 1 << 30, MaxInFlightBytes: 1, Lanes: lanes,
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		for i := range 500 { // small ones cost more memory than they fill of a batch
			require.NoError(t, p.Send(ctx, client.Record{Key: number(i).Value}, nil))
		}
		cancel()
		require.NoError(t, p.Close(t.Context()))
		assert.Len(t, f.values(), 500)
	}
}

func TestTrySendRefusesInsteadOfWaiting(t *testing.T) {
	f, c := newFake(t)
	f.block = make(chan struct{})
	p := newProducer(t, c, client.ProducerConfig{MaxInFlightBytes: 1, BatchBytes: 1000, Lanes: 1}) // raised to 2,000
	r := client.Record{Value: client.TextData(strings.Repeat("x", 500))}
	results := make(chan error, 4)
	done := func(_ client.Ack, err error) { results <- err }
	for range 3 {
		require.NoError(t, p.TrySend(r, done))
	}
	require.ErrorIs(t, p.TrySend(r, done), client.ErrFull)
	require.Error(t, p.TrySend(client.Record{Key: client.StringData("\xff")}, done), "what is no record is not called full")
	close(f.block)
	require.NoError(t, p.Flush(t.Context()))
	require.NoError(t, p.TrySend(r, done), "there is room again")
	require.NoError(t, p.Close(t.Context()))
	require.ErrorIs(t, p.TrySend(r, done), client.ErrClosed)
	require.Len(t, results, 4)
	assert.Len(t, f.values(), 4)
}

func TestSendTakesNothingOnceItsContextHasEnded(t *testing.T) {
	f, c := newFake(t)
	p := newProducer(t, c, client.ProducerConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.Send(ctx, number(1), nil), context.Canceled)
	require.NoError(t, p.Close(t.Context()))
	assert.Empty(t, f.values())
}

func TestProducerStartedAgainUnderItsIDIsNotTakenForARetry(t *testing.T) {
	f, c := newFake(t)
	for i := range 2 {
		p := newProducer(t, c, client.ProducerConfig{ProducerID: "shop", Lanes: 1})
		ack, err := p.SendSync(t.Context(), number(i))
		require.NoError(t, err)
		assert.False(t, ack.Duplicate)
		require.NoError(t, p.Close(t.Context()))
	}
	assert.Len(t, f.values(), 2)
}

func TestDeliveryTimeoutCountsFromSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		c := over(t, func(r *http.Request) (*http.Response, error) { requests++; return hang(r) })
		p := newProducer(t, c, client.ProducerConfig{BatchRecords: 1, Lanes: 1, DeliveryTimeout: time.Minute, RequestTimeout: time.Hour})
		start := time.Now()
		var futures []*client.Future
		for i := range 10 {
			f, err := p.SendFuture(t.Context(), number(i))
			require.NoError(t, err)
			futures = append(futures, f)
		}
		for i, f := range futures {
			_, err := f.Wait(t.Context())
			var gaveUp *client.DeliveryError
			require.ErrorAs(t, err, &gaveUp)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, i == 0, gaveUp.Unknown, "only the first was ever sent")
		}
		assert.Equal(t, time.Minute, time.Since(start))
		assert.Equal(t, 1, requests)
		require.NoError(t, p.Close(t.Context()))
	})
}

func TestCloseTellsOfRecordsThatItGaveUp(t *testing.T) {
	f, c := newFake(t)
	f.block = make(chan struct{})
	p := newProducer(t, c, client.ProducerConfig{BatchRecords: 1, Lanes: 1})
	for i := range 3 {
		require.NoError(t, p.Send(t.Context(), number(i), nil))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := p.Close(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "3 records were not written")
}

func TestAnswerThatPlacesTooFewRecordsLeavesTheOutcomeOpen(t *testing.T) {
	c := over(t, func(*http.Request) (*http.Response, error) {
		return answer(`{"committed":true,"partitions":[],"offsets":[]}`)
	})
	p := newProducer(t, c, client.ProducerConfig{})
	_, err := p.SendSync(t.Context(), number(1))
	var gaveUp *client.DeliveryError
	require.ErrorAs(t, err, &gaveUp)
	assert.True(t, gaveUp.Unknown)
}

func TestConsumerOutlivesAServerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		c := over(t, func(r *http.Request) (*http.Response, error) {
			if requests++; requests%2 == 1 {
				return hang(r)
			}
			return answer(strings.TrimPrefix(records("c1", "a"), "200 "))
		})
		consumer, err := c.NewConsumer(client.ConsumerConfig{Group: "g", Topics: []string{"t"}, MaxProcessing: time.Nanosecond})
		require.NoError(t, err)
		start := time.Now()
		batch, err := consumer.Poll(t.Context())
		require.NoError(t, err)
		require.Len(t, batch, 1)
		assert.Less(t, time.Since(start), time.Minute)
		require.ErrorIs(t, consumer.Close(t.Context()), context.DeadlineExceeded, "of leaving; the server will notice by itself")
		assert.Equal(t, 5, requests, "poll and commit twice, leave once")
	})
}

func TestConfigurationsThatMakeNoSenseAreRefused(t *testing.T) {
	c := over(t, hang)
	for _, cfg := range []client.ConsumerConfig{
		{SessionTimeout: time.Nanosecond},
		{SessionTimeout: -time.Second},
		{Wait: -1},
		{MaxRecords: -1},
		{MaxBytes: -1},
		{MaxProcessing: -1},
		{RetryBackoff: -1},
		{RetryBackoff: math.MaxInt64},
		{ConsumerID: -1},
	} {
		cfg.Group, cfg.Topics = "g", []string{"t"}
		_, err := c.NewConsumer(cfg)
		require.Error(t, err, "%+v", cfg)
	}
	for _, cfg := range []client.ProducerConfig{
		{Lanes: 1 << 40}, {RetryBackoff: math.MaxInt64}, {BatchBytes: math.MaxInt64},
	} {
		_, err := c.NewProducer("t", cfg)
		require.Error(t, err, "%+v", cfg)
	}
}

func TestFutureEndsWithItsContext(t *testing.T) {
	f, c := newFake(t)
	f.block = make(chan struct{})
	p := newProducer(t, c, client.ProducerConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	future, err := p.SendFuture(t.Context(), number(1))
	require.NoError(t, err)
	_, err = future.Wait(ctx)
	require.True(t, errors.Is(err, context.Canceled))
	close(f.block)
	_, err = future.Wait(t.Context())
	require.NoError(t, err)
}
