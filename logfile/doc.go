// Package logfile keeps one replica's log in append-only text segments: it
// defines the bytes, writes, reads, recovers and verifies them. README.md in
// this directory is the specification. It imports the standard library only.
//
// Three goroutines meet here. The owner calls the methods of Log, which stage
// steps in a Batch and do no I/O. The disk goroutine executes batches in the
// order they were staged and syncs their files. Readers use View and
// FrameReader, immutable snapshots that are safe anywhere.
package logfile
