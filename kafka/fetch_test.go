package kafka

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What is written by hand is what kmsg reads.
func TestFetchAnswersInAllVersions(t *testing.T) {
	fetch := handlers[int16(kmsg.Fetch)]
	for version := fetch.min; version <= fetch.max; version++ {
		a := &fetchAnswer{FetchResponse: &kmsg.FetchResponse{Version: version}, topics: []fetchedTopic{
			{name: "one", id: [16]byte{1}, partitions: []fetchedPartition{
				{index: 3, start: 5, end: 70, records: []byte("batch")}, {index: 4, code: errUnknownTopicOrPartition, start: -1, end: -1},
			}},
			{name: "two", id: [16]byte{2}, partitions: []fetchedPartition{{index: 0, end: 1, records: bytes.Repeat([]byte("x"), 300)}}},
			{name: "none"},
		}}
		head, pieces := a.parts([]byte("head"))
		require.Equal(t, "head", string(head[:4]))
		var all []byte
		for _, p := range pieces {
			all = append(all, p...)
		}
		var got kmsg.FetchResponse
		got.Version = version
		require.NoError(t, got.ReadFrom(all[4:]), "version %d", version)
		want := kmsg.NewPtrFetchResponse()
		want.Version = version
		for _, topic := range a.topics {
			to := kmsg.NewFetchResponseTopic()
			if to.Topic = topic.name; version >= 13 {
				to.Topic, to.TopicID = "", topic.id
			}
			for _, p := range topic.partitions {
				tp := kmsg.NewFetchResponseTopicPartition()
				tp.Partition, tp.ErrorCode, tp.HighWatermark, tp.LastStableOffset, tp.RecordBatches = p.index, p.code, p.end, p.end, append([]byte{}, p.records...)
				if version >= 5 {
					tp.LogStartOffset = p.start
				}
				to.Partitions = append(to.Partitions, tp)
			}
			want.Topics = append(want.Topics, to)
		}
		assert.True(t, bytes.Equal(want.AppendTo(nil), all[4:]), "version %d", version)
	}
}
