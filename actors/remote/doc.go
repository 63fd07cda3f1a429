// Package remote puts leaders at other nodes behind routing.Leader, and answers other
// nodes for the leaders of this process: both ends of one conversation, in the forms of
// package wire.
//
// Invariants:
//
//   - A question is answered once: by the leader, or by a refusal. One that did not reach
//     the other node is refused as by a replica that does not lead, so that whoever asks
//     goes to the next leader; one that may have reached it has an unknown outcome.
//   - A waiter stays at the node that the client has asked; a proxy of it is parked at the
//     leader. A wake that is lost costs the time that the waiter waits, no record: whoever
//     waits looks again at its end.
//   - What is read at another node is what its leader has published, after it has made
//     sure that it is in touch with a majority (its routing.Leader refuses otherwise).
package remote
