// Package offsetcheck checks what clients saw of committed offsets against what
// Ottla promises of them: the offset of each (group, topic, partition) is a
// linearizable register. A read returns the latest acknowledged commit or a
// concurrent one, and a commit never decreases the offset. Porcupine searches for
// an order of all calls that explains all answers; if there is none, that is a
// violation.
//
// Any number of clients share one History. An operation is begun before its
// request is sent, and ended once, according to the answer. One that is never
// ended, because the answer was lost or said outcome unknown, may have happened at
// any time since, or never:
//
//	h := offsetcheck.New()
//	r := offsetcheck.Register{Group: "g", Topic: "t", Partition: 3}
//
//	op := h.Commit("client 1", r, 17)  // before POST /offset, or a poll with ack=
//	switch {                           // after it
//	case status == 200:                op.Acked()
//	case code == "offset_regression":  op.Behind(details.current)  // outcome none only
//	case outcome == "none":            op.Refused()
//	}                                  // else leave it: unknown
//
//	op = h.Read("client 2", r)         // before GET /offset
//	op.Returned(row.committed)         // after it; None if committed is null
//
//	err := h.Check(time.Minute)        // at the end, when all clients have stopped
//
// A request on several partitions is one operation for each of them, begun and
// ended together. Each request is an operation of its own, a retry too. When a
// group joins, the broker commits where it starts: record that as a commit, or join
// and read before the history begins and record the value as an acknowledged
// Commit. Offsets that automatic commits move are not known before the answer, so
// groups under test commit explicitly.
//
// What the checker knows: nothing of the broker, only the operations. It leaves out
// what cannot matter and ends calls of unknown outcome when they cannot matter any
// more (relevant, passed), which keeps the search short.
package offsetcheck
