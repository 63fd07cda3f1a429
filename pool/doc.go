// Package pool keeps buffers that are used again, for whoever has many of them that do not
// live long: batches of a log, what is read of one, lines of requests, answers.
package pool
