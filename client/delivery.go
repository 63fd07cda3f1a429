package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"ottla/protocol"
)

// DeliveryError is the error of records whose request was given up.
type DeliveryError struct {
	Tries   int
	Unknown bool  // one of the tries may have written the records
	Err     error // of the last try
}

// Error implements error.
func (e *DeliveryError) Error() string {
	text := fmt.Sprintf("client: gave up after %d tries: %v", e.Tries, e.Err)
	if e.Unknown {
		text += " (the records may have been written)"
	}
	return text
}

// Unwrap is the error of the last try.
func (e *DeliveryError) Unwrap() error { return e.Err }

// maxBackoff is the longest pause between two tries, in multiples of the first.
const maxBackoff = 50

// delivery is one batch that is being sent. All tries of a request have the same
// sequence, so that the server recognizes repetitions.
type delivery struct {
	lane    *lane
	batch   *batch
	tries   int
	unknown bool  // one of the tries may have had an effect
	err     error // of records without an offset
	some    bool  // the last answer was partial: acks says which records were written
	tainted bool  // the transport may still read the body of a try that broke
}

// result is the result of one record.
type result struct {
	ack Ack
	err error
}

func (d *delivery) result(i int) result {
	acks := d.lane.wire.acks
	switch placed := i < len(acks) && acks[i].Offset >= 0; {
	case d.err != nil && (!d.some || !placed):
		return result{err: d.err}
	case placed:
		return result{ack: acks[i]}
	}
	// It is committed, and no offsets were asked for.
	return result{}
}

// run returns when the result of every record is known.
func (d *delivery) run() {
	l := d.lane
	deadline := d.batch.since.Add(l.p.cfg.Linger).Add(l.p.cfg.DeliveryTimeout)
	for len(d.batch.lines) > 0 {
		r, err := l.wire.begin(d.batch)
		if err != nil {
			d.err = err
			return
		}
		if !d.repeat(r, deadline) || l.p.cfg.StopOnError || !d.dropRefused() {
			return
		}
	}
}

// repeat sends a request until it succeeds, is refused (true) or is given up.
func (d *delivery) repeat(r *request, deadline time.Time) (refused bool) {
	l := d.lane
	d.tries, d.unknown = 0, false
	for {
		if d.tries == 0 && !time.Now().Before(deadline) { // it waited too long behind other batches
			d.giveUp(context.DeadlineExceeded)
			return false
		}
		if l.p.ctx.Err() != nil {
			d.giveUp(ErrClosed)
			return false
		}
		ctx, cancel := l.tryContext(deadline)
		part, err := l.wire.post(ctx, r, d.batch)
		cancel()
		d.tries++
		d.some = part != nil
		switch {
		case part != nil:
			err = part.worst
			if !part.retriable {
				d.refuse(err)
				return false
			}
			d.unknown = true // some records are written, and a later answer may not say which
		case err == nil:
			d.err = nil
			return false
		case !Retriable(err):
			d.unknown = d.unknown || isGarbled(err)
			d.refuse(err)
			return true
		case mayHaveHappened(err):
			d.unknown = true
		}
		d.tainted = d.tainted || isBroken(err)
		if retry := l.p.cfg.Retry; retry != nil && l.p.ctx.Err() == nil && !retry(err) {
			d.giveUp(err)
			return false
		}
		pause := d.backoff(err)
		if time.Now().Add(pause).After(deadline) || sleep(l.p.ctx, pause) != nil {
			d.giveUp(err)
			return false
		}
	}
}

// refuse ends a request that was refused. An earlier try may have had an effect
// all the same.
func (d *delivery) refuse(err error) {
	if d.err = err; d.unknown {
		d.err = &DeliveryError{Tries: d.tries, Unknown: true, Err: err}
	}
}

func (d *delivery) giveUp(err error) {
	if !d.some {
		d.lane.wire.acks = d.lane.wire.acks[:0]
	}
	d.err = &DeliveryError{Tries: d.tries, Unknown: d.unknown, Err: err}
}

// dropRefused looks whether one record alone is to blame for a refusal. It is
// told, and the rest can be sent, as a new request: true. Nothing of the
// refused one was written, unless an earlier try is in doubt.
func (d *delivery) dropRefused() bool {
	d.lane.wire.acks = d.lane.wire.acks[:0]
	var e *Error
	if d.unknown || !errors.As(d.err, &e) || e.Outcome != protocol.OutcomeNone {
		return false
	}
	at, ok := e.Record()
	if !ok || at >= len(d.batch.lines) {
		return false
	}
	if done := d.batch.cut(at); done != nil {
		done(Ack{}, e)
	} else {
		d.lane.p.noteFailed(1, e)
	}
	d.err = nil
	return true
}

// backoff is the pause before the next try. It doubles from try to try, and is
// random in part so that producers do not retry at the same time. Retry-After is
// honoured if the server is overloaded (429); a change of leaders usually takes
// much less time than that header says.
func (d *delivery) backoff(err error) time.Duration {
	first := d.lane.p.cfg.RetryBackoff
	pause := first << min(d.tries-1, 6)
	pause = min(pause, maxBackoff*first)
	pause = pause/2 + rand.N(pause/2+1)
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusTooManyRequests {
		pause = max(pause, e.RetryAfter)
	}
	return pause
}

// isGarbled reports whether err is none that the server reported.
func isGarbled(err error) bool {
	var e *Error
	return !errors.As(err, &e)
}

func isBroken(err error) bool {
	var broken *TransportError
	return errors.As(err, &broken)
}

// mayHaveHappened reports whether a failed try may have written something.
func mayHaveHappened(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Outcome != protocol.OutcomeNone
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return false
	}
	return true
}
