package kafka

import (
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Offsets that are not deleted, because the group has members, are so in the audit, with
// the group's name.
func TestAuditOfDeletedOffsets(t *testing.T) {
	const groupSubscribedToTopic = 86
	req := &kmsg.OffsetDeleteRequest{Group: "readers"}
	partition := func(code int16) []kmsg.OffsetDeleteResponseTopic {
		return []kmsg.OffsetDeleteResponseTopic{{Partitions: []kmsg.OffsetDeleteResponseTopicPartition{{ErrorCode: code}}}}
	}
	for want, resp := range map[int16]*kmsg.OffsetDeleteResponse{
		errNone:                     {Topics: partition(errNone)},
		errGroupAuthorizationFailed: {ErrorCode: errGroupAuthorizationFailed},
		groupSubscribedToTopic:      {Topics: partition(groupSubscribedToTopic)},
	} {
		assert.Equal(t, []audited{{"readers", want}}, changesOf(req, resp))
	}
}

// Codes of all changes are counted.
func TestErrorsOfChangesAreCounted(t *testing.T) {
	s := newGated(t, &gated{})
	for _, resp := range []kmsg.Response{
		&kmsg.CreateTopicsResponse{Topics: []kmsg.CreateTopicsResponseTopic{{ErrorCode: errInvalidConfig}}},
		&kmsg.CreatePartitionsResponse{Topics: []kmsg.CreatePartitionsResponseTopic{{ErrorCode: errInvalidConfig}}},
		&kmsg.IncrementalAlterConfigsResponse{Resources: []kmsg.IncrementalAlterConfigsResponseResource{{ErrorCode: errInvalidConfig}}},
		&kmsg.DeleteGroupsResponse{Groups: []kmsg.DeleteGroupsResponseGroup{{ErrorCode: errInvalidConfig}}},
	} {
		m := s.metrics.byKey[resp.Key()]
		m.countErrors(kmsg.RequestForKey(resp.Key()), resp)
		var counted dto.Metric
		require.NoError(t, m.errors.WithLabelValues("40").Write(&counted))
		assert.Equal(t, 1.0, counted.Counter.GetValue(), kmsg.NameForKey(resp.Key()))
	}
}
