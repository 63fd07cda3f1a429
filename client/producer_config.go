package client

import (
	"errors"
	"fmt"
	"time"
)

// Compression of request bodies.
type Compression int

// The ways to compress.
const (
	NoCompression Compression = iota
	Gzip                      // also understood by most proxies
	Zstd                      // smaller, for less CPU time
)

// ProducerConfig configures a Producer. Zero fields mean the stated defaults.
type ProducerConfig struct {
	Cluster string // needed where several clusters have the topic

	// Linger is how long a record waits for others before its batch is sent. With
	// 0 a batch is sent as soon as its lane is idle: the records that arrive during
	// one request make the next batch, which is enough under load.
	Linger time.Duration

	BatchBytes   int // a batch is full at that size, before compression; default 1 MiB; the server's limit is 16 MiB
	BatchRecords int // or at that many records; default 5,000; the server's limit is 10,000

	// MaxInFlightBytes bounds the records in memory, including those in flight.
	// When it is reached, Send waits, TrySend returns ErrFull, and no batch
	// lingers. Default 32 MiB, but at least two batches per lane.
	MaxInFlightBytes int64

	// Lanes is how many requests are sent in parallel. Records with the same key
	// use the same lane, which keeps their order. Default 4, at most 1,024.
	Lanes int

	Compression Compression

	// ProducerID identifies the producer to the server. If two producers have the
	// same id, the server refuses the one with the lower Epoch (stale_epoch), so
	// that an old instance that was believed dead cannot write any more. Two with
	// the same id and Epoch are taken for one, and records get lost: an Epoch that
	// is set must grow with every start. The default is a random id, and the time
	// as Epoch.
	ProducerID string
	Epoch      int64

	RequestTimeout time.Duration // of one try; default 30 s

	// DeliveryTimeout is how long after the Send of its first record, plus Linger,
	// a batch is given up. Default 2 minutes. A server recognizes retries for at
	// least 10 minutes; with a longer DeliveryTimeout a record may be written twice
	// after an outage.
	DeliveryTimeout time.Duration

	// StopOnError makes the producer send nothing after a batch that was not written:
	// later records fail with the same error. Without it, a record that the server
	// refuses is left out and all others are written. With StopOnError and one
	// lane, the records that are written are the first ones that were sent, unless
	// a batch fails on some partitions only; of other lanes, what is in flight then may
	// be written too.
	StopOnError bool

	// Retry, unless nil, is called before a request that failed with err is sent
	// again; if it returns false, the request is given up. It is called from
	// goroutines of the producer and must not block.
	Retry func(err error) bool

	RetryBackoff time.Duration // before the first retry, then doubled, to 50 times as much; default 20 ms
}

// Default values of a ProducerConfig.
const (
	defaultBatchBytes      = 1 << 20
	defaultBatchRecords    = 5000
	defaultInFlight        = 32 << 20
	defaultLanes           = 4
	defaultRequestTimeout  = 30 * time.Second
	defaultDeliveryTimeout = 2 * time.Minute
	defaultBackoff         = 20 * time.Millisecond
)

// Upper bounds, far below where sums and products overflow.
const (
	maxLanes        = 1024
	maxBatchBytes   = 1 << 30
	maxFirstBackoff = time.Hour
)

func (c *ProducerConfig) setDefaults() error {
	for _, n := range []int64{
		int64(c.Linger), int64(c.BatchBytes), int64(c.BatchRecords), c.MaxInFlightBytes, int64(c.Lanes), c.Epoch,
		int64(c.RequestTimeout), int64(c.DeliveryTimeout), int64(c.RetryBackoff),
	} {
		if n < 0 {
			return errors.New("client: a producer's configuration must not be negative")
		}
	}
	switch {
	case c.Lanes > maxLanes:
		return fmt.Errorf("client: lanes: %d are more than %d", c.Lanes, maxLanes)
	case c.BatchBytes > maxBatchBytes:
		return fmt.Errorf("client: batch bytes: %d are more than %d", c.BatchBytes, maxBatchBytes)
	case c.RetryBackoff > maxFirstBackoff:
		return fmt.Errorf("client: retry backoff: %s is more than %s", c.RetryBackoff, maxFirstBackoff)
	}
	orDefault(&c.BatchBytes, defaultBatchBytes)
	orDefault(&c.BatchRecords, defaultBatchRecords)
	orDefault(&c.Lanes, defaultLanes)
	orDefault(&c.MaxInFlightBytes, defaultInFlight)
	c.MaxInFlightBytes = max(c.MaxInFlightBytes, 2*int64(c.Lanes)*int64(c.BatchBytes))
	orDefault(&c.RequestTimeout, defaultRequestTimeout)
	orDefault(&c.DeliveryTimeout, defaultDeliveryTimeout)
	orDefault(&c.RetryBackoff, defaultBackoff)
	return nil
}

func orDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}
