// Package faultfs is a disk in memory for tests of package logfile. It fails when
// a test wants it to, stops at a given operation like the disk of a process that
// is killed, and forgets what was not synced like that of a machine that loses
// power: content, sizes and directory entries.
package faultfs
