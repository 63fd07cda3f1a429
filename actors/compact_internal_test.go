package actors

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/metarecord"
	"ottla/logfile"
	"ottla/protocol"
)

// dumpCluster returns the state of the default cluster's metadata, once every
// deleted topic is forgotten.
func dumpCluster(t *testing.T, n *Node) string {
	t.Helper()
	h := defaultCluster(n)
	var dump string
	require.Eventually(t, func() bool {
		got := make(chan string, 1)
		n.env.system.Root.Send(h.pid.Load(), &metadataOp{decide: func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
			got <- s.Dump()
			return nil, nil
		}})
		dump = <-got
		return !strings.Contains(dump, "\ndeleted ")
	}, patience, 20*time.Millisecond)
	return dump
}

// keptNow is what all running replicas of __consumer_offsets keep, once they
// agree.
func keptNow(t *testing.T, n *Node) map[string]string {
	t.Helper()
	var kept map[string]string
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		agreed := map[string]string{}
		for _, at := range keptGroups(t, n) {
			for name, dump := range at {
				if agreed[name] == "" {
					agreed[name] = dump
				}
				assert.Equal(c, agreed[name], dump, name)
			}
		}
		kept = agreed
	}, patience, 20*time.Millisecond)
	return kept
}

// TestInternalTopicsAreCompacted: metadata and groups are the same after their
// logs were compacted, on replicas that replay compacted logs, and on those
// that were given compacted records.
func TestInternalTopicsAreCompacted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	small := func(o *Options) { compacting(o); o.internalSegmentBytes = 3000 }
	n := startNode(t, dir, small)
	produce(t, n, "kept", 0, "1", "2", "3", "4", "5", "6", "7", "8", "9", "10")
	churn := func(from int) {
		for i := range 12 {
			name := fmt.Sprintf("t%d", from+i)
			createTestTopic(t, n, &protocol.TopicSpec{Name: name, Partitions: ptr(1)})
			reply, err := n.Poll(&protocol.PollRequest{
				ConsumerID: protocol.ConsumerID(from + i), Group: fmt.Sprintf("g%d", i%4), Topics: []string{"kept", name},
				MaxRecords: 1, MaxBytes: 1 << 20, AutoCommit: true, Timeout: 10 * time.Millisecond,
				SessionTimeout: time.Hour, // or members would leave between two looks at what is kept
			}, nil)
			require.Nil(t, err, "%v", reply)
			require.Nil(t, n.DeleteTopic(context.Background(), "", name))
		}
	}
	compacted := func(topic string) bool {
		for b := 1; b <= 3; b++ {
			files, err := filepath.Glob(filepath.Join(dir, "default", datadir.BrokerDirName(b), topic+"-*", "*-*.log"))
			require.NoError(t, err)
			if len(files) == 0 {
				return false
			}
		}
		return true
	}
	churn(100)
	require.Eventually(t, func() bool {
		return compacted(protocol.MetadataTopic) && compacted(protocol.OffsetsTopic)
	}, patience, 20*time.Millisecond)
	before, groups := dumpCluster(t, n), keptNow(t, n)
	require.NotEmpty(t, groups)
	stopNode(t, n)

	n = startNode(t, dir, small)
	require.Equal(t, before, dumpCluster(t, n), "replayed from compacted records")
	require.Equal(t, groups, keptNow(t, n))
	churn(200)

	_, err := n.StopBroker(context.Background(), "default", 2)
	require.Nil(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "default", "broker-2")))
	churn(300)
	_, err = n.StartBroker(context.Background(), "default", 2)
	require.Nil(t, err)
	awaitSettled(t, n)
	require.True(t, compacted(protocol.MetadataTopic) && compacted(protocol.OffsetsTopic), "the new replicas were given compacted records")
	require.Eventually(t, func() bool { return !strings.Contains(dumpCluster(t, n), `"replacing"`) }, patience, 10*time.Millisecond,
		"a replacement is not over")
	before, groups = dumpCluster(t, n), keptNow(t, n)
	stopNode(t, n)

	n = startNode(t, dir, small)
	require.Equal(t, before, dumpCluster(t, n))
	require.Equal(t, groups, keptNow(t, n))
	stopNode(t, n)
	for b := 1; b <= 3; b++ {
		require.NoError(t, logfile.Verify(logfile.OSFS{}, filepath.Join(dir, "default", datadir.BrokerDirName(b)), func(path string, at int64, err error) {
			t.Errorf("%s at %d: %v", path, at, err)
		}))
	}
}
