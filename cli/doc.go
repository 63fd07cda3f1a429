// Package cli has the subcommands of the ottla binary: serve, which puts the
// broker together, the commands that talk to a server, and those that work on
// log files while no server runs.
//
// Invariants:
//
//   - Exit status 0 means done, 1 failed, 2 wrong usage. An error is printed
//     once, by run, as "ottla: ..." on standard error.
//   - Standard output carries results only, without colours or progress. With
//     --output json it is the server's answer, number for number, including
//     fields that this version does not know.
//   - Servers are asked through package client, which has the one HTTP client,
//     the one error type and the one retry loop. The file api.go words its errors,
//     and retries.go decides when waiting is of use.
//   - A command touches the process (streams, signals, environment) only through
//     the type process, so that tests can replace all of it.
//   - The garbage collector does not run below 48 MiB of heap unless GOGC is set
//     (heapfloor.go). Go collects at twice of what is kept, and a broker under load
//     keeps 10 MB: some 20 collections a second, whose assists fall on requests.
//   - The listener opens before the data directory is touched, so that a port in use is
//     reported without side effects; requests get 503 "starting" until recovery is
//     through.
//   - On SIGTERM the HTTP server stops before the node does, so that no request is in
//     flight when the logs are closed. Where brokers are at other nodes, leadership is
//     handed over before the logs are closed.
//   - Only this package reads settings; all others are given options.
package cli
