package kafka

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

// clusterHandlers tell which nodes and topics there are. What they say is what this process knows
// at the moment, and may be stale when it arrives: clients ask again upon an error, and every few
// minutes. It is never wrong in a way that matters, because any node serves any partition.
type clusterHandlers struct {
	*caller
	*socket
}

// clusterID is the id of the cluster, by which clients can notice that they have come to another
// one. Topics' ids begin with it, so it is noted for them on the way.
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
// or, in a fleet, the nodes that are not away. The client's own is always among them, also while
// nothing is heard of the others: Java's clients ignore an answer without nodes, and the topics
// in it.
func (h *clusterHandlers) nodes() map[int32]address {
	if !h.srv.o.Fleet {
		return h.srv.ports(h.hostFor())
	}
	self := h.srv.self()
	found := h.srv.ports(h.hostFor())
	infos, err := h.srv.b.Nodes()
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

// ports are the nodes whose ports this process has open: one for each broker that runs, or this
// node as a whole. It is empty before a node of a fleet knows its number.
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

// hostFor is by which name a client is told to come: after its first request it uses no other. So
// where the server listens at all addresses it is the one by which the client has reached it.
func (h *clusterHandlers) hostFor() string {
	if h.srv.o.Host != "" {
		return h.srv.o.Host
	}
	if h.srv.host == "" {
		return "localhost"
	}
	if ip := net.ParseIP(h.srv.host); ip != nil && ip.IsUnspecified() { // all addresses: the one that it has come to
		if local, ok := h.nc.LocalAddr().(*net.TCPAddr); ok {
			return local.IP.String()
		}
	}
	return h.srv.host
}

// metadata says which nodes there are, and which topics with which leaders.
//
// The controller, to which clients send changes, is the first node; any would do, and it has to
// be one of those that are listed. No topics are all of them in version 0, and none from 1 on,
// where null is all. Up to version 3 a topic that is missing is always made, if the client may do
// that; then the client says whether it is to be (a consumer may not want it).
func (h *clusterHandlers) metadata(req *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	resp := answerTo[*kmsg.MetadataResponse](req)
	nodes := h.nodes()
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = id, nodes[id].host, nodes[id].port
		resp.Brokers = append(resp.Brokers, b)
		if resp.ControllerID <= 0 {
			resp.ControllerID = id
		}
	}
	clusterID, err := h.srv.clusterID()
	if err == nil {
		resp.ClusterID = &clusterID
	}
	resp.Topics = []kmsg.MetadataResponseTopic{}
	if req.Topics == nil || req.Version == 0 && len(req.Topics) == 0 {
		h.allTopics(resp, nodes)
		return resp
	}
	create := req.Version < 4 || req.AllowAutoTopicCreation
	for i := range req.Topics {
		if i > 0 && create && h.caller.gone() {
			break // the rest would be made for nobody
		}
		resp.Topics = append(resp.Topics, h.topicMetadata(&req.Topics[i], create, nodes))
	}
	return resp
}

// allTopics adds all topics that the client may see. While the server does not know them, as
// after a start, it does not say that there are none: a consumer that subscribes by a pattern
// would give up all that it reads, and see them again only after metadata.max.age.ms, five
// minutes. An answer to Metadata has no error code as a whole (up to version 12), so the
// connection ends: clients ask again, or another node.
func (h *clusterHandlers) allTopics(resp *kmsg.MetadataResponse, nodes map[int32]address) {
	topics, err := h.view(protocol.RightRead).Topics(h.srv.o.Cluster, true)
	if err != nil {
		code := topicError(err)
		h.clueless = code != errUnknownTopicOrPartition && code != errTopicAuthorizationFailed // of a cluster that is not there, or not for the client
		return
	}
	if h.srv.o.Access == nil {
		h.srv.ids.learn(topics)
	}
	for i := range topics {
		if topics[i].Name != protocol.MetadataTopic { // which has no id that a client could read
			resp.Topics = append(resp.Topics, h.describe(&topics[i], nodes))
		}
	}
}

// topicMetadata describes a topic by its name, or by its id (KIP-516, version 12), under which none
// is made. Whoever may do anything with a topic may know what it is like. What may pass is
// LEADER_NOT_AVAILABLE here, which is the code that clients wait for with this request.
func (h *clusterHandlers) topicMetadata(asked *kmsg.MetadataRequestTopic, create bool, nodes map[int32]address) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.Partitions = asked.Topic, asked.TopicID, []kmsg.MetadataResponseTopicPartition{}
	var name string
	switch {
	case asked.Topic != nil:
		name = *asked.Topic
	default:
		known := false
		if name, known = h.srv.ids.name(h.srv, asked.TopicID); !known {
			out.ErrorCode = errUnknownTopicID
			return out
		}
		create = false
	}
	if !protocol.ValidName(name) {
		out.ErrorCode = errInvalidTopic
		return out
	}
	b := h.seeing(name)
	info, err := b.Topic(h.srv.o.Cluster, name)
	if err != nil && err.Code == protocol.CodeTopicNotFound && create {
		if _, err = h.view(protocol.RightWrite).LookupTopic(h.srv.o.Cluster, name, true, time.Now().Add(h.srv.o.RequestTimeout)); err == nil {
			info, err = b.Topic(h.srv.o.Cluster, name)
		}
	}
	if err != nil {
		if out.ErrorCode = topicError(err); out.ErrorCode == errNotLeaderOrFollower {
			out.ErrorCode = errLeaderNotAvailable
		}
		return out
	}
	return h.describe(info, nodes)
}

// describe is a topic as clients see it. What a broker leads whose port is not open is
// led by any other for them: they go nowhere but to the leader, and that one asks the real one.
//
// The leader epoch is -1, for not known: a wrong one, 0 included, has Java's clients drop a
// partition as outdated. A partition without a leader has a code of its own, and does not hide
// the others. Offline is a replica whose node cannot be reached, whether it runs or not. In a
// fleet two replicas may be at one node, which is then listed twice.
func (h *clusterHandlers) describe(t *protocol.TopicInfo, nodes map[int32]address) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.IsInternal = &t.Name, protocol.IsInternalTopic(t.Name)
	out.TopicID, _ = h.srv.ids.id(t.ID)
	at := h.places()
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

// places asks which nodes of a fleet run the brokers. A broker whose node is not known counts as one
// of this node, which asks it as soon as it knows where it is.
func (h *clusterHandlers) places() places {
	if !h.srv.o.Fleet {
		return nil
	}
	at := places{}
	brokers, _ := h.srv.brokers() // without them this node stands for all
	for i := range brokers {
		at[brokers[i].ID] = int32(brokers[i].Node)
	}
	for id := range at {
		if at[id] == 0 {
			at[id] = h.srv.self()
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

// describeCluster says which nodes there are (KIP-700), as metadata does.
func (h *clusterHandlers) describeCluster(req *kmsg.DescribeClusterRequest) *kmsg.DescribeClusterResponse {
	resp := answerTo[*kmsg.DescribeClusterResponse](req)
	resp.ClusterID, _ = h.srv.clusterID()
	nodes := h.nodes()
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

const (
	coordinatorOfGroup = 0               // else it is that of transactions (1) or of share groups (2)
	longestRebalance   = 5 * time.Minute // that an assignment is waited for
	maxProtocols       = 64              // that a member may know; clients know one or two
)

// findCoordinator sends clients of groups back to where they are (see groupHandlers), under the id
// and address by which metadata lists that node: some have a connection to the coordinator apart
// from that to the node, and open it by what is said here. From version 4 on it is asked for
// several groups at a time (KIP-699), each with a code. A coordinator of transactions is refused
// with a final code, or producers would look for it for ever.
func (h *clusterHandlers) findCoordinator(req *kmsg.FindCoordinatorRequest) *kmsg.FindCoordinatorResponse {
	resp := answerTo[*kmsg.FindCoordinatorResponse](req)
	node, host, port := h.here()
	keys := req.CoordinatorKeys
	if req.Version < 4 {
		keys = []string{req.CoordinatorKey}
	}
	for _, key := range keys {
		o := kmsg.NewFindCoordinatorResponseCoordinator()
		o.Key, o.NodeID, o.Host, o.Port = key, node, host, port
		switch {
		case node == 0:
			o.ErrorCode = errCoordinatorLoadInProgress
		case req.CoordinatorType != coordinatorOfGroup: // there are no transactions
			o.ErrorCode = errInvalidRequest
		case !protocol.ValidName(key):
			o.ErrorCode = errInvalidGroupID
		}
		if o.ErrorCode != errNone {
			o.NodeID, o.Host, o.Port = -1, "", -1
		}
		resp.Coordinators = append(resp.Coordinators, o)
	}
	if req.Version < 4 {
		o := &resp.Coordinators[0]
		resp.ErrorCode, resp.NodeID, resp.Host, resp.Port = o.ErrorCode, o.NodeID, o.Host, o.Port
	}
	return resp
}

// here is the node that the client is connected to, by the port that it has come to: the server's
// own also where ports are forwarded. One that is just being closed is none of the open ones.
func (h *clusterHandlers) here() (node int32, host string, port int32) {
	ports := h.srv.ports(h.hostFor())
	local, ok := h.nc.LocalAddr().(*net.TCPAddr)
	for id, at := range ports {
		if ok && at.port == int32(local.Port) {
			return id, at.host, at.port
		}
	}
	self := h.srv.self() // of a port that is being closed
	return self, h.hostFor(), ports[self].port
}
