package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kafka clients may choose the brokers of replicas, and ask for an election, which goes as
// the server does it by itself.
func TestKafkaClientsChooseReplicas(t *testing.T) {
	t.Parallel()
	s := startKafka(t)
	cl := s.kafka()
	create := func(name string, edit func(*kmsg.CreateTopicsRequestTopic), replicas ...[]int32) int16 {
		req := kmsg.NewPtrCreateTopicsRequest()
		r := kmsg.NewCreateTopicsRequestTopic()
		r.Topic, r.NumPartitions, r.ReplicationFactor = name, -1, -1
		for i, of := range replicas {
			r.ReplicaAssignment = append(r.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: of})
		}
		edit(&r)
		req.Topics = append(req.Topics, r)
		return ask[*kmsg.CreateTopicsResponse](s, cl, req).Topics[0].ErrorCode
	}
	as := func(*kmsg.CreateTopicsRequestTopic) {}
	assert.Zero(t, create("chosen", as, []int32{3, 1}, []int32{2, 3}))
	for why, code := range map[string]int16{
		"no such broker":    create("wrong", as, []int32{4}),
		"no broker":         create("wrong", as, []int32{}),
		"one twice":         create("wrong", as, []int32{1, 1}),
		"different numbers": create("wrong", as, []int32{1, 2}, []int32{1}),
		"a gap":             create("wrong", func(r *kmsg.CreateTopicsRequestTopic) { r.ReplicaAssignment[0].Partition = 1 }, []int32{1}),
		"a partition twice": create("wrong", func(r *kmsg.CreateTopicsRequestTopic) { r.ReplicaAssignment[1].Partition = 0 }, []int32{1}, []int32{2}),
	} {
		assert.Equal(t, kerr.InvalidReplicaAssignment.Code, code, why)
	}
	assert.Equal(t, kerr.InvalidRequest.Code, create("wrong", func(r *kmsg.CreateTopicsRequestTopic) { r.NumPartitions = 1 }, []int32{1}))

	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.TimeoutMillis = 5000
	grow.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "chosen", Count: 3, Assignment: []kmsg.CreatePartitionsRequestTopicAssignment{{Replicas: []int32{1, 2}}}}}
	require.Zero(t, ask[*kmsg.CreatePartitionsResponse](s, cl, grow).Topics[0].ErrorCode)
	grow.Topics[0].Count = 5
	assert.Equal(t, kerr.InvalidReplicaAssignment.Code, ask[*kmsg.CreatePartitionsResponse](s, cl, grow).Topics[0].ErrorCode)

	var topic struct {
		Partitions []struct {
			Replicas []int
			Leader   *int `json:"leader_broker_id"`
		}
	}
	s.eventually(waitTimeout, "the first ones lead", func() error {
		s.get("/topic/chosen").want(http.StatusOK).decode(&topic)
		for _, p := range topic.Partitions {
			if p.Leader == nil || *p.Leader != p.Replicas[0] {
				return fmt.Errorf("%+v", topic)
			}
		}
		return nil
	})
	require.Len(t, topic.Partitions, 3)
	for i, want := range [][]int{{3, 1}, {2, 3}, {1, 2}} {
		assert.Equal(t, want, topic.Partitions[i].Replicas)
	}

	elect := kmsg.NewPtrElectLeadersRequest()
	elect.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "chosen", Partitions: []int32{0, 7}}, {Topic: "none", Partitions: []int32{0}}}
	elected := ask[*kmsg.ElectLeadersResponse](s, cl, elect)
	assert.Zero(t, elected.ErrorCode)
	assert.Equal(t, kerr.ElectionNotNeeded.Code, elected.Topics[0].Partitions[0].ErrorCode)
	assert.Equal(t, kerr.UnknownTopicOrPartition.Code, elected.Topics[0].Partitions[1].ErrorCode)
	assert.Equal(t, kerr.UnknownTopicOrPartition.Code, elected.Topics[1].Partitions[0].ErrorCode)
}

// A batch that a compacted topic refuses names the records that are wrong, and settings
// come with a description for who asks for one.
func TestKafkaSaysWhatIsWrongAndWhatSettingsDo(t *testing.T) {
	t.Parallel()
	s := startKafka(t)
	s.post("/topic", object{"name": "compacted", "partitions": 1, "cleanup_policy": "compact"}).want(http.StatusCreated)
	cl := s.kafka(kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	var batch kmsg.RecordBatch
	batch.Magic, batch.FirstTimestamp, batch.ProducerID, batch.ProducerEpoch, batch.FirstSequence = 2, 1000, -1, -1, -1
	for i, key := range []string{"a", "", "b", ""} {
		r := kmsg.NewRecord()
		r.OffsetDelta, r.Value = int32(i), []byte("1")
		if key != "" {
			r.Key = []byte(key)
		}
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		batch.Records = r.AppendTo(batch.Records)
		batch.NumRecords, batch.LastOffsetDelta = int32(i+1), int32(i)
	}
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 5000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: "compacted", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: checked(&batch)}}}}
	p := ask[*kmsg.ProduceResponse](s, cl, req).Topics[0].Partitions[0]
	assert.Equal(t, kerr.InvalidRecord.Code, p.ErrorCode)
	var wrong []int32
	for _, r := range p.ErrorRecords {
		wrong = append(wrong, r.RelativeOffset)
		assert.Contains(t, *r.ErrorMessage, "without a key")
	}
	assert.Equal(t, []int32{1, 3}, wrong)
	assert.EqualValues(t, 0, s.latestAs("compacted"), "a batch is written whole or not at all")

	describe := kmsg.NewPtrDescribeConfigsRequest()
	describe.IncludeDocumentation = true
	describe.Resources = []kmsg.DescribeConfigsRequestResource{
		{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "compacted"}, {ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1"},
	}
	for _, r := range ask[*kmsg.DescribeConfigsResponse](s, cl, describe).Resources {
		require.NotEmpty(t, r.Configs)
		for _, c := range r.Configs {
			require.NotNil(t, c.Documentation, c.Name)
			assert.NotEmpty(t, *c.Documentation, c.Name)
		}
	}
	describe.IncludeDocumentation = false
	assert.Nil(t, ask[*kmsg.DescribeConfigsResponse](s, cl, describe).Resources[0].Configs[0].Documentation)
}
