// Package mirror copies topics of a Kafka cluster into a running Ottla cluster: records
// over Kafka's protocol on one side, and over the HTTP API on the other.
//
// A partition is copied into the partition of the same number, in order. Each record gets
// one header more, OffsetHeader, with the offset that it has at the source. It is written
// together with the record, so it cannot be ahead of the records or behind them: it says
// where to go on, whenever and however an earlier mirror ended, and which offset of the
// copy stands for a committed offset of the source, also where the source's offsets have
// gaps.
//
// Invariants:
//
//   - The position in a partition is the header of its last record, and nothing else. A
//     partition whose last record has none is somebody else's, and is not written to.
//   - A request has the partition's own Producer-Id, and a sequence that follows from the
//     last record of the copy, behind which it is to be written. A request of a mirror that
//     was killed, which arrives only after its successor has read the position, has the
//     same one: one of the two is a repetition for the server, and is not written. Whoever
//     wrote, an answer that says duplicate has the position read again.
//   - Groups are moved forward only, and not while they have members: who reads the
//     copy already is not disturbed.
package mirror
