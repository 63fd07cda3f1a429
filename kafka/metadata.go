package kafka

import (
	"cmp"
	"encoding/hex"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

// topicIDs are the ids by which clients know topics: the cluster's and the topic's,
// eight bytes each. A topic that is made again has another one.
type topicIDs struct {
	mu      sync.Mutex
	cluster [8]byte
	names   map[[16]byte]string
}

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
func (t *topicIDs) name(c *conn, id [16]byte) (string, bool) {
	t.mu.Lock()
	name, ok := t.names[id]
	t.mu.Unlock()
	if ok {
		return name, true
	}
	if _, err := c.srv.clusterID(); err != nil {
		return "", false
	}
	topics, err := c.srv.b.Topics(c.srv.o.Cluster, true)
	if err != nil {
		return "", false
	}
	t.learn(topics)
	t.mu.Lock()
	defer t.mu.Unlock()
	name, ok = t.names[id]
	return name, ok
}

func (s *Server) clusterID() (string, *protocol.Error) {
	clusters, err := s.b.Clusters()
	if err != nil {
		return "", err
	}
	for i := range clusters {
		if clusters[i].Name == s.o.Cluster {
			s.ids.in(clusters[i].ID)
			return clusters[i].ID, nil
		}
	}
	return "", protocol.Errorf(protocol.CodeClusterNotFound, "cluster %q does not exist", s.o.Cluster)
}

// nodes are the brokers as clients may reach them, by id.
func (s *Server) nodes() map[int32]int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	ports := make(map[int32]int32, len(s.listeners))
	for id, l := range s.listeners {
		ports[id] = l.port
	}
	return ports
}

// hostFor is by which name a client is told to come.
func (c *conn) hostFor() string {
	if c.srv.o.Host != "" {
		return c.srv.o.Host
	}
	if c.srv.host != "" {
		return c.srv.host
	}
	return "localhost"
}

// metadata says which nodes there are, and which topics with which leaders.
func (c *conn) metadata(req *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	resp := answerTo[*kmsg.MetadataResponse](req)
	nodes := c.srv.nodes()
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = id, c.hostFor(), nodes[id]
		resp.Brokers = append(resp.Brokers, b)
		if resp.ControllerID <= 0 {
			resp.ControllerID = id
		}
	}
	clusterID, err := c.srv.clusterID()
	if err == nil {
		resp.ClusterID = &clusterID
	}
	resp.Topics = []kmsg.MetadataResponseTopic{}
	if req.Topics == nil || req.Version == 0 && len(req.Topics) == 0 {
		c.allTopics(resp, nodes)
		return resp
	}
	create := req.Version < 4 || req.AllowAutoTopicCreation
	for i := range req.Topics {
		resp.Topics = append(resp.Topics, c.topicMetadata(&req.Topics[i], create, nodes))
	}
	return resp
}

func (c *conn) allTopics(resp *kmsg.MetadataResponse, nodes map[int32]int32) {
	topics, err := c.view(protocol.RightRead).Topics(c.srv.o.Cluster, true)
	if err != nil {
		return
	}
	if c.srv.o.Access == nil {
		c.srv.ids.learn(topics)
	}
	for i := range topics {
		if topics[i].Name != protocol.MetadataTopic { // which has no id that a client could read
			resp.Topics = append(resp.Topics, c.describe(&topics[i], nodes))
		}
	}
}

func (c *conn) topicMetadata(asked *kmsg.MetadataRequestTopic, create bool, nodes map[int32]int32) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.Partitions = asked.Topic, asked.TopicID, []kmsg.MetadataResponseTopicPartition{}
	var name string
	switch {
	case asked.Topic != nil:
		name = *asked.Topic
	default:
		known := false
		if name, known = c.srv.ids.name(c, asked.TopicID); !known {
			out.ErrorCode = errUnknownTopicID
			return out
		}
		create = false
	}
	if !protocol.ValidName(name) {
		out.ErrorCode = errInvalidTopic
		return out
	}
	b := c.view(protocol.RightRead)
	info, err := b.Topic(c.srv.o.Cluster, name)
	if err != nil && err.Code == protocol.CodeTopicNotFound && create {
		if _, err = c.view(protocol.RightWrite).LookupTopic(c.srv.o.Cluster, name, true, time.Now().Add(c.srv.o.RequestTimeout)); err == nil {
			info, err = b.Topic(c.srv.o.Cluster, name)
		}
	}
	if err != nil {
		if out.ErrorCode = topicError(err); out.ErrorCode == errNotLeaderOrFollower {
			out.ErrorCode = errLeaderNotAvailable
		}
		return out
	}
	return c.describe(info, nodes)
}

// describe is a topic as clients see it. What a broker leads whose port is not open is
// led by any other for them.
func (c *conn) describe(t *protocol.TopicInfo, nodes map[int32]int32) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.IsInternal = &t.Name, protocol.IsInternalTopic(t.Name)
	out.TopicID, _ = c.srv.ids.id(t.ID)
	fleet := c.srv.b.Node() != 0
	for i := range t.Partitions {
		p := &t.Partitions[i]
		o := kmsg.NewMetadataResponseTopicPartition()
		o.Partition, o.Leader, o.LeaderEpoch = int32(p.Number), -1, -1
		o.Replicas, o.ISR, o.OfflineReplicas = c.seen(p.Replicas, fleet), c.seen(p.InSync, fleet), []int32{}
		switch {
		case p.LeaderBrokerID == nil:
			o.ErrorCode = errLeaderNotAvailable
		case fleet:
			o.Leader = c.srv.self()
		default:
			o.Leader = int32(*p.LeaderBrokerID)
			if _, open := nodes[o.Leader]; !open {
				o.Leader = slices.Min(slices.Collect(maps.Keys(nodes)))
			}
		}
		for _, r := range o.Replicas {
			if _, open := nodes[r]; !open {
				o.OfflineReplicas = append(o.OfflineReplicas, r)
			}
		}
		out.Partitions = append(out.Partitions, o)
	}
	slices.SortFunc(out.Partitions, func(a, b kmsg.MetadataResponseTopicPartition) int { return cmp.Compare(a.Partition, b.Partition) })
	return out
}

// seen are brokers as nodes: in a fleet, this one stands for all.
func (c *conn) seen(brokers []int, fleet bool) []int32 {
	if fleet {
		return []int32{c.srv.self()}
	}
	out := make([]int32, len(brokers))
	for i, id := range brokers {
		out[i] = int32(id)
	}
	return out
}

// describeCluster says which nodes there are.
func (c *conn) describeCluster(req *kmsg.DescribeClusterRequest) *kmsg.DescribeClusterResponse {
	resp := answerTo[*kmsg.DescribeClusterResponse](req)
	resp.ClusterID, _ = c.srv.clusterID()
	nodes := c.srv.nodes()
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		b := kmsg.NewDescribeClusterResponseBroker()
		b.NodeID, b.Host, b.Port = id, c.hostFor(), nodes[id]
		resp.Brokers = append(resp.Brokers, b)
		if resp.ControllerID <= 0 {
			resp.ControllerID = id
		}
	}
	return resp
}
