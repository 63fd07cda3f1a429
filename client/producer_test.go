package client_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
	"ottla/protocol"
)

var fast = client.ProducerConfig{RetryBackoff: time.Millisecond}

func newProducer(t testing.TB, c *client.Client, cfg client.ProducerConfig) *client.Producer {
	p, err := c.NewProducer("liked", cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = p.Close(ctx)
	})
	return p
}

func number(i int) client.Record {
	return client.Record{Key: client.StringData("user-" + strconv.Itoa(i%7)), Value: client.JSONData([]byte(strconv.Itoa(i)))}
}

func TestProducerReportsEveryRecordsPlaceAndKeepsTheOrderOfKeys(t *testing.T) {
	for _, compression := range []client.Compression{client.NoCompression, client.Gzip, client.Zstd} {
		t.Run(fmt.Sprint(compression), func(t *testing.T) {
			f, c := newFake(t)
			p := newProducer(t, c, client.ProducerConfig{BatchRecords: 50, Lanes: 3, Compression: compression})
			const n = 2000
			var mu sync.Mutex
			places := map[client.Ack]int{}
			for i := range n {
				require.NoError(t, p.Send(t.Context(), number(i), func(ack client.Ack, err error) {
					mu.Lock()
					defer mu.Unlock()
					assert.NoError(t, err)
					places[ack] = i
				}))
			}
			require.NoError(t, p.Close(t.Context()))
			require.Len(t, places, n)
			last := map[string]int{}
			for partition := range f.log {
				for offset, rec := range f.log[partition] {
					i := places[client.Ack{Partition: partition, Offset: int64(offset)}]
					assert.Equal(t, strconv.Itoa(i), string(rec["value"]))
					key := string(rec["key"])
					assert.Less(t, last[key], i+1, "records of %s change places", key)
					last[key] = i + 1
				}
			}
		})
	}
}

func TestProducerWritesOnceThoughAnswersGetLost(t *testing.T) {
	f, c := newFake(t, lose, lose, refuse(503, "no_leader", ""), nil, lose)
	cfg := fast
	cfg.Lanes, cfg.BatchRecords, cfg.Linger = 1, 10, time.Hour
	p := newProducer(t, c, cfg)
	var duplicates int
	for i := range 30 {
		require.NoError(t, p.Send(t.Context(), number(i), func(ack client.Ack, err error) {
			assert.NoError(t, err)
			if ack.Duplicate {
				duplicates++
			}
		}))
	}
	require.NoError(t, p.Close(t.Context()))
	assert.Len(t, f.values(), 30)
	assert.Equal(t, 20, duplicates, "two of three batches were repeated")
}

func TestProducerGathersWhileItLingersAndFlushEndsThat(t *testing.T) {
	f, c := newFake(t)
	p := newProducer(t, c, client.ProducerConfig{Linger: time.Hour, Lanes: 1})
	for i := range 100 {
		require.NoError(t, p.Send(t.Context(), number(i), nil))
	}
	require.NoError(t, p.Flush(t.Context()))
	assert.Equal(t, 1, f.count())
	assert.Len(t, f.values(), 100)

	ack, err := newProducer(t, c, client.ProducerConfig{Linger: time.Millisecond}).SendSync(t.Context(), number(1))
	require.NoError(t, err, "the timer sends it")
	assert.NotEqual(t, client.Ack{}, ack)
}

func TestProducerSplitsAtBatchBytes(t *testing.T) {
	f, c := newFake(t)
	p := newProducer(t, c, client.ProducerConfig{Linger: time.Hour, Lanes: 1, BatchBytes: 100})
	r := client.Record{Value: client.StringData("0123456789012345678901234567890123456789")}
	for range 10 {
		require.NoError(t, p.Send(t.Context(), r, nil))
	}
	require.NoError(t, p.Flush(t.Context()))
	assert.Equal(t, 10, f.count(), "two do not fit")
}

func TestProducerTellsOfARecordThatIsRefusedAndWritesTheOthers(t *testing.T) {
	for _, where := range []string{`"line":2`, `"record":1`} {
		f, c := newFake(t, refuse(413, "record_too_large", `,"details":{"limit":3,`+where+`}`))
		p := newProducer(t, c, client.ProducerConfig{Linger: time.Hour, Lanes: 1})
		errs := make([]error, 3)
		for i := range errs {
			require.NoError(t, p.Send(t.Context(), number(i), func(_ client.Ack, err error) { errs[i] = err }))
		}
		require.NoError(t, p.Close(t.Context()), "whoever was told needs no second word")
		require.NoError(t, errs[0])
		require.NoError(t, errs[2])
		require.Error(t, errs[1])
		assert.True(t, client.HasCode(errs[1], protocol.Code{Number: 41301}))
		assert.ElementsMatch(t, []string{"0", "2"}, f.values())
	}
}

func TestProducerFailsForGoodWhenRefused(t *testing.T) {
	_, c := newFake(t, refuse(404, "topic_not_found", ""))
	p := newProducer(t, c, client.ProducerConfig{})
	_, err := p.SendSync(t.Context(), number(1))
	var e *client.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, protocol.OutcomeNone, e.Outcome)
	_, err = p.SendSync(t.Context(), number(2))
	require.NoError(t, err, "the next one is another matter")
}

func TestProducerIsNotMisledAboutTheRefusedLine(t *testing.T) {
	for _, where := range []string{
		`"line":0`, `"line":2`, `"line":-1`, `"line":1e300`, `"line":9223372036854775808`, `"line":1.5`, `"line":"1"`,
		`"record":1`, `"record":-1`, `"record":0.5`, `"record":null`,
	} {
		f, c := newFake(t, refuse(413, "record_too_large", `,"details":{`+where+`}`))
		p := newProducer(t, c, client.ProducerConfig{})
		_, err := p.SendSync(t.Context(), number(1))
		assert.True(t, client.HasCode(err, protocol.Code{Number: 41301}), where)
		assert.Equal(t, 1, f.count(), where)
	}
}

func TestProducerDoubtsARefusalAfterALostAnswer(t *testing.T) {
	f, c := newFake(t, lose, refuse(413, "record_too_large", `,"details":{"line":1}`))
	cfg := fast
	cfg.Lanes = 1
	p := newProducer(t, c, cfg)
	_, err := p.SendSync(t.Context(), number(1))
	var d *client.DeliveryError
	require.ErrorAs(t, err, &d)
	assert.True(t, d.Unknown)
	assert.Len(t, f.values(), 1)
}

func TestProducerRepeatsWhatPartlyFailed(t *testing.T) {
	partly := func(w http.ResponseWriter, _ func()) bool {
		w.WriteHeader(http.StatusMultiStatus)
		fmt.Fprint(w, `{"topic":"liked","committed":false,"count":1,"partitions":[{"partition":0,"base_offset":5,"count":1},`+
			`{"partition":1,"count":1,"error":{"error_code":50302,"code":"no_leader","message":"m","retriable":true,"outcome":"none"}}],`+
			`"offsets":[{"partition":0,"offset":5},{"partition":1,"offset":null}]}`)
		return true
	}
	f, c := newFake(t, partly)
	cfg := fast
	cfg.Lanes, cfg.Linger = 1, time.Hour
	p := newProducer(t, c, cfg)
	for i := range 2 {
		require.NoError(t, p.Send(t.Context(), number(i), func(_ client.Ack, err error) { assert.NoError(t, err) }))
	}
	require.NoError(t, p.Close(t.Context()))
	assert.Equal(t, 2, f.count())
}

func TestProducerTellsWhichRecordsOfAPartlyRefusedBatchFailed(t *testing.T) {
	partly := func(w http.ResponseWriter, _ func()) bool {
		w.WriteHeader(http.StatusMultiStatus)
		fmt.Fprint(w, `{"topic":"liked","committed":false,"count":1,"partitions":[{"partition":0,"base_offset":5,"count":1},`+
			`{"partition":1,"count":1,"error":{"error_code":50002,"code":"storage_failed","message":"m","retriable":false,"outcome":"unknown"}}],`+
			`"offsets":[{"partition":0,"offset":5},{"partition":1,"offset":null}]}`)
		return true
	}
	_, c := newFake(t, partly)
	p := newProducer(t, c, client.ProducerConfig{Lanes: 1, Linger: time.Hour})
	var acks [2]client.Ack
	var errs [2]error
	for i := range 2 {
		require.NoError(t, p.Send(t.Context(), number(i), func(a client.Ack, err error) { acks[i], errs[i] = a, err }))
	}
	require.NoError(t, p.Close(t.Context()))
	assert.NoError(t, errs[0])
	assert.Equal(t, client.Ack{Partition: 0, Offset: 5}, acks[0])
	assert.True(t, client.HasCode(errs[1], protocol.CodeStorageFailed))
}

func TestProducerGivesUpAfterDeliveryTimeout(t *testing.T) {
	f, c := newFake(t)
	f.block = make(chan struct{})
	p := newProducer(t, c, client.ProducerConfig{DeliveryTimeout: 20 * time.Millisecond, RetryBackoff: time.Millisecond, Lanes: 1})
	require.NoError(t, p.Send(t.Context(), number(1), nil))
	err := p.Flush(t.Context())
	var d *client.DeliveryError
	require.ErrorAs(t, err, &d, "Flush tells what nobody was told")
	assert.True(t, d.Unknown)
	require.NoError(t, p.Flush(t.Context()), "once")
}

func TestProducerBoundsItsMemory(t *testing.T) {
	f, c := newFake(t)
	f.block = make(chan struct{})
	p := newProducer(t, c, client.ProducerConfig{MaxInFlightBytes: 1, BatchBytes: 1000, Lanes: 1}) // raised to 2,000
	r := client.Record{Value: client.StringData(fmt.Sprintf("%500d", 1))}
	sent := 0
	for ctx := range deadlines(t) {
		if err := p.Send(ctx, r, nil); err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			break
		}
		sent++
	}
	assert.Equal(t, 3, sent, "a fourth of about 545 bytes does not fit into 2,000")
	close(f.block)
	require.NoError(t, p.Send(t.Context(), r, nil), "there is room again")
	require.NoError(t, p.Close(t.Context()))
}

// deadlines are contexts that end soon.
func deadlines(t *testing.T) func(func(context.Context) bool) {
	return func(yield func(context.Context) bool) {
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			more := yield(ctx)
			cancel()
			if !more {
				return
			}
		}
	}
}

func TestClosingWithoutPatienceFailsWhatIsLeft(t *testing.T) {
	f, c := newFake(t)
	f.block = make(chan struct{})
	p := newProducer(t, c, client.ProducerConfig{BatchRecords: 1, Lanes: 1})
	results := make(chan error, 3)
	for i := range 3 {
		require.NoError(t, p.Send(t.Context(), number(i), func(_ client.Ack, err error) { results <- err }))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.Close(ctx), context.Canceled)
	for range 3 {
		require.Error(t, <-results)
	}
	require.ErrorIs(t, p.Send(t.Context(), number(1), nil), client.ErrClosed)
}

func TestProducerRefusesWhatIsNoRecord(t *testing.T) {
	_, c := newFake(t)
	p := newProducer(t, c, client.ProducerConfig{})
	assert.Error(t, p.Send(t.Context(), client.Record{Value: client.JSONData([]byte(`{"a":`))}, nil))
	assert.Error(t, p.Send(t.Context(), client.Record{Key: client.StringData("\xff")}, nil))
	assert.Error(t, p.Send(t.Context(), client.Record{Headers: map[string]string{"name": "\xff"}}, nil))
	assert.Error(t, p.Send(t.Context(), client.Record{Headers: map[string]string{"\xff": "value"}}, nil))
	_, err := c.NewProducer("liked", client.ProducerConfig{Lanes: -1})
	assert.Error(t, err)
	_, err = c.NewProducer("liked", client.ProducerConfig{Compression: 9})
	assert.Error(t, err)
}
