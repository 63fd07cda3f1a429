package kafka

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

// waitful is a broker to which nobody answers at the moment.
type waitful struct{ Backend }

var errNobodyLeads = protocol.Errorf(protocol.CodeNoLeader, "an election")

func (waitful) DeleteRecords(context.Context, string, string, []protocol.TrimRequest) ([]protocol.TrimmedPartition, *protocol.Error) {
	return nil, errNobodyLeads
}

func (waitful) Groups(string) ([]protocol.GroupInfo, *protocol.Error) { return nil, errNobodyLeads }

func (waitful) Topic(_, name string) (*protocol.TopicInfo, *protocol.Error) {
	return &protocol.TopicInfo{Name: name}, nil
}

// What may pass has the code upon which clients try this request again.
func TestCodesOfWhatMayPass(t *testing.T) {
	s := newGated(t, &gated{})
	s.o.Access, s.b = nil, waitful{}
	client, _ := at(t, s, "192.0.2.7:1")

	trim := kmsg.NewPtrDeleteRecordsRequest()
	trim.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "t", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 1}}}}
	assert.Equal(t, errNotLeaderOrFollower, ask[*kmsg.DeleteRecordsResponse](t, client, trim).Topics[0].Partitions[0].ErrorCode)

	assert.Equal(t, errCoordinatorNotAvailable, ask[*kmsg.ListGroupsResponse](t, client, kmsg.NewPtrListGroupsRequest()).ErrorCode)
}

// Who names no settings, or has a list of none, asks for all, as with Kafka.
func TestAllSettingsAreAskedFor(t *testing.T) {
	s := newGated(t, &gated{})
	s.o.Access, s.b = nil, waitful{}
	client, _ := at(t, s, "192.0.2.7:1")
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.SetVersion(1)
	for _, kind := range []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker} {
		for _, names := range [][]string{nil, {}, {"message.max.bytes", "retention.ms"}} {
			r := kmsg.NewDescribeConfigsRequestResource()
			r.ResourceType, r.ResourceName, r.ConfigNames = kind, "1", names
			req.Resources = append(req.Resources, r)
		}
	}
	got := ask[*kmsg.DescribeConfigsResponse](t, client, req).Resources
	for i := range got {
		all := map[kmsg.ConfigResourceType]int{kmsg.ConfigResourceTypeTopic: len(topicConfigs), kmsg.ConfigResourceTypeBroker: 4}[got[i].ResourceType]
		if len(req.Resources[i].ConfigNames) > 0 {
			all = 1
		}
		assert.Len(t, got[i].Configs, all, "%v", req.Resources[i])
	}
}
