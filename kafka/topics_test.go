package kafka

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

// choosy is a broker that makes no topic, because of that setting.
type choosy struct {
	Backend
	field string
	err   *protocol.Error // of a list of all topics
}

func (*choosy) Clusters() ([]protocol.ClusterInfo, *protocol.Error) {
	return []protocol.ClusterInfo{{Name: "default", ID: "0123456789abcdef"}}, nil
}

func (*choosy) Topic(string, string) (*protocol.TopicInfo, *protocol.Error) {
	return nil, protocol.Errorf(protocol.CodeTopicNotFound, "there is none")
}

func (c *choosy) Topics(string, bool) ([]protocol.TopicInfo, *protocol.Error) { return nil, c.err }

func (c *choosy) CreateTopic(context.Context, *protocol.TopicSpec) (*protocol.TopicInfo, bool, *protocol.Error) {
	return nil, false, protocol.Errorf(protocol.CodeNotAllowed, "not so").With("field", c.field)
}

// The code says which setting of a new topic is refused.
func TestCodesOfTopicsThatAreRefused(t *testing.T) {
	for field, want := range map[string]int16{
		"segment_bytes": errInvalidConfig, "retention_ms": errInvalidConfig,
		"replication_factor": errInvalidReplicationFactor, "assignment": errInvalidReplicaAssignment,
	} {
		s := newGated(t, &gated{})
		s.o.Access, s.b = nil, &choosy{field: field}
		client, _ := at(t, s, "192.0.2.7:1")
		req := kmsg.NewPtrCreateTopicsRequest()
		req.SetVersion(7)
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "new", -1, -1
		req.Topics = append(req.Topics, topic)
		assert.Equal(t, want, ask[*kmsg.CreateTopicsResponse](t, client, req).Topics[0].ErrorCode, field)
	}
}
