// Package actors is the broker: every cluster, broker, partition replica and
// consumer group is an actor whose mailbox serializes what happens to it.
//
//	Node                     one per process: clusters, shutdown order
//	├ Disk                   one per filesystem: writes and syncs of many logs at once (package disk)
//	└ Cluster                one per cluster: applies __cluster_metadata, publishes the routing table
//	  └ Broker               one per broker: its directory, ledger, ticks, stop and start
//	    └ Partition          one per replica: its raft group's member, leader or follower, parked waiters
//	      └ Group            one per consumer group, below the leader of its __consumer_offsets partition
//
// Each actor is a thin shell around a plain struct that can be tested without
// an actor system: replica.Replica, catalog.State, group.State,
// datadir.Introductions. State in memory is a function of a replicated log:
// Decide returns records, Apply is the only mutator.
//
// Clients' requests do not pass through Node, Cluster or Broker. Package front
// looks a partition's leader up in an immutable routing table, sends to its
// mailbox, and reads committed records by itself from a published view.
//
//	node*.go                            the process: clusters made, deleted, started again
//	cluster*.go                         metadata operations, brokers, introductions, what damaged replicas need
//	broker*.go                          the broker's directory, its replicas, their mending
//	partition*.go                       the shell of a replica: elections, quiet, closing, faults
//	coordinator/                        groups: records kept, one actor per group
//
// Invariants, and what is not obvious:
//
//   - Receive never waits for a file or a network, except while an actor opens or
//     ends. What takes longer runs on a goroutine and comes back as a message.
//   - actor.Terminated may arrive before messages that the child sent earlier. So a
//     parent learns why a child ended only afterwards, from such a message.
//   - The actor library drops what is left in the mailbox of an actor that ends, and
//     suspends the mailbox of one that panics: those of package supervise answer both.
//   - A broker's replica waits for its directory as long as another topic's, of the
//     same name, ends there. A topic deleted meanwhile is taken out of those that
//     wait: made afterwards, nobody would ever remove it.
//   - A broker reads entries out of its files for another one that mends. Meanwhile
//     the replica may open the files again, and recovery may cut their tail. So
//     openings are counted (mending.Copy), and what was read across one is not sent:
//     entries from before it and an anchor from after it would pass for one log.
//   - A damaged replica is replaced under a new id while a majority of the others
//     runs, and mended under its old one when it does not (package remedy): a
//     successor needs a majority to be decided on, and its files are needed then.
//   - A topic that is deleted closes its logs while writes to them are queued. These
//     fail with logfile.ErrClosed, which is no failure of the disk: it is neither
//     logged nor counted, or deleting topics would wake people.
//   - A failed sync is no panic and is never retried: it stops the replica. A disk that
//     does not end a round in time is stall.go's.
package actors
