// Package link connects the nodes of a fleet. It carries bytes in frames and
// knows nothing of what they mean.
//
// Each node dials each other one, once for each lane, and sends on the connections
// that it has dialed; an answer comes back on the connection of its call. So the
// fate of a call is that of one connection, and two nodes that dial each other at
// once have nothing to agree on.
//
// Invariants:
//
//   - A call is answered exactly once. Outcome none: no byte of it was handed to
//     the socket, here or at the node that relayed it. Unknown: it was handed over,
//     and then its connection or its time ended. Anything else is what the other
//     node's handler has answered.
//   - Nothing waits for room: a queue is bounded by bytes, and what does not fit
//     is refused at once.
//   - A length is held against its limit before anything is allocated for it, and
//     a body against its checksum before anybody sees it.
//   - A ping waits its turn on the control lane: its answer says that what was sent
//     on the lane before has arrived.
//   - A node that vouches for another one's ping does not call it down within
//     Timings.Fence afterwards (liveness.go says why). So whoever has the vouchers
//     of a majority, none older than Fence, knows that no majority has given it up.
package link
