package client

import (
	"errors"
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

	BatchBytes   int // a batch is full at that size, before compression; default 1 MiB
	BatchRecords int // or at that many records; default 5,000; the server's limit is 10,000

	// MaxInFlightBytes bounds the records in memory, those on their way
	// included; Send waits when they are used up. Default 32 MiB, at least
	// two batches for every lane.
	MaxInFlightBytes int64

	// Lanes send side by side, each one request at a time; records of one key
	// keep to one lane, which keeps their order. Default 4.
	Lanes int

	Compression Compression

	// ProducerID makes retries across restarts recognizable, together with an
	// Epoch that grows with every start. Default: a random id. A server ends
	// what an older epoch of the same id still sends.
	ProducerID string
	Epoch      int64

	RequestTimeout  time.Duration // of one try; default 30 s
	DeliveryTimeout time.Duration // from the first try until a batch is given up; default 2 minutes
	RetryBackoff    time.Duration // before the first retry, then doubled, to 50 times as much; default 20 ms
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

func (c *ProducerConfig) setDefaults() error {
	for _, n := range []int64{
		int64(c.Linger), int64(c.BatchBytes), int64(c.BatchRecords), c.MaxInFlightBytes, int64(c.Lanes), c.Epoch,
		int64(c.RequestTimeout), int64(c.DeliveryTimeout), int64(c.RetryBackoff),
	} {
		if n < 0 {
			return errors.New("client: a producer's configuration must not be negative")
		}
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
