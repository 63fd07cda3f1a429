// Package http is the front end: it speaks HTTP to clients and asks the
// broker through the Backend interface. It has the name of the standard
// library's package; only package cli imports it.
//
// routes.go is the whole API as one table. Package conn reads requests and calls
// the client of their connection (client.go). A request passes through call.go
// (request id, recovery), a handler parses it (fields.go, values.go), asks the Backend and
// answers (answer.go, errors.go). Nothing of fasthttp's RequestCtx outlives its handler:
// whatever the Backend gets is memory of its own.
//
// Four types share the work, and each can reach less than the one above it:
//
//   - call (call.go, answer.go): who asks, the Backend as that one may use it, the answer.
//   - produce (produce*.go, idempotence.go, webhook.go, sources.go): a call that writes
//     records, whatever the form of its body.
//   - request (request.go, body.go, compress.go, accept.go): what was sent, within the
//     byte budget. It knows neither the Backend nor the answer.
//   - decoder (record.go, headers.go): records out of JSON. It knows limits, and nothing of
//     HTTP.
//
// # Not obvious
//
//   - A refused batch names the record that is to blame: as details.line, from 1, when
//     a line cannot be read, and as details.record, from 0, when it cannot be placed or
//     is too large for its topic. A client that looks at only one of them fails the
//     neighbours of that record with it.
//   - An integer in a JSON body may be written 3.0 or 3e0: JSON Schema says so, and
//     therefore the contract.
//   - A Content-Length that was only announced is not paid for from the byte budget.
//     Otherwise sixteen clients that send nothing keep all producers out for the read
//     timeout. Large bodies never get the last eighth of the budget, which small ones
//     have (body.go).
//   - A zstd frame of nine bytes makes its decoder allocate the window that it asks for,
//     and a later frame may ask for more than the first. So decoders come in two classes,
//     and what a class may allocate is paid for (unzstd).
//   - A client that asks for 16 MiB and does not read them holds them until the write
//     timeout. So all answers share a budget (budget.Answers): bytes are taken when there
//     is something to read and before anything is committed, and given back when the
//     answer was sent. What is taken is what the index says the read will bring, and not
//     the most that was asked for: that would cut answers short with 64 quick readers. A
//     stream writes small pieces, because fasthttp's pipe holds four of them uncounted.
//   - Records are rendered while they are read (protocol.RecordSink), out of buffers that
//     are used again as soon as the read returns (logfile.View.Each), into one that goes
//     back when the answer was sent (rendering.go). The garbage of copies in between took
//     three quarters of the time of a fetch. Streams keep their records, because the cursors
//     come after them.
//   - A read that waits has left its handler. A suspension holds what the answer needs;
//     neither the call nor fasthttp's request may be used by what waits.
//   - A stream of a group is a row of polls with one number: a later poll is newer than all of them,
//     and ends the stream. When each poll took a number of its own, two streams of one
//     consumer ended each other's polls without a pause, and took all the CPU.
//   - A stream of a topic (topicstream.go) sends its position with the first comment: who
//     breaks off before the first record, and asked for the latest, would else miss what
//     comes in between.
package http
