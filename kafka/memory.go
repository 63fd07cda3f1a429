package kafka

import (
	"io"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Requests take what they need of the memory that all faces share, before it is
// allocated and only as it is needed: what a client announces and does not send keeps
// nobody out.

const (
	firstBytes = 16 << 10 // of a request, that are taken at first; what is not more may take of the reserve
	keptBody   = 2 << 20  // bytes of the largest buffer that is used again

	// budgetWait is how often a request that finds no room in memory looks again; the
	// connection is not read meanwhile, as it is with a slow Kafka broker.
	budgetWait = 5 * time.Millisecond
	// roomWait is how long a batch waits for room to be decompressed in. Then its client
	// is told to send it again.
	roomWait = time.Second
)

// bodies are buffers of requests.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

// hold takes n bytes more for the request, and waits for them for that long; false if
// they do not come.
func (c *conn) hold(n int64, patience time.Duration) bool {
	if c.tryHold(n) {
		return true
	}
	for until := time.Now().Add(patience); time.Now().Before(until); {
		select {
		case <-c.srv.done:
			return false
		case <-time.After(budgetWait):
		}
		if c.tryHold(n) {
			return true
		}
	}
	return false
}

func (c *conn) tryHold(n int64) bool {
	ok := false
	if c.held+n <= firstBytes {
		ok = c.srv.o.Requests.Take(n)
	} else {
		ok = c.srv.o.Requests.TakeOpen(c.held, n)
	}
	if ok {
		c.held += n
	}
	return ok
}

// keep gives back what the request has beyond n bytes.
func (c *conn) keep(n int64) {
	if c.held > n {
		c.srv.o.Requests.Give(c.held - n)
		c.held = n
	}
}

// giveBack ends a request.
func (c *conn) giveBack() {
	c.keep(0)
	if c.body != nil {
		if cap(*c.body) <= keptBody {
			bodies.Put(c.body)
		}
		c.body = nil
	}
}

// read reads a request of that size. The bytes are valid until giveBack.
func (c *conn) read(size int) ([]byte, bool) {
	c.body = bodies.Get().(*[]byte)
	b, taken := (*c.body)[:0], 0
	for len(b) < size {
		grown := min(max(2*taken, firstBytes), size)
		if !c.hold(int64(grown-taken), c.srv.o.ReadTimeout) {
			return nil, false
		}
		if taken = grown; cap(b) < taken {
			b = append(make([]byte, 0, taken), b...)
			*c.body = b
		}
		if _, err := io.ReadFull(c.r, b[len(b):taken]); err != nil {
			return nil, false
		}
		b = b[:taken]
	}
	return b, true
}

// decode reads a request that may take decodedFactor times its size while it is
// answered.
func (c *conn) decode(req kmsg.Request, b []byte) bool {
	n := min(int64(len(b))*(decodedFactor-1), c.srv.o.Requests.Limit()/4)
	return c.hold(n, c.srv.o.ReadTimeout) && req.ReadFrom(b) == nil
}
