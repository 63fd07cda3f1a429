package protocol

import (
	"sync"
	"sync/atomic"
	"time"
)

// TokenQuota bounds what a token, or an address without one, uses of one server; 0: no
// bound.
type TokenQuota struct {
	ProduceBytes int64 `json:"produce_bytes_per_s,omitempty"` // of request bodies, decompressed
	FetchBytes   int64 `json:"fetch_bytes_per_s,omitempty"`   // of records in answers and streams
	Requests     int64 `json:"requests_per_s,omitempty"`
	Connections  int64 `json:"connections,omitempty"` // open at the same time
	Partitions   int64 `json:"partitions,omitempty"`  // of the topics that it has created
}

// Usage is what a token, or an address, has used. It outlives changes of the token. The methods of a
// nil Usage allow everything.
type Usage struct {
	quota       atomic.Pointer[TokenQuota]
	produce     Bucket
	fetch       Bucket
	requests    Bucket
	connections atomic.Int64
}

// NewUsage returns the usage of a token that has used nothing.
func NewUsage(q TokenQuota) *Usage {
	u := &Usage{}
	u.SetQuota(q)
	return u
}

// SetQuota sets other bounds. What was used stays used.
func (u *Usage) SetQuota(q TokenQuota) { u.quota.Store(&q) }

// Request counts a request. Error: quota_exceeded.
func (u *Usage) Request(now time.Time) *Error {
	if u == nil {
		return nil
	}
	limit := u.quota.Load().Requests
	return exceeded("requests_per_s", limit, u.requests.Take(1, limit, time.Second, now))
}

// Produce counts the bytes of a request with records. Error: quota_exceeded, and then
// they are not counted.
func (u *Usage) Produce(bytes int, now time.Time) *Error {
	if u == nil {
		return nil
	}
	limit := u.quota.Load().ProduceBytes
	return exceeded("produce_bytes_per_s", limit, u.produce.Take(int64(bytes), limit, time.Second, now))
}

// Produced counts bytes that were not known before: what a request has had when it was
// decompressed. The next ones wait for them.
func (u *Usage) Produced(bytes int, now time.Time) {
	if u == nil {
		return
	}
	if limit := u.quota.Load().ProduceBytes; limit > 0 {
		u.produce.Charge(int64(bytes), limit, time.Second, now)
	}
}

// Fetch reports whether records may be read. Error: quota_exceeded.
func (u *Usage) Fetch(now time.Time) *Error {
	return exceeded("fetch_bytes_per_s", u.fetchLimit(), u.FetchWait(now))
}

// FetchWait is how long to wait until records may be read.
func (u *Usage) FetchWait(now time.Time) time.Duration {
	if limit := u.fetchLimit(); limit > 0 {
		return u.fetch.Take(0, limit, time.Second, now)
	}
	return 0
}

func (u *Usage) fetchLimit() int64 {
	if u == nil {
		return 0
	}
	return u.quota.Load().FetchBytes
}

// Fetched counts bytes of records that were read, however many they are: what goes
// beyond the quota is waited for by the next read.
func (u *Usage) Fetched(bytes int, now time.Time) {
	if limit := u.fetchLimit(); limit > 0 {
		u.fetch.Charge(int64(bytes), limit, time.Second, now)
	}
}

// Connect counts a connection, until Disconnect. Error: quota_exceeded, and then it is
// not counted.
func (u *Usage) Connect() *Error {
	if u == nil {
		return nil
	}
	limit := u.quota.Load().Connections
	if n := u.connections.Add(1); limit > 0 && n > limit {
		u.connections.Add(-1)
		return exceeded("connections", limit, time.Second)
	}
	return nil
}

// Disconnect ends a connection that Connect has counted.
func (u *Usage) Disconnect() {
	if u != nil {
		u.connections.Add(-1)
	}
}

// Partitions is how many partitions the topics of the token may have; 0: any number.
func (u *Usage) Partitions() int64 {
	if u == nil {
		return 0
	}
	return u.quota.Load().Partitions
}

// exceeded is the error for a quota that is used up for that long; nil if it is not.
func exceeded(quota string, limit int64, wait time.Duration) *Error {
	if wait <= 0 {
		return nil
	}
	e := Errorf(CodeQuotaExceeded, "the quota %s of %d is used up", quota, limit).
		With("quota", quota).With("limit", limit)
	e.RetryAfter = wait
	return e
}

// Bucket holds what may be used: limit flows in within each period, and more than
// that does not stay. It may go into debt. The zero Bucket is full.
type Bucket struct {
	mu    sync.Mutex
	level float64   // negative: debt
	at    time.Time // of level; zero: it is full
}

// Take takes n if they are there, or if the bucket is full, and otherwise returns how
// long to wait for that. A limit of 0 is none.
func (b *Bucket) Take(n, limit int64, per time.Duration, now time.Time) (wait time.Duration) {
	if limit <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flow(limit, per, now)
	if need := float64(min(max(n, 1), limit)); b.level < need {
		return max(time.Millisecond, time.Duration((need-b.level)/float64(limit)*float64(per)))
	}
	b.level -= float64(n)
	return 0
}

// Charge takes n whether they are there or not.
func (b *Bucket) Charge(n, limit int64, per time.Duration, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flow(limit, per, now)
	b.level -= float64(n)
}

func (b *Bucket) flow(limit int64, per time.Duration, now time.Time) {
	most := float64(limit)
	if b.at.IsZero() {
		b.level, b.at = most, now
		return
	}
	if since := now.Sub(b.at); since > 0 {
		b.level, b.at = b.level+since.Seconds()/per.Seconds()*most, now
	}
	b.level = min(b.level, most)
}
