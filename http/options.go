package http

import (
	"log/slog"
	"net/url"
	"time"

	"ottla/http/access"
	"ottla/protocol"
)

// Options are the limits and defaults of the front end. A field that is zero gets
// the default that its comment gives.
type Options struct {
	Version string       // shown by /healthz
	Logger  *slog.Logger // default slog.Default()
	// Requests gets one record for each request. Its handler must not block. If it
	// is nil, requests are not logged.
	Requests *slog.Logger

	// Audit gets one record for each change that is asked for, whatever became of it.
	// Its handler may block. If it is nil, changes are not audited.
	Audit *slog.Logger

	// Access knows who may ask. If it is nil, nobody is asked who he is, and everybody
	// may do everything.
	Access *access.Registry
	// Addresses are the quotas of clients that show no token; nil: they have none.
	Addresses *access.Addresses
	// As returns the broker as somebody may use it; must be set with Access.
	As func(protocol.Access) Backend

	AutoCreateOnRead bool // auto_create of a poll that does not say

	// Hosts are the names and addresses by which the server may be asked, in Host,
	// besides loopback ones and the address of the connection. If it is nil, any
	// will do.
	Hosts []string
	// CORSOrigins are the origins ("https://app.example:8443") whose pages may ask
	// and read the answers. "*" stands for all.
	CORSOrigins []string

	// Millis is the time for records without a timestamp, for delays and for signatures, in
	// milliseconds since 1970. If it is nil, the system's clock says it.
	Millis func() int64

	// CheckTarget says why a subscription may not send to a URL; nil if it may, as far as
	// that is known before its name is resolved. If CheckTarget is nil, all URLs will do.
	CheckTarget func(*url.URL) error

	// Deliveries counts those of subscriptions; nil: there are none.
	Deliveries func() protocol.DeliveryCounts

	MaxBodyBytes     int   // of a request, after decompression too; 16 MiB
	MaxRecordBytes   int   // key, value and headers of one record; 1 MiB
	MaxHeaderBytes   int   // request line and headers; 32 KiB
	MaxBatchRecords  int   // records of one produce request; 10,000
	MaxJSONDepth     int   // levels of arrays and objects in a key or value, to protocol.MaxJSONDepth; 128
	MaxNumberDigits  int   // digits of a number in a key or value; 1,000
	MaxRecordHeaders int   // headers of one record; 100
	MaxHeaderName    int   // bytes of the name of a record's header; 256
	MaxRecords       int   // largest max_records of a read; 10,000
	MaxBytes         int   // largest max_bytes of a read; 16 MiB
	MaxInflightBytes int64 // request bodies in memory, over all connections; 256 MiB
	MaxResponseBytes int64 // answers in memory, over all connections; 128 MiB
	MaxClientBytes   int64 // likewise, of one token or address; half of MaxResponseBytes
	MaxParkedPolls   int   // reads that wait, and streams; 10,000
	MaxConnections   int   // open at the same time; should exceed MaxParkedPolls; 20,000

	MaxTimeout        time.Duration // largest timeout_ms; 30 s
	MaxSessionTimeout time.Duration // largest session_timeout_ms; 5 min
	RequestTimeout    time.Duration // within which a produce or a change answers; 10 s
	ReadTimeout       time.Duration // for a whole request to arrive; 30 s
	WriteTimeout      time.Duration // for an answer, or a piece of a stream, to be taken; 30 s
	StallTimeout      time.Duration // of an answer of which the client takes nothing, while MaxResponseBytes is scarce; 10 s
	IdleTimeout       time.Duration // between requests of a connection; 2 min
	Heartbeat         time.Duration // between the comments in a stream without records; 15 s

	DefaultPollTimeout    time.Duration // timeout_ms of GET /events; 5 s
	DefaultSessionTimeout time.Duration // session_timeout_ms; 10 s
	DefaultMaxRecords     int           // max_records; 500
	DefaultMaxBytes       int           // max_bytes; 1 MiB
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	orDefault(&o.MaxBodyBytes, 16<<20)
	orDefault(&o.MaxRecordBytes, 1<<20)
	orDefault(&o.MaxHeaderBytes, 32<<10)
	orDefault(&o.MaxBatchRecords, 10_000)
	orDefault(&o.MaxJSONDepth, 128)
	orDefault(&o.MaxNumberDigits, 1000)
	orDefault(&o.MaxRecordHeaders, 100)
	orDefault(&o.MaxHeaderName, 256)
	orDefault(&o.MaxRecords, 10_000)
	orDefault(&o.MaxBytes, 16<<20)
	orDefault(&o.MaxInflightBytes, 256<<20)
	orDefault(&o.MaxResponseBytes, 128<<20)
	orDefault(&o.MaxClientBytes, o.MaxResponseBytes/2)
	orDefault(&o.MaxParkedPolls, 10_000)
	orDefault(&o.MaxConnections, 20_000)
	orDefault(&o.MaxTimeout, 30*time.Second)
	orDefault(&o.MaxSessionTimeout, 5*time.Minute)
	orDefault(&o.RequestTimeout, 10*time.Second)
	orDefault(&o.ReadTimeout, 30*time.Second)
	orDefault(&o.WriteTimeout, 30*time.Second)
	orDefault(&o.StallTimeout, 10*time.Second)
	orDefault(&o.IdleTimeout, 2*time.Minute)
	orDefault(&o.Heartbeat, 15*time.Second)
	orDefault(&o.DefaultPollTimeout, 5*time.Second)
	orDefault(&o.DefaultSessionTimeout, 10*time.Second)
	orDefault(&o.DefaultMaxRecords, 500)
	orDefault(&o.DefaultMaxBytes, 1<<20)
	return o
}

// millis is the time in milliseconds since 1970, if the system's clock says now.
func (o *Options) millis(now time.Time) int64 {
	if o.Millis != nil {
		return o.Millis()
	}
	return now.UnixMilli()
}

func orDefault[T int | int64 | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}
