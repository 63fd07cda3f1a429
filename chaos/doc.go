// Command chaos kills a broker again and again while producers with ids and
// group consumers work on it, and then holds the history of their calls
// against the final log: nothing acknowledged may be missing, changed or there
// twice, nothing that was refused may be there, offsets never step back, and
// all brokers' files hold the same records.
//
// It starts the binary by itself, on a data directory of its own, prints its
// seed, and ends with status 1 if anything was violated:
//
//	go run ./chaos -binary bin/ottla -kills 100
package main
