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
	Gzip                      // for servers behind proxies that look inside
	Zstd                      // less work and smaller
)

// ProducerConfig says how a Producer gathers and sends. Zero fields mean the
// defaults given.
type ProducerConfig struct {
	Cluster string // needed where several clusters have the topic

	// Linger is how long a record waits for others before its batch is sent.
	// With 0 a batch leaves as soon as its lane is idle: what arrives during
	// one request makes the next batch, which under load is linger enough.
	Linger time.Duration

	BatchBytes   int // a batch is full at that size, before compression; default 1 MiB; the server's limit is 16 MiB
	BatchRecords int // or at that many records; default 5,000; the server's limit is 10,000

	// MaxInFlightBytes bounds the records in memory, those on their way
	// included. When they are used up Send waits, TrySend refuses, and nothing
	// lingers. Default 32 MiB, at least two batches for every lane.
	MaxInFlightBytes int64

	// Lanes send side by side, each one request at a time; records of one key
	// keep to one lane, which keeps their order. Default 4, at most 1,024.
	Lanes int

	Compression Compression

	// ProducerID names the producer to the server. Of two with the same id the
	// server refuses the one with the lower Epoch (stale_epoch), so that one
	// believed dead writes nothing behind its successor's back. Two with the
	// same id and Epoch are taken for one, and records get lost: an Epoch that
	// is set must grow with every start. Default: a random id, and the time.
	ProducerID string
	Epoch      int64

	RequestTimeout time.Duration // of one try; default 30 s

	// DeliveryTimeout is how long after its first record's Send, and Linger,
	// a batch is given up. Default 2 minutes. A server knows retries for 10 minutes;
	// with more than that, a record may be written twice after an outage.
	DeliveryTimeout time.Duration

	// StopOnError has a lane send nothing after a batch that was not written: what
	// was handed over later fails with the same error. Without it a record that
	// the server refuses is left out and all others are written. With one lane,
	// what is written is then, a partition that fails alone aside, everything up
	// to some record and nothing after it.
	StopOnError bool

	// Retry, unless nil, is asked before a request that failed with err is sent
	// again; false gives it up. It is called from the lanes' goroutines and must
	// not block.
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

// Bounds of what makes sense, far from where sums and products overflow.
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
