// Package routing says who leads which partition, and what a leader can be
// asked.
//
// A Directory lists the clusters, a Cluster has a Table of topics, and each
// partition of a topic is a cell (Partition) that says who leads it now. The
// tables are immutable snapshots behind atomic pointers: every request reads
// them, and none waits for an actor to do so. Who leads changes more often than
// topics do, so it is a cell of its own in the table.
//
// Leader is the port to a replica that leads: everything that is asked of one
// goes through it, so that a leader in another process can stand behind it. The
// messages in this package are all that travels that way.
package routing
