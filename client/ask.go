package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"
)

// askPause is the time between two tries of an Ask.
const askPause = 200 * time.Millisecond

// Requester sends requests for which a Client has no method, as a Client does.
type Requester interface {
	DoWith(ctx context.Context, method, path string, query url.Values, headers map[string]string, body []byte) (json.RawMessage, error)
}

// Ask is a request that may be repeated: the same once more has no second effect.
type Ask struct {
	Method, Path string // the path is escaped, and begins with a slash
	Query        url.Values
	Headers      map[string]string
	Body         any // encoded as JSON, unless it is []byte; nil: there is none

	// Patience is how long the request is sent again, five times a second, while its errors
	// are Retriable. 0: it is sent once.
	Patience time.Duration
	// Final, unless nil, says which errors end it at once although they are Retriable.
	Final func(error) bool
}

// Send sends the request until it is answered, and decodes the answer into reply, which may
// be nil. Errors: that of the last try; that of ctx, if it ends between two of them;
// ErrGarbled.
func (a *Ask) Send(ctx context.Context, to Requester, reply any) error {
	body, encoded := a.Body.([]byte)
	if a.Body != nil && !encoded {
		var err error
		if body, err = json.Marshal(a.Body); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	deadline := time.Now().Add(a.Patience)
	for {
		answer, err := to.DoWith(ctx, a.Method, a.Path, a.Query, a.Headers, body)
		if err == nil {
			return a.decode(answer, reply)
		}
		final := a.Final != nil && a.Final(err)
		if final || !Retriable(err) || ctx.Err() != nil || !time.Now().Before(deadline) {
			return err
		}
		if err := pauseFor(ctx, askPause); err != nil {
			return err
		}
	}
}

func (a *Ask) decode(answer json.RawMessage, reply any) error {
	if reply == nil {
		return nil
	}
	if err := json.Unmarshal(answer, reply); err != nil {
		return fmt.Errorf("%w, to %s %s: %w", ErrGarbled, a.Method, a.Path, err)
	}
	return nil
}

// pauseFor waits, unless ctx ends.
func pauseFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
