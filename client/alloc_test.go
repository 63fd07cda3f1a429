//go:build !race

// Under the race detector pools drop items at random, which allocates.

package client_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/client"
)

// instant answers every request at once, without a network.
type instant struct{}

func (instant) RoundTrip(r *http.Request) (*http.Response, error) {
	_, err := io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`{"committed":true}`))}, err
}

func instantProducer(t testing.TB, cfg client.ProducerConfig) *client.Producer {
	c, err := client.New("http://none.invalid", client.WithHTTPClient(&http.Client{Transport: instant{}}))
	require.NoError(t, err)
	return newProducer(t, c, cfg)
}

var event = client.Record{Key: client.StringData("user-42"), Value: client.JSONData([]byte(`{"post":7,"text":"the quick brown fox"}`))}

func TestSendAllocatesNothingPerRecord(t *testing.T) {
	p := instantProducer(t, client.ProducerConfig{})
	const records = 20000
	send := func() {
		for range records {
			if err := p.Send(t.Context(), event, nil); err != nil {
				t.Fatal(err)
			}
		}
		require.NoError(t, p.Flush(t.Context()))
	}
	send()
	// The remaining allocations are a few per request.
	assert.Less(t, testing.AllocsPerRun(3, send)/records, 0.2)
}

func BenchmarkProducerSend(b *testing.B) {
	for _, c := range []struct {
		name string
		how  client.Compression
	}{{"none", client.NoCompression}, {"gzip", client.Gzip}, {"zstd", client.Zstd}} {
		b.Run("compression="+c.name, func(b *testing.B) {
			p := instantProducer(b, client.ProducerConfig{Compression: c.how})
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Send(b.Context(), event, nil); err != nil {
					b.Fatal(err)
				}
			}
			require.NoError(b, p.Flush(b.Context()))
		})
	}
}
