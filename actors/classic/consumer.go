package classic

import (
	"encoding/binary"

	"ottla/protocol"
)

// ConsumerProtocol is the protocol type of consumers. What members of other types,
// such as Connect's workers, say of themselves only they can read.
const ConsumerProtocol = "consumer"

// fields reads what consumers write to one another; it stops at the first thing that
// cannot be read.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) take(n int) []byte {
	if f.bad || n < 0 || n > len(f.b) {
		f.bad = true
		return nil
	}
	out := f.b[:n]
	f.b = f.b[n:]
	return out
}

func (f *fields) int32() int {
	if b := f.take(4); b != nil {
		return int(int32(binary.BigEndian.Uint32(b)))
	}
	return 0
}

func (f *fields) string() string {
	if b := f.take(2); b != nil {
		return string(f.take(int(int16(binary.BigEndian.Uint16(b)))))
	}
	return ""
}

// SubscribedTopics are the topics in a consumer's metadata.
func SubscribedTopics(metadata []byte) []string {
	topics := []string{}
	f := fields{b: metadata}
	f.take(2) // version
	for n := f.int32(); n > 0; n-- {
		if name := f.string(); !f.bad {
			topics = append(topics, name)
			continue
		}
		break
	}
	return topics
}

// AssignedPartitions are the partitions in a consumer's assignment.
func AssignedPartitions(assignment []byte) []protocol.TopicPartition {
	list := []protocol.TopicPartition{}
	f := fields{b: assignment}
	f.take(2) // version
	// A count may be anything; the loop ends with the bytes.
	for topics := f.int32(); topics > 0 && !f.bad; topics-- {
		name := f.string()
		for n := f.int32(); n > 0 && !f.bad; n-- {
			if p := f.int32(); !f.bad {
				list = append(list, protocol.TopicPartition{Topic: name, Partition: p})
			}
		}
	}
	return list
}
