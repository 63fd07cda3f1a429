package protocol

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
)

// Offset is the position of a record in its partition, from 0, without gaps. It is
// not a raft index: an entry of the raft log has any number of records, also none.
type Offset int64

// ConsumerID identifies a consumer; positive. The default group of consumer
// 7 is "consumer-7".
type ConsumerID int64

// Generation counts the assignments of a consumer group, from 1.
type Generation int64

// DefaultCluster is the cluster that is created at first start. A request that
// names no cluster means it if no cluster has its topic.
const DefaultCluster = "default"

// Names of the internal topics of every cluster.
const (
	MetadataTopic = "__cluster_metadata"
	OffsetsTopic  = "__consumer_offsets"
)

// IsInternalTopic reports whether a topic is internal: clients may read it but not
// write to it.
func IsInternalTopic(name string) bool {
	return len(name) >= 2 && name[0] == '_' && name[1] == '_'
}

// MaxNameLength is the longest cluster, topic or group name, in bytes.
const MaxNameLength = 200

// ValidName reports whether s may name a cluster, topic or group: 1 to 200 of
// [A-Za-z0-9._-], and neither "." nor "..".
func ValidName(s string) bool {
	if s == "" || len(s) > MaxNameLength || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// NewID returns a random identity of 16 hex digits.
func NewID() string {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(fmt.Sprintf("BUG: no randomness: %v", err))
	}
	return hex.EncodeToString(b[:])
}

// KafkaProducerPrefix begins the ids of producers that speak Kafka's protocol, in
// front of the number that they were given. No Producer-Id begins so.
const KafkaProducerPrefix = "kafka:"

// IsKafkaProducer reports whether a producer numbers its records as Kafka's do.
func IsKafkaProducer(id string) bool { return strings.HasPrefix(id, KafkaProducerPrefix) }
