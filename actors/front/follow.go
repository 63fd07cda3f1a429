package front

import (
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// How long an answer of a leader is waited for before the question is put
// again: after it was withdrawn, to whoever leads then, and else to itself,
// for an actor below it may have died with the question. Everything that is
// asked in this way may be asked twice.
const (
	withdrawnPatience = 50 * time.Millisecond
	unansweredLeader  = 3 * time.Second
)

// awaitAnswer waits for the answer of the replica that led a partition when it
// was asked, as long as it is worth it; false if there is none.
func awaitAnswer[T any](route *routing.Partition, ref *routing.Leadership, slot protocol.Future[T], asked, deadline time.Time) (T, bool) {
	until := minTime(deadline, asked.Add(unansweredLeader))
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	for {
		leader, changed := route.Current()
		if leader != ref {
			// What ends in order answers everybody first.
			return slot.Wait(minTime(until, time.Now().Add(withdrawnPatience)))
		}
		select {
		case answer := <-slot.C():
			return answer, true
		case <-changed:
		case <-t.C:
			return slot.Wait(time.Now())
		}
	}
}

// askLeader puts a question to a partition's leader, and to the next one when
// it does not lead, ends, or cannot tell what became of it. failed takes the
// error out of an answer. Errors: no_leader when there was none for
// routing.FailoverPatience; outcome_unknown. Once a question has gone unanswered or
// was answered so, the outcome of any further error is unknown.
func askLeader[T any](fr *Front, route *routing.Partition, deadline time.Time,
	ask func(*routing.Leadership, protocol.Future[T]), failed func(T) *protocol.Error,
) (T, *protocol.Error) {
	ref := route.Leader()
	slot := protocol.NewFuture[T]()
	if ref != nil {
		ask(ref, slot)
	}
	return askLeaderFrom(fr, route, ref, slot, time.Now(), deadline, ask, failed)
}

// askLeaderFrom is askLeader when ref, unless there was none, has been asked
// already and answers in slot.
func askLeaderFrom[T any](fr *Front, route *routing.Partition, ref *routing.Leadership, slot protocol.Future[T], asked, deadline time.Time,
	ask func(*routing.Leadership, protocol.Future[T]), failed func(T) *protocol.Error,
) (T, *protocol.Error) {
	var none T
	var patience time.Time // set when trouble begins
	unclear := false
	for {
		if ref != nil {
			answer, ok := awaitAnswer(route, ref, slot, asked, deadline)
			switch err := failed(answer); {
			case !ok, err != nil && err.Outcome == protocol.OutcomeUnknown:
				unclear, patience = true, time.Time{}
			case err == nil || err.Code != protocol.CodeNoLeader:
				return answer, unclearly(err, unclear)
			}
		}
		if patience.IsZero() {
			patience = minTime(deadline, time.Now().Add(routing.FailoverPatience))
		}
		if ref = fr.nextLeader(route, ref, patience); ref == nil {
			return none, unclearly(protocol.ErrNotLeader, unclear)
		}
		slot, asked = protocol.NewFuture[T](), time.Now()
		ask(ref, slot)
	}
}

// unclearly is an error after an attempt whose outcome is unknown.
func unclearly(err *protocol.Error, unclear bool) *protocol.Error {
	switch {
	case err == nil || !unclear:
		return err
	case err.Code == protocol.CodeNoLeader:
		return protocol.Unknownf("nobody confirmed it in time")
	}
	return err.WithOutcome(protocol.OutcomeUnknown)
}
