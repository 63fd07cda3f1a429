package front

import (
	"time"

	"ottla/protocol"
)

// Placed says by which number of partitions a request with an id is to be placed. A
// topic that has got more partitions lately is asked whether its partitions know the
// request as it would have been placed before: by the first number by which one does.
// Without such a partition it is new, or known by the number that the topic has.
//
// All leaders that a request could have been at have to answer. If one does not, nobody
// can say that the request is new.
func (rs *recordService) Placed(t *protocol.Topic, q *protocol.PlaceQuestion, deadline time.Time) (by protocol.Placement, again bool, err *protocol.Error) {
	now := t.Placement()
	if !t.MayBeRetry(rs.opt.Millis()) {
		return now, false, nil
	}
	other := now
	for _, before := range t.Earlier {
		known, err := rs.knownAs(t, q, before, deadline)
		switch {
		case err != nil:
			return now, false, err
		case known == protocol.KnownSame:
			return before, true, nil
		case known == protocol.KnownOther: // the partition refuses it, if it is not known by another number
			other, again = before, true
		}
	}
	return other, again, nil
}
