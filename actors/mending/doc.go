// Package mending puts a damaged replica right with entries out of other copies of
// it. A goroutine of the replica's broker finds out which entries are missing and asks
// the other brokers for them. Each answers out of its own files, also if its replica
// is damaged itself, and out of directories that it has put aside. Which entries may
// be taken is decided by logfile.Mending.
package mending
