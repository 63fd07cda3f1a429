// Command demo shows the broker with real input: it produces 329 GitHub webhook
// events, consumes them, kills the server with SIGKILL, restarts it, reads
// everything again, and greps a log file in use. It exits with status 1 at the
// first result that is not what the broker promises. With -fleet it shows three
// nodes, one of which is lost with its disk; with -serve-fleet it keeps three running.
//
// It uses nothing but net/http, so it is also an example of a client in plain
// Go; and the data directory that it works on is its own and removed at the end.
package main
