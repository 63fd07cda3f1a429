// Command chaos injects faults into a broker while producers with ids, consumer
// groups and readers work on it, and then checks the history of their calls
// against the final logs. It starts the binary itself, on a data directory of its
// own, prints its seed and the command that repeats it, and ends with status 1 if
// a promise was broken. A campaign that is not possible on the machine (no root,
// no loop device) says so and ends with status 0:
//
//	go run ./chaos -binary bin/ottla -campaign mix -rounds 30
//	go run ./chaos -list
//	go run ./chaos -sum bin/chaos.jsonl
//
// # Campaigns
//
// A campaign is a list of faults, one of which is injected in each round:
//
//	kill      kill -9
//	power     a power cut: what was not synced is lost
//	pause     the process is stopped for up to 5 s and goes on
//	full      the disk is full for a while, also across a kill and a start
//	sync      syncs fail or take long, for one broker or all, up to a power cut
//	damage    bits and blocks of log files are damaged, in one copy or in all; kill -9
//	dirs      the directory of a broker is deleted, or two are swapped; kill -9
//	outdated  the directory of a broker is replaced by an older copy; kill -9
//	brokers   brokers are stopped and started through the API
//	storm     members of groups leave, sleep and join all the time; brokers and the process are stopped in order
//	wide      with a topic of many partitions, whose logs are opened and synced together: power cuts and kill -9, again and again while it starts, with syncs that fail meanwhile; a disk that fails for good
//	brief     the faults that are over soon, each as likely as the others, for a short run
//	mix       all faults but damage in all copies and outdated directories
//
// These run on a fleet of several processes (-nodes), with clients that move from node to
// node, whose links all go by way of a relay:
//
//	nodes     one node, most or all are killed, one right after the other; nodes are stopped for up to 10 s and go on; one loses power while another stands still or is killed
//	split     links are cut, one way or both, around a node, between halves, but for a bridge or a ring; they flap, are slow, are reset
//	roll      all nodes are stopped in order and started again, in turn
//	disk1     the syncs of one node hang for seconds, are slow, or fail, and the node is then killed; the others must serve meanwhile
//	clock     the clock of one node is set by seconds, hours or years, jumps, or is wrong from its start on; another node is killed meanwhile
//	old       directories of nodes are restored from older copies, one or two at once, exchanged, or wiped; a broker's directory is wiped
//	backup    a topic is backed up, and restored into another cluster, while nodes are killed and links cut
//	netns     nodes are in network namespaces, and the kernel drops what goes one way, between two, to one, or a cable is pulled; a node is killed
//	mixed     nodes change to another version of the broker (-before) and back, one or all, in order or killed; nodes are killed and stopped, a pair is cut; in the end all run the newer one, and the level is raised
//	grow      of a fleet with a node more: nodes are decommissioned, which is called off or not, lost and replaced, and join anew; brokers are rebalanced, clusters grown and shrunk; meanwhile nodes are killed and links cut
//	found     fleets are founded while nodes are killed and lose their disks: one fleet comes of it or none, never two
//
// With -kafka clients of franz-go produce to, read and consume the same topics beside
// those of HTTP, in a group of their own and in one that consumers of HTTP want, too: of
// fleets in nodes, split and roll.
//
// # What the checker knows
//
// It does not trust the broker: it knows what clients sent and what they were
// answered, reads the final logs through the API, and reads the files of every
// broker without the broker's help. The kinds of violations are:
//
//	lost, moved        an acknowledged record is missing, or at another offset
//	phantom            a record that was refused with outcome none is in the log
//	duplicate, ghost   a record is there twice, or in a topic made after its own was deleted
//	gap                offsets of a partition do not follow each other
//	diverged           the files of a broker differ from the log
//	inconsistent       one offset gave two values
//	stale read         an acknowledged record could not be read afterwards, or a read showed an end that is older than
//	                   what was acknowledged when it began; in a fleet, 300 ms before it began
//	two fleets         the nodes of one list of seeds have written down different fleets
//	skipped, twice     a group missed a record, or was given one twice with automatic commits
//	two owners         two members got records of one partition in one generation
//	given again        a queue gave a record that was acknowledged, or made it a dead letter
//	two workers        a queue gave a record before the deadline of another delivery
//	order              a queue with order by key gave a record before an earlier one of its key
//	stale              a cursor of an old generation was accepted
//	offset             committed offsets did not behave like registers (package offsetcheck)
//	damaged            a file in use is damaged in the end, though everything was scrubbed; or a backup is
//	clock              a deadline was not that of the time at which a record was given, or a node did not say that its clock is wrong
//	leaders            two replicas led in one term, as nodes have logged it
//	level              a node did not know the level of its fleet in the end
//	stuck              the broker did not serve again within a minute
//	answer, admin      an answer contradicts itself, or an administrative request failed
//	unreadable         a log could not be read in the end
package main
