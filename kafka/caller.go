package kafka

import (
	"context"
	"time"

	"ottla/protocol"
)

// caller is who asks on a connection, and the broker as that one may use it.
type caller struct {
	srv      *Server
	client   *socket
	clientID string              // of the request that is being answered
	who      *protocol.Principal // nil: not asked for, or not known yet
	unnamed  *protocol.Usage     // of the client's address, as long as it shows no token; nil: it has no quota
	views    [3]Backend          // by right

	began      time.Time // when the request that is being answered has begun to come
	arrived    time.Time // when it was here
	unanswered bool      // it is one that the client wants no answer to
	clueless   bool      // it cannot be answered truly, and has no code to say so: the connection ends
	entered    string    // as whom it has passed the gate; empty: it has not
}

// unknown reports whether the client has still to say who he is.
func (ca *caller) unknown() bool { return ca.srv.o.Access != nil && ca.who == nil }

// view is the broker as the client may use it for what needs that right. When the client's
// token has ended it is a broker that refuses everything, so that handlers need not ask: what
// they answer is then the code that the request has for whom it is not allowed to.
func (ca *caller) view(do protocol.Right) Backend {
	if ca.srv.o.Access == nil {
		return ca.srv.b
	}
	if ca.ended() {
		return ca.srv.o.As(protocol.Access{Who: nobody, Do: do})
	}
	i := do >> 1 // of 1, 2 and 4
	if ca.views[i] == nil {
		ca.views[i] = ca.srv.o.As(protocol.Access{Who: ca.who, Do: do})
	}
	return ca.views[i]
}

// ended reports whether the client's token has ended: it was deleted, or its time is
// over. One that was changed goes on as it is now.
func (ca *caller) ended() bool {
	if !ca.who.Over(time.Now()) {
		return false
	}
	next := ca.srv.o.Access.Successor(ca.who)
	if next == nil {
		return true
	}
	ca.who, ca.views = next, [3]Backend{}
	return false
}

// nobody may do nothing: whose token has ended.
var nobody = protocol.NewPrincipal("", nil, nil)

// seeing is the broker as the client may use it to find out what a topic is like, which
// any right is enough for.
func (ca *caller) seeing(topic string) Backend {
	b := ca.view(protocol.RightRead) // who may have become somebody else
	for _, do := range []protocol.Right{protocol.RightRead, protocol.RightWrite, protocol.RightAdmin} {
		if ca.who.Topic(do, ca.srv.o.Cluster, topic) {
			return ca.view(do)
		}
	}
	return b
}

// writable finds a topic that may be written to.
func (ca *caller) writable(name string, deadline time.Time) (*protocol.Topic, *protocol.Error) {
	switch {
	case !protocol.ValidName(name):
		return nil, protocol.Errorf(protocol.CodeInvalidName, "a topic has 1 to %d of letters, digits, dot, underscore and dash", protocol.MaxNameLength)
	case protocol.IsInternalTopic(name):
		return nil, protocol.Errorf(protocol.CodeInternalTopic, "topic %q is written by the broker only", name)
	}
	return ca.view(protocol.RightWrite).LookupTopic(ca.srv.o.Cluster, name, false, deadline)
}

// gone reports whether the client has left, and with that asks the same again somewhere
// else. Who wants no answer may leave.
func (ca *caller) gone() bool { return !ca.unanswered && ca.client.gone() }

// pace waits until a quota lets the request through: a client that is too fast is not
// read, because clients do not all understand that they are asked to wait (throttle_time_ms,
// KIP-219), and some take an answer that is empty for that reason for a broken one. False: the
// client has left, or due, if it is not zero, has come.
func (ca *caller) pace(due time.Time, use func(u *protocol.Usage, now time.Time) *protocol.Error) bool {
	usage := ca.usage()
	if usage == nil {
		return true
	}
	for {
		now := time.Now()
		err := use(usage, now)
		switch {
		case err == nil:
			return true
		case !due.IsZero() && !now.Before(due), ca.gone():
			return false
		}
		select {
		case <-time.After(min(max(err.RetryAfter, 10*time.Millisecond), time.Second)):
		case <-ca.srv.done:
			return true
		case <-ca.who.Ended():
			return true
		}
	}
}

// usage is where what the client uses is counted; nil: it has no quota.
func (ca *caller) usage() *protocol.Usage {
	if ca.who == nil {
		return ca.unnamed
	}
	return ca.who.Usage()
}

// longAgo is how old a request is whose client may have left since.
const longAgo = time.Second

// enter waits for the request's turn until due, if its client has many others under way.
// Nothing is answered meanwhile, nor read, as in pace, which comes before: who is held
// back takes no part. False: the request must not be executed any more.
func (ca *caller) enter(due time.Time) bool {
	now := time.Now()
	if !now.Before(due) || now.Sub(ca.began) > longAgo && ca.gone() {
		return false
	}
	who := ca.who.Name()
	switch {
	case who == "":
		return true
	case !ca.srv.o.Gate.EnterWhile(who, now, due.Sub(now), ca.wanted):
		return false
	}
	ca.entered = who
	return true
}

// wanted reports whether a request that waits for its turn still matters.
func (ca *caller) wanted() bool {
	select {
	case <-ca.srv.done:
		return false
	case <-ca.who.Ended():
		return false
	default:
		return !ca.gone()
	}
}

// leave lets other requests of the client in: this one is answered, or only waits, which
// takes no part of the server.
func (ca *caller) leave() {
	if ca.entered != "" {
		ca.srv.o.Gate.Leave(ca.entered)
		ca.entered = ""
	}
}

// become makes the connection one of who's.
func (ca *caller) become(who *protocol.Principal) *protocol.Error {
	if err := who.Usage().Connect(); err != nil {
		return err
	}
	if ca.who != nil { // nobody's connections are bounded by the time that they may stay so
		ca.who.Usage().Disconnect()
	}
	ca.who, ca.views = who, [3]Backend{}
	return nil
}

// readable finds a topic that may be read, by its name or its id.
func (ca *caller) readable(name string, id [16]byte, byID bool) (*protocol.Topic, int16) {
	if byID {
		var known bool
		if name, known = ca.srv.ids.name(ca.srv, id); !known {
			return nil, errUnknownTopicID
		}
	}
	t, err := ca.view(protocol.RightRead).LookupTopic(ca.srv.o.Cluster, name, false, time.Time{})
	switch {
	case err != nil:
		return nil, topicError(err)
	case byID && !ca.srv.ids.is(t, id):
		return nil, errUnknownTopicID
	}
	return t, errNone
}

// deadline is when a change that may take so long, in milliseconds, is given up.
func (ca *caller) deadline(timeoutMs int32) time.Time {
	d := ca.srv.o.RequestTimeout
	if asked := time.Duration(timeoutMs) * time.Millisecond; asked > 0 && asked < d {
		d = asked
	}
	return time.Now().Add(d)
}

// timeout is the context of a change that may take so long, in milliseconds.
func (ca *caller) timeout(ms int32) (context.Context, context.CancelFunc) {
	return context.WithDeadline(context.Background(), ca.deadline(ms))
}
