// Package actors is the broker: every cluster, broker, partition replica and
// consumer group is an actor whose mailbox serializes what happens to it.
//
//	Node                     one per process: clusters, shutdown order
//	├ Disk                   one per filesystem: writes and syncs, coalesced
//	└ Cluster                one per cluster: applies __cluster_metadata, publishes the routing table
//	  └ Broker               one per broker: its directory, ledger, ticks, stop and start
//	    └ Partition          one per replica: RawNode and logfile.Log, leader or follower, parked waiters
//	      └ Group            one per consumer group, below the leader of its __consumer_offsets partition
//
// Each actor is a thin shell around a plain struct that can be tested without
// an actor system: replica (raft and log), disk, catalog.State,
// group.State. State in memory is a pure function of a replicated log: decide
// returns records, apply is the only mutator.
//
// The front end does not pass through Node, Cluster or Broker: it looks up the
// leader in an immutable routing snapshot and sends to its mailbox, and it
// reads committed records by itself from a published logfile.View.
package actors
