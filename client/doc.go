// Package client talks to an Ottla server over HTTP.
//
// A [Client] has a method for each call of the API that programs need, and
// [Client.Do] for all others. A [Stream] follows a topic without a group. Two types
// build on a Client:
//
//   - [Producer] gathers records into batches, optionally compresses them, and
//     repeats failed requests without writing a record twice;
//   - [Consumer] reads as a member of a group, at least once: a batch counts as
//     processed when the next one is asked for.
//
// Everything is safe for concurrent use unless its documentation says otherwise,
// and every call ends when its context does. An error that the server reports is
// an [*Error], whose code [HasCode] compares; a request without an answer is a
// [*TransportError]; an answer that no Ottla server would write wraps
// [ErrGarbled].
//
// Invariants:
//
//   - A record is reported as written only if the server says so in an answer
//     that was read completely.
//   - A request of a Producer is repeated with the sequence of its first try, and
//     each lane has one request in flight: the server can tell a repetition.
//   - A Consumer never commits a position behind which it was given no records,
//     and never one that its caller has not asked to commit.
//   - A producer's id with the epoch of its former life is that former life: its
//     first sequence would be answered as a repetition, and the batch not written.
//     So an epoch that is not given is the time.
//   - Records that linger hold the memory that Send waits for. So nothing lingers
//     while somebody waits; but a lane that is busy goes on gathering, or full
//     memory would make batches of one.
//   - The package imports the standard library, compression and package protocol
//     only, so that importing it does not import the broker.
package client
