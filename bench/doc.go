// Package bench measures a broker over HTTP, as a client sees it.
//
// A workload ([Workloads]) drives a broker for a while and yields
// measurements: rates, latencies in HDR histograms, and the course of both over
// time. A closed loop sends the next request when the previous one is answered.
// An open loop sends at a given rate whatever happens, and measures latency from
// the time when a request was due, so that a broker that stalls cannot hide it
// by slowing its load down (coordinated omission).
//
// The load generator shares the machine with the broker, so it is kept light:
// requests are rendered in advance, answers are scanned and not parsed, and on
// Linux one thread serves all connections from an epoll loop. [Run] starts its
// own broker unless it is given one, and a bare echo server, which shows what
// HTTP alone costs on that machine.
//
// Invariants:
//
//   - Every answer is checked; one that is not the expected one counts as an
//     error, never as a fast request.
//   - What happens during the warm-up is in no figure, and requests that were
//     due and not sent are reported.
//   - A run uses topics that no other run has used, and its own broker's data
//     directory is removed at the end.
package bench
