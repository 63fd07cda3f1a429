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

// DeliveryError is given for records whose request was given up.
type DeliveryError struct {
	Tries   int
	Unknown bool  // some try may have written the records
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

// maxBackoff is the longest pause between two tries, in first pauses.
const maxBackoff = 50

// delivery is one batch on its way. All tries carry one sequence, so that the
// server knows a repetition when it sees one.
type delivery struct {
	lane    *lane
	batch   *batch
	tries   int
	unknown bool  // some try may have had an effect
	err     error // of records without a place of their own
	some    bool  // the last answer was a partial one: places tell which
	tainted bool  // the transport may still be reading the body of a broken try
}

// result is what became of one record.
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
	// Committed, and nobody asked where.
	return result{}
}

// run ends when every record's fate is known.
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

// repeat sends a request until it succeeds or is final; true: it was refused.
func (d *delivery) repeat(r *request, deadline time.Time) (refused bool) {
	l := d.lane
	d.tries, d.unknown = 0, false
	for {
		if d.tries == 0 && !time.Now().Before(deadline) { // it stood behind others too long
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
			d.unknown = true // some are written, and a later answer may not say which
		case err == nil:
			d.err = nil
			return false
		case !retriable(err):
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

// refuse is the end of a request that will not succeed. An earlier try of it
// may have done something all the same.
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

// backoff doubles from try to try, with some chance in it so that producers
// do not come back all at once. A server with too much to do is given the time
// it asks for; one that changes leaders is usually done much sooner.
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

// isGarbled reports whether the server did answer, but not what was asked.
func isGarbled(err error) bool {
	var e *Error
	return !errors.As(err, &e)
}

func isBroken(err error) bool {
	var broken *TransportError
	return errors.As(err, &broken)
}

// mayHaveHappened reports whether a failed try can have written something.
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
