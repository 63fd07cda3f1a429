package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

// preferredElection is the type of an election that makes the first replica the leader; the other
// one makes any that is there, in sync or not. Version 0 knows only the first.
const preferredElection = 0

// electLeaders says what becomes of the leaders of partitions. There is nothing to start:
// a partition without a leader elects one as soon as a majority is there, and leaders go
// back to the preferred replica by themselves as soon as that one has everything. Of all
// partitions, which a request without topics asks about, none needs an election.
func (h *topicHandlers) electLeaders(req *kmsg.ElectLeadersRequest) *kmsg.ElectLeadersResponse {
	resp := answerTo[*kmsg.ElectLeadersResponse](req)
	preferred := req.Version == 0 || req.ElectionType == preferredElection
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.NewElectLeadersResponseTopic()
		out.Topic = t.Topic
		info, err := h.view(protocol.RightAdmin).Topic(h.srv.o.Cluster, t.Topic)
		for _, n := range t.Partitions {
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition = n
			switch {
			case err != nil:
				p.ErrorCode, p.ErrorMessage = adminError(err)
			case n < 0 || int(n) >= len(info.Partitions):
				p.ErrorCode = errUnknownTopicOrPartition
			default:
				var why string
				if p.ErrorCode, why = election(&info.Partitions[n], preferred); why != "" {
					p.ErrorMessage = &why
				}
			}
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

// election is how the election of a partition's leader ends. ELECTION_NOT_NEEDED is no failure to
// Kafka's tools, which count such partitions apart. Replicas that lack records are never made
// leaders, whatever kind of election (KIP-460) is asked for.
func election(p *protocol.PartitionInfo, preferred bool) (code int16, why string) {
	switch leader := p.LeaderBrokerID; {
	case leader == nil && preferred:
		return errPreferredNotAvailable, "a majority of the replicas is not there"
	case leader == nil:
		return errEligibleNotAvailable, "a majority of the replicas is not there, and others may lack records: they never lead"
	case !preferred, len(p.Replicas) == 0, *leader == p.Replicas[0]:
		return errElectionNotNeeded, "the leader is the one that is asked for"
	case !slices.Contains(p.InSync, p.Replicas[0]):
		return errPreferredNotAvailable, "the preferred leader is not in sync: it leads as soon as it is"
	}
	return errNone, "" // it is on its way
}
