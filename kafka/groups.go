package kafka

import (
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

// Groups of either protocol are shown, those with consumers of HTTP as if they spoke Kafka's: what
// tools ask for is mostly who reads what, and how far. Lag is not asked for here; tools take it
// from OffsetFetch and ListOffsets.

// kafkaStates are the states of groups as Kafka names them. Tools compare them as text.
var kafkaStates = map[string]string{"stable": "Stable", "rebalancing": "PreparingRebalance", "empty": "Empty"}

// listGroups lists the groups that the client may see. All are classic ones, also in the filters by
// state (KIP-518) and by type (KIP-848), which do not care for capitals.
func (h *groupHandlers) listGroups(req *kmsg.ListGroupsRequest) *kmsg.ListGroupsResponse {
	resp := answerTo[*kmsg.ListGroupsResponse](req)
	groups, err := h.view(protocol.RightRead).Groups(h.srv.o.Cluster)
	if err != nil {
		// It may pass. No coordinator is looked for with this request: clients ask all nodes.
		if resp.ErrorCode = groupError(err); resp.ErrorCode == errNotCoordinator {
			resp.ErrorCode = errCoordinatorNotAvailable
		}
		return resp
	}
	for i := range groups {
		g := &groups[i]
		o := kmsg.NewListGroupsResponseGroup()
		o.Group, o.ProtocolType, o.GroupState, o.GroupType = g.Group, protocolType(g), kafkaStates[g.State], "classic"
		matches := func(filter []string, value string) bool {
			return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, value) })
		}
		if matches(req.StatesFilter, o.GroupState) && matches(req.TypesFilter, o.GroupType) {
			resp.Groups = append(resp.Groups, o)
		}
	}
	return resp
}

// protocolType is what a group's members are: consumers, if nobody says otherwise. Tools leave out
// groups of another type.
func protocolType(g *protocol.GroupInfo) string {
	if g.ProtocolType != "" {
		return g.ProtocolType
	}
	return consumerProtocol
}

// describeGroups says who is in groups. A group that is not there is Dead, and no error, up to
// version 5, as with Kafka: tools take it for one that has ended.
func (h *groupHandlers) describeGroups(req *kmsg.DescribeGroupsRequest) *kmsg.DescribeGroupsResponse {
	resp := answerTo[*kmsg.DescribeGroupsResponse](req)
	for _, name := range req.Groups {
		resp.Groups = append(resp.Groups, h.describeGroup(name))
	}
	return resp
}

// describeGroup asks twice: which kind the group is, and, of Kafka's members, its coordinator, which
// alone knows what they say of themselves.
func (h *groupHandlers) describeGroup(name string) kmsg.DescribeGroupsResponseGroup {
	o := kmsg.NewDescribeGroupsResponseGroup()
	o.Group, o.Members = name, []kmsg.DescribeGroupsResponseGroupMember{}
	b := h.view(protocol.RightRead)
	info, err := b.Group(h.srv.o.Cluster, name)
	if err != nil && err.Code == protocol.CodeGroupNotFound {
		o.State = "Dead"
		return o
	}
	if err == nil && info.Protocol == "kafka" {
		var classic protocol.ClassicGroupInfo
		if classic, err = b.DescribeClassic(h.srv.o.Cluster, name); err == nil {
			describeClassic(&o, &classic)
			return o
		}
	}
	if err != nil {
		o.ErrorCode = groupError(err)
		return o
	}
	o.State, o.ProtocolType = kafkaStates[info.State], protocolType(info)
	for i := range info.Members {
		o.Members = append(o.Members, asKafkaMember(&info.Members[i]))
	}
	if len(info.Members) > 0 {
		o.Protocol = "ottla" // no assignor of Kafka's: the server assigns
	}
	return o
}

// describeClassic shows a group as its coordinator has it. Metadata and assignments are the members'
// own bytes, which tools read by the protocol's name.
func describeClassic(o *kmsg.DescribeGroupsResponseGroup, g *protocol.ClassicGroupInfo) {
	o.State, o.ProtocolType, o.Protocol = g.State, g.ProtocolType, g.Protocol
	for i := range g.Members {
		m := &g.Members[i]
		d := kmsg.NewDescribeGroupsResponseGroupMember()
		d.MemberID, d.InstanceID, d.ClientID, d.ClientHost = m.ID, orNull(m.Instance), m.ClientID, m.Host
		d.ProtocolMetadata, d.MemberAssignment = orEmpty(m.Metadata), orEmpty(m.Assignment)
		o.Members = append(o.Members, d)
	}
}

// asKafkaMember shows a consumer of HTTP as if it spoke Kafka's protocol, so that tools
// show what it has. Its id begins with "consumer-", and nobody can act by it: requests of Kafka's
// members are refused in such a group.
func asKafkaMember(m *protocol.MemberInfo) kmsg.DescribeGroupsResponseGroupMember {
	d := kmsg.NewDescribeGroupsResponseGroupMember()
	d.MemberID = "consumer-" + strconv.FormatInt(int64(m.ConsumerID), 10)
	d.ClientID, d.ClientHost = d.MemberID, "http"
	subscription := kmsg.NewConsumerMemberMetadata()
	subscription.Topics = m.Topics
	assignment := kmsg.NewConsumerMemberAssignment()
	for _, tp := range m.Assignment {
		i := slices.IndexFunc(assignment.Topics, func(t kmsg.ConsumerMemberAssignmentTopic) bool { return t.Topic == tp.Topic })
		if i < 0 {
			i = len(assignment.Topics)
			assignment.Topics = append(assignment.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: tp.Topic})
		}
		assignment.Topics[i].Partitions = append(assignment.Topics[i].Partitions, int32(tp.Partition))
	}
	d.ProtocolMetadata, d.MemberAssignment = subscription.AppendTo(nil), assignment.AppendTo(nil)
	return d
}

// deleteGroups deletes groups that have no members, one by one; from others it gets NON_EMPTY_GROUP.
func (h *groupHandlers) deleteGroups(req *kmsg.DeleteGroupsRequest) *kmsg.DeleteGroupsResponse {
	resp := answerTo[*kmsg.DeleteGroupsResponse](req)
	for _, name := range req.Groups {
		o := kmsg.NewDeleteGroupsResponseGroup()
		o.Group = name
		if err := h.view(protocol.RightAdmin).DeleteGroup(h.srv.o.Cluster, name); err != nil {
			o.ErrorCode, o.ErrorMessage = groupError(err), &err.Message
		}
		resp.Groups = append(resp.Groups, o)
	}
	return resp
}
