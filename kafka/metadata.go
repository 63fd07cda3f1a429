package kafka

import (
	"cmp"
	"encoding/hex"
	"maps"
	"net"
	"slices"
	"strconv"
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
func (t *topicIDs) name(c *conn, id [16]byte) (string, bool) {
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

// address is where a client reaches a node.
type address struct {
	host string
	port int32
}

// nodes are the nodes that clients may reach, by id: the brokers whose ports are open
// or, in a fleet, the nodes that are not away. The client's own is always among them.
func (c *conn) nodes() map[int32]address {
	if !c.srv.o.Fleet {
		return c.srv.ports(c.hostFor())
	}
	self := c.srv.self()
	found := c.srv.ports(c.hostFor())
	infos, err := c.srv.b.Nodes()
	if err != nil {
		return found
	}
	for i := range infos {
		n := &infos[i]
		host, text, err := net.SplitHostPort(n.Kafka)
		port, wrong := strconv.ParseUint(text, 10, 16)
		if err == nil && wrong == nil && n.ID != uint64(self) && (n.State == protocol.NodeActive || n.State == protocol.NodeDraining) {
			found[int32(n.ID)] = address{host, int32(port)}
		}
	}
	return found
}

// ports are the nodes whose ports this process has open.
func (s *Server) ports(host string) map[int32]address {
	s.mu.Lock()
	defer s.mu.Unlock()
	ports := make(map[int32]address, len(s.listeners))
	for id, l := range s.listeners {
		if s.o.Fleet {
			id = s.self()
		}
		if id != 0 {
			ports[id] = address{host, l.port}
		}
	}
	return ports
}

// hostFor is by which name a client is told to come.
func (c *conn) hostFor() string {
	if c.srv.o.Host != "" {
		return c.srv.o.Host
	}
	if c.srv.host == "" {
		return "localhost"
	}
	if ip := net.ParseIP(c.srv.host); ip != nil && ip.IsUnspecified() { // all addresses: the one that it has come to
		if local, ok := c.nc.LocalAddr().(*net.TCPAddr); ok {
			return local.IP.String()
		}
	}
	return c.srv.host
}

// metadata says which nodes there are, and which topics with which leaders.
func (c *conn) metadata(req *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	resp := answerTo[*kmsg.MetadataResponse](req)
	nodes := c.nodes()
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = id, nodes[id].host, nodes[id].port
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

func (c *conn) allTopics(resp *kmsg.MetadataResponse, nodes map[int32]address) {
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

func (c *conn) topicMetadata(asked *kmsg.MetadataRequestTopic, create bool, nodes map[int32]address) kmsg.MetadataResponseTopic {
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
	b := c.seeing(name)
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

// seeing is the broker as the client may use it to find out what a topic is like, which
// any right is enough for.
func (c *conn) seeing(topic string) Backend {
	b := c.view(protocol.RightRead) // who may have become somebody else
	for _, do := range []protocol.Right{protocol.RightRead, protocol.RightWrite, protocol.RightAdmin} {
		if c.who.Topic(do, c.srv.o.Cluster, topic) {
			return c.view(do)
		}
	}
	return b
}

// describe is a topic as clients see it. What a broker leads whose port is not open is
// led by any other for them.
func (c *conn) describe(t *protocol.TopicInfo, nodes map[int32]address) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.IsInternal = &t.Name, protocol.IsInternalTopic(t.Name)
	out.TopicID, _ = c.srv.ids.id(t.ID)
	at := c.places()
	for i := range t.Partitions {
		p := &t.Partitions[i]
		o := kmsg.NewMetadataResponseTopicPartition()
		o.Partition, o.Leader, o.LeaderEpoch = int32(p.Number), -1, -1
		o.Replicas, o.ISR, o.OfflineReplicas = at.all(p.Replicas), at.all(p.InSync), []int32{}
		if p.LeaderBrokerID == nil {
			o.ErrorCode = errLeaderNotAvailable
		} else if o.Leader = at.one(*p.LeaderBrokerID); nodes[o.Leader] == (address{}) && len(nodes) > 0 {
			o.Leader = slices.Min(slices.Collect(maps.Keys(nodes)))
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

// places says which node runs a broker; nil where each broker is a node of its own.
type places map[int]int32

// places asks which nodes of a fleet run the brokers.
func (c *conn) places() places {
	if !c.srv.o.Fleet {
		return nil
	}
	at := places{}
	brokers, _ := c.srv.brokers() // without them this node stands for all
	for i := range brokers {
		at[brokers[i].ID] = int32(brokers[i].Node)
	}
	for id := range at {
		if at[id] == 0 {
			at[id] = c.srv.self()
		}
	}
	return at
}

func (p places) one(broker int) int32 {
	if p == nil {
		return int32(broker)
	}
	return p[broker]
}

func (p places) all(brokers []int) []int32 {
	out := make([]int32, len(brokers))
	for i, id := range brokers {
		out[i] = p.one(id)
	}
	return out
}

// describeCluster says which nodes there are.
func (c *conn) describeCluster(req *kmsg.DescribeClusterRequest) *kmsg.DescribeClusterResponse {
	resp := answerTo[*kmsg.DescribeClusterResponse](req)
	resp.ClusterID, _ = c.srv.clusterID()
	nodes := c.nodes()
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		b := kmsg.NewDescribeClusterResponseBroker()
		b.NodeID, b.Host, b.Port = id, nodes[id].host, nodes[id].port
		resp.Brokers = append(resp.Brokers, b)
		if resp.ControllerID <= 0 {
			resp.ControllerID = id
		}
	}
	return resp
}
