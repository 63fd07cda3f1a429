// Package bench measures a broker over HTTP, as a client sees it.
//
// A workload ([Workloads]) drives a broker for a while and yields
// measurements: rates, latencies in HDR histograms, and how both went over
// time. A closed loop sends the next request when the answer to the last is
// there; an open loop sends at a given rate, come what may, and counts latency
// from the moment a request was due, so that a broker that stalls cannot hide
// it by slowing its load down (coordinated omission).
//
// The load generator shares the machine with the broker, so it is kept light:
// requests are rendered beforehand, answers are scanned and not parsed, and on
// Linux one thread serves all connections from an epoll loop. [Run] starts a
// broker of its own unless it is given one, always beside a bare echo server
// that says what HTTP alone costs there.
package bench
