package actors

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// A topic that is restored begins where its records did, also in copies that are rebuilt;
// until it is complete it is for its restorer only.
func TestTopicIsRestored(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	awaitReady(t, n)
	starts := []int64{5, 1_000_000_000_000}
	spec := &protocol.TopicSpec{Name: "back", Partitions: ptr(2), Restoring: ptr("restorer"), StartOffsets: &starts}
	_, created, err := n.CreateTopic(context.Background(), spec)
	require.Nil(t, err)
	require.True(t, created)
	_, created, err = n.CreateTopic(context.Background(), spec)
	require.Nil(t, err, "whoever was interrupted asks again")
	require.False(t, created)

	_, err = n.LookupTopic("", "back", false, time.Time{})
	require.NotNil(t, err)
	assert.Equal(t, protocol.CodeTopicRestoring, err.Code)
	_, err = n.RestoringTopic("", "back", "somebody")
	require.NotNil(t, err)
	assert.Equal(t, protocol.CodeTopicRestoring, err.Code)
	topic, err := n.RestoringTopic("", "back", "restorer")
	require.Nil(t, err)
	for p, start := range starts {
		req := &protocol.ProduceRequest{Topic: topic, Partition: p, ProducerID: "restorer", Sequence: start}
		req.Lines.Add(7, "back", p, []byte(`"k"`), []byte("1"), protocol.ActionProduce, nil)
		n.Produce([]*protocol.ProduceRequest{req}, time.Now().Add(patience))
		require.Nil(t, req.Result.Err)
		require.EqualValues(t, start, req.Result.BaseOffset)
	}
	info, err := n.AlterTopic(context.Background(), &protocol.TopicSpec{Name: "back", Restoring: ptr("")})
	require.Nil(t, err)
	assert.Empty(t, info.Restoring)
	_, err = n.AlterTopic(context.Background(), &protocol.TopicSpec{Name: "back", Restoring: ptr("again")})
	require.NotNil(t, err)
	assert.Equal(t, protocol.CodeNotAllowed, err.Code)

	_, err = n.StopBroker(context.Background(), "default", 1)
	require.Nil(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "default", "broker-1")))
	_, err = n.StartBroker(context.Background(), "default", 1)
	require.Nil(t, err)
	awaitSettled(t, n)
	for _, broker := range []int{2, 3} { // what the rebuilt copy has is all that is left to read from
		stopNode(t, n)
		n = startNode(t, dir)
		awaitReady(t, n)
		_, err = n.StopBroker(context.Background(), "default", broker)
		require.Nil(t, err)
		topic, err = n.LookupTopic("", "back", false, time.Time{})
		require.Nil(t, err)
		for p, start := range starts {
			reply, err := n.Fetch(&protocol.FetchRequest{Topic: topic, Partition: p, Offset: protocol.Offset(start), MaxRecords: 10, MaxBytes: 1 << 20})
			require.Nil(t, err)
			require.Len(t, reply.Records, 1)
			assert.EqualValues(t, start, reply.Records[0].Offset)
			assert.EqualValues(t, 7, reply.Records[0].Timestamp)
			assert.EqualValues(t, start, reply.Earliest)
		}
	}
	stopNode(t, n)
}
