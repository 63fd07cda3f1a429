// Package logfile keeps one replica's log in append-only text segments: it
// defines the bytes, writes, reads, recovers, compacts, verifies and mends them.
// README.md in this directory is the specification. Package logfile imports the
// standard library and mutate only.
//
// It is used from three sides. The owner of a log, one goroutine at a time, calls
// the methods of Log, which stage steps in a Batch and do no I/O unless they say
// so. The disk goroutine executes the batches in the order in which they were
// staged and syncs their files. Readers use View and FrameReader, immutable
// snapshots that are safe on any goroutine.
package logfile
