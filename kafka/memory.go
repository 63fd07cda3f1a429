package kafka

import (
	"io"
	"sync"
	"time"

	"ottla/http/budget"

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

// memory is what the request that is being answered holds.
type memory struct {
	requests *budget.Budget  // of all connections
	done     <-chan struct{} // closed when the server ends
	held     int64           // bytes of it
	body     *[]byte         // the request, from bodies
}

// hold takes n bytes more for the request, and waits for them for that long; false if
// they do not come.
func (m *memory) hold(n int64, patience time.Duration) bool {
	if m.tryHold(n) {
		return true
	}
	for until := time.Now().Add(patience); time.Now().Before(until); {
		select {
		case <-m.done:
			return false
		case <-time.After(budgetWait):
		}
		if m.tryHold(n) {
			return true
		}
	}
	return false
}

func (m *memory) tryHold(n int64) bool {
	ok := false
	if m.held+n <= firstBytes {
		ok = m.requests.Take(n)
	} else {
		ok = m.requests.TakeOpen(m.held, n)
	}
	if ok {
		m.held += n
	}
	return ok
}

// keep gives back what the request has beyond n bytes.
func (m *memory) keep(n int64) {
	if m.held > n {
		m.requests.Give(m.held - n)
		m.held = n
	}
}

// giveBack ends a request.
func (m *memory) giveBack() {
	m.keep(0)
	if m.body != nil {
		if cap(*m.body) <= keptBody {
			bodies.Put(m.body)
		}
		m.body = nil
	}
}

// read reads a request of that size. The bytes are valid until giveBack.
func (m *memory) read(r io.Reader, size int, patience time.Duration) ([]byte, bool) {
	m.body = bodies.Get().(*[]byte)
	b, taken := (*m.body)[:0], 0
	for len(b) < size {
		grown := min(max(2*taken, firstBytes), size)
		if !m.hold(int64(grown-taken), patience) {
			return nil, false
		}
		if taken = grown; cap(b) < taken {
			b = append(make([]byte, 0, taken), b...)
			*m.body = b
		}
		if _, err := io.ReadFull(r, b[len(b):taken]); err != nil {
			return nil, false
		}
		b = b[:taken]
	}
	return b, true
}

// decode reads a request that may take decodedFactor times its size while it is
// answered.
func (m *memory) decode(req kmsg.Request, b []byte, patience time.Duration) bool {
	n := min(int64(len(b))*(decodedFactor-1), m.requests.Limit()/4)
	return m.hold(n, patience) && req.ReadFrom(b) == nil
}
