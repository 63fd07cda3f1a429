package replica

import "ottla/protocol"

// A linearizable read has to see everything that was committed anywhere when it
// was asked for. The leader cannot know that from its own log: another replica
// may lead already. So a majority confirms, after the read was asked for, that
// this replica still leads, and says what is committed; the read is answered
// when the replica has applied that much.

// pendingRead is one linearizable read.
type pendingRead struct {
	request   uint64 // the first request for confirmation that was made after the read
	confirmed bool
	index     uint64 // when confirmed: answered once this entry is applied
	done      func(*protocol.Error)
}

// readQueue holds the reads that are not answered, oldest first, and numbers
// the requests for confirmation.
type readQueue struct {
	requests uint64 // made so far
	waiting  []pendingRead
}

// add takes a read. The next request for confirmation is the first that counts
// for it.
func (q *readQueue) add(done func(*protocol.Error)) {
	q.waiting = append(q.waiting, pendingRead{request: q.requests + 1, done: done})
}

// nextRequest numbers a request for confirmation that is about to be made.
func (q *readQueue) nextRequest() uint64 {
	q.requests++
	return q.requests
}

// confirm notes that a majority confirmed a request, and which entry was the
// last committed one then. That holds for every read that was asked for before
// the request was made.
func (q *readQueue) confirm(request, index uint64) {
	for i := range q.waiting {
		if rd := &q.waiting[i]; !rd.confirmed && rd.request <= request {
			rd.confirmed, rd.index = true, index
		}
	}
}

// unconfirmed reports whether a read waits for a majority.
func (q *readQueue) unconfirmed() bool {
	for i := range q.waiting {
		if !q.waiting[i].confirmed {
			return true
		}
	}
	return false
}

// answer answers the reads that are satisfied by having applied that much.
func (q *readQueue) answer(applied uint64) {
	kept := q.waiting[:0]
	for _, rd := range q.waiting {
		if rd.confirmed && rd.index <= applied {
			rd.done(nil)
			continue
		}
		kept = append(kept, rd)
	}
	q.waiting = kept
}

// fail answers all reads with err.
func (q *readQueue) fail(err *protocol.Error) {
	for i := range q.waiting {
		q.waiting[i].done(err)
	}
	q.waiting = nil
}
