package level

// The levels that this program can work at.
const (
	// Oldest is the level of programs that know nothing of levels, and say none.
	Oldest = 1
	// Newest is the greatest level that this program offers.
	Newest = 4
)

// Feature is something that is used only from a level on, because it writes what programs
// below that cannot read.
type Feature struct {
	Level int
	Name  string // in a sentence: "work queues need level 2"
}

// The features.
var (
	Queues = Feature{2, "work queues"}
	Moves  = Feature{2, "moves of live brokers"}
	// Placements are the numbers of partitions that a topic has had lately, by which
	// partitions are asked for requests that come again. Below the level they are not kept:
	// a request that comes again after partitions were added is taken for a new one.
	Placements = Feature{2, "numbers of partitions that a topic has had"}
	// Seals are the keys with which clusters seal cursors. Below the level cursors have a
	// checksum only.
	Seals    = Feature{2, "seals of cursors"}
	Restores = Feature{2, "topics that are restored from a backup"}
	// KafkaRequests are the requests before the newest one that a partition knows of
	// Kafka's idempotent producers. Below the level they are forgotten where a table of
	// producers is written down: a repetition of one is refused then, not recognized.
	KafkaRequests = Feature{2, "earlier requests of Kafka's producers"}
	// Seats are what streams of groups have at their coordinator between two polls.
	Seats = Feature{2, "streams that stay at their group"}
	// Rotations are tokens with two secrets.
	Rotations = Feature{2, "rotations of tokens"}
	// HashedKeys are tables that have hashes of Idempotency-Keys. Below the level partitions
	// remember fewer keys, as they write them out.
	HashedKeys = Feature{2, "hashes of idempotency keys"}
	// Endings are pages of how the records of queues ended. Below the level queues remember
	// fewer, in one record for each partition.
	Endings = Feature{3, "pages of how records of queues ended"}
	// Scram are keys of tokens for SCRAM. Below the level tokens are made without, and are
	// shown by PLAIN only.
	Scram = Feature{4, "keys of tokens for SCRAM"}
	// PollNames are commits that say which poll has made them. Below the level only the
	// coordinator that made it knows that, while it leads.
	PollNames = Feature{4, "commits that name their poll"}
)

// Formats says from which level on each thing is written: actions of records by topic,
// files of a data directory and tables by name and version, kinds of what nodes ask each
// other.
var Formats = map[string]int{
	"metadata CREATE_CLUSTER": 1, "metadata REGISTER_BROKER": 1, "metadata CREATE_TOPIC": 1, "metadata ALTER_TOPIC": 1,
	"metadata DELETE_TOPIC": 1, "metadata FORGET_TOPIC": 1, "metadata PLACE_PARTITION": 1, "metadata REPLACE_REPLICA": 1,
	"metadata REPLICA_REPLACED": 1, "metadata CONSUMER_IDS": 1, "metadata CREATE_TOKEN": 1, "metadata ALTER_TOKEN": 1,
	"metadata DELETE_TOKEN": 1, "metadata CREATE_SOURCE": 1, "metadata ALTER_SOURCE": 1, "metadata DELETE_SOURCE": 1,
	"metadata CREATE_SUBSCRIPTION": 1, "metadata ALTER_SUBSCRIPTION": 1, "metadata DELETE_SUBSCRIPTION": 1,
	"metadata REGISTER_NODE": 1, "metadata PLACE_CLUSTER": 1, "metadata FORGET_CLUSTER": 1, "metadata NOTE_CLUSTERS": 1, "metadata NOTE_TASK": 1,
	"metadata REMOVE_BROKER": 2, "metadata RESIZE_CLUSTER": 2, "metadata RAISE_LEVEL": 2, "metadata SEAL_CURSORS": 2,

	"offsets COMMIT": 1, "offsets DROP_OFFSET": 1, "offsets JOIN": 1, "offsets RESUBSCRIBE": 1, "offsets UPDATE_MEMBER": 1, "offsets LEAVE": 1,
	"offsets EXPIRE": 1, "offsets SEEK": 1, "offsets TOPIC_DELETED": 1, "offsets DELETE_GROUP": 1, "offsets EXPIRE_GROUP": 1,
	"offsets QUEUE": 2, "offsets QUEUE_POSITION": 2, "offsets QUEUE_ENDS": 2, "offsets QUEUE_RECORDS": 2, "offsets QUEUE_DROP": 2,
	"offsets QUEUE_ENDS_PAGE": 3,

	"producer table 1": 1, "producer table 2": 2, "producer table 3": 2,
	"cluster.json 1": 1, "cluster.json 2": 1, "cluster.json 3": 1, "cluster.json 4": 2, "ledger.json 1": 1, "ledger.json 2": 1,
	"log 1": 1, "entry 1": 1,
}
