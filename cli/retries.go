package cli

import (
	"errors"
	"sync"
	"time"

	"ottla/client"
)

// retries decides whether the client repeats a failed request, and tells the user
// that it does. A server that was never reached is probably a wrong address, and
// one that does not answer like Ottla is another server: waiting for either is of
// no use.
type retries struct {
	api  *api
	note func(text string)
	// limit is how long to retry, from the first failure on.
	limit time.Duration

	mu      sync.Mutex
	reached bool      // the server answered once
	since   time.Time // of the first failure since the last success; zero: none
}

// again reports whether to repeat a request that failed with err.
func (r *retries) again(err error) bool {
	var lost *client.TransportError
	var said *client.Error
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.As(err, &said) && !isOurs(said), errors.As(err, &lost) && !r.reached:
		return false
	}
	r.reached = true
	if r.since.IsZero() {
		r.since = time.Now()
		r.note("retrying: " + r.api.reason(err))
	}
	return time.Since(r.since) < r.limit
}

// stop has nothing repeated any more.
func (r *retries) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = 0
}

// succeeded notes a success and reports whether there were failures before it.
func (r *retries) succeeded() (recovered bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	recovered = !r.since.IsZero()
	r.reached, r.since = true, time.Time{}
	return recovered
}
