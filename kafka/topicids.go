package kafka

import (
	"encoding/hex"
	"sync"
	"time"

	"ottla/protocol"
)

// topicIDs are the ids by which clients know topics (KIP-516): the cluster's and the topic's,
// eight bytes each. A topic that is made again has another one, so that a client which has not
// noticed does not read on in it where it was in the old one.
//
// Names is what was known at the last look, and may be stale: whoever finds a topic by it asks
// whether the topic has that id still (is). It is shared by all clients, so only what the server
// itself, or who may see everything, has seen goes in.
type topicIDs struct {
	mu      sync.Mutex
	cluster [8]byte
	names   map[[16]byte]string
	looked  time.Time // when all topics were looked at last because of an id that is not known
}

// lookAgain is how soon all topics are looked at again for another id that is not known.
const lookAgain = 50 * time.Millisecond

// id is the id of a topic; false if the cluster's is not known.
func (t *topicIDs) id(topicID string) (id [16]byte, ok bool) {
	t.mu.Lock()
	cluster := t.cluster
	t.mu.Unlock()
	if n, err := hex.Decode(id[8:], []byte(topicID)); err != nil || n != 8 || cluster == [8]byte{} {
		return [16]byte{}, false
	}
	copy(id[:], cluster[:])
	return id, true
}

// is reports whether a topic has that id.
func (t *topicIDs) is(topic *protocol.Topic, id [16]byte) bool {
	own, ok := t.id(topic.ID)
	return ok && own == id
}

// in says which cluster the topics are in.
func (t *topicIDs) in(clusterID string) {
	var id [8]byte
	if n, err := hex.Decode(id[:], []byte(clusterID)); err != nil || n != len(id) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cluster = id
}

// learn notes the names of topics, and forgets those of others.
func (t *topicIDs) learn(topics []protocol.TopicInfo) {
	names := make(map[[16]byte]string, len(topics))
	for i := range topics {
		if id, ok := t.id(topics[i].ID); ok {
			names[id] = topics[i].Name
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.names = names
}

// name is the name of a topic of that id. An id that is not known is looked for among
// all topics.
func (t *topicIDs) name(s *Server, id [16]byte) (string, bool) {
	t.mu.Lock()
	name, ok := t.names[id]
	early := !ok && time.Since(t.looked) < lookAgain
	if !ok && !early {
		t.looked = time.Now()
	}
	t.mu.Unlock()
	if ok || early {
		return name, ok
	}
	if _, err := s.clusterID(); err != nil {
		return "", false
	}
	topics, err := s.b.Topics(s.o.Cluster, true)
	if err != nil {
		return "", false
	}
	t.learn(topics)
	t.mu.Lock()
	defer t.mu.Unlock()
	name, ok = t.names[id]
	return name, ok
}
