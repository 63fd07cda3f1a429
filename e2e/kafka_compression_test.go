package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// With kafka.compression, records go to Kafka clients compressed, whatever has written them.
func TestKafkaAnswersAreCompressed(t *testing.T) {
	t.Parallel()
	for codec, id := range map[string]byte{"none": 0, "gzip": 1, "lz4": 3, "zstd": 4} {
		s := startKafka(t, "OTTLA_KAFKA_COMPRESSION="+codec)
		s.topic("t", 1)
		for i := range 100 {
			s.post("/events", object{"topic": "t", "key": "k", "value": fmt.Sprintf("the quick brown fox %d", i), "headers": object{"h": "x"}}).want(http.StatusOK)
		}
		cl := s.kafka(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for i, r := range s.take(cl, 100) {
			require.Equal(t, fmt.Sprintf(`"the quick brown fox %d"`, i), string(r.Value), codec)
			require.Equal(t, "k", string(r.Key))
			require.Len(t, r.Headers, 1)
		}
		sizes := map[int16]int{}
		for version, client := range map[int16]*kversion.Versions{8: kversion.V2_0_0(), 11: kversion.V2_3_0()} {
			req := kmsg.NewPtrFetchRequest()
			p := kmsg.NewFetchRequestTopicPartition()
			p.PartitionMaxBytes = 1 << 20
			req.MaxWaitMillis, req.MinBytes = 1000, 1
			req.Topics = []kmsg.FetchRequestTopic{{Topic: "t", Partitions: []kmsg.FetchRequestTopicPartition{p}}}
			conn := s.kafka(kgo.MaxVersions(client))
			batches := ask[*kmsg.FetchResponse](s, conn, req).Topics[0].Partitions[0].RecordBatches
			want := id
			if codec == "zstd" && version < 10 { // its client does not know it
				want = 0
			}
			require.Equal(t, want, batches[22]&7, "%s, version %d", codec, version)
			sizes[version] = len(batches)
		}
		if codec == "none" {
			assert.Greater(t, sizes[11], 3000)
		} else {
			assert.Less(t, sizes[11], 3000, codec)
		}
	}
}
