package actors

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/datadir"
	"ottla/protocol"
)

// damageRecord flips a bit of the record at an offset in one broker's copy, and
// returns the file.
func damageRecord(t *testing.T, dir string, broker int, topic string, partition int, offset int) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "default", datadir.BrokerDirName(broker), fmt.Sprintf("%s-%d", topic, partition), "*.log"))
	require.NoError(t, err)
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		if at := bytes.Index(text, fmt.Appendf(nil, " %s %d %d ", topic, partition, offset)); at >= 0 {
			text[at-1] ^= 1
			require.NoError(t, os.WriteFile(f, text, 0o644))
			return f
		}
	}
	require.FailNow(t, "no such record", "%s-%d %d in %v", topic, partition, offset, files)
	return ""
}

// filledTopic is a topic of one partition with 400 records in several segments.
func filledTopic(t *testing.T, n *Node, name string) {
	t.Helper()
	createTestTopic(t, n, &protocol.TopicSpec{
		Name: name, Partitions: ptr(1), SegmentBytes: ptr(int64(64 << 10)), RetentionMs: ptr(int64(-1)),
	})
	value := `"` + strings.Repeat("x", 900) + `"`
	for range 100 {
		produce(t, n, name, 0, value, value, value, value)
	}
}

// replicaDirs lists what stands in a broker's directory for a partition.
func replicaDirs(t *testing.T, dir string, broker int, name string) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(dir, "default", datadir.BrokerDirName(broker), name+"*"))
	require.NoError(t, err)
	return dirs
}

// Damage in the active segments of all three copies, at different places: no
// copy can be opened, and each is made whole out of the other two.
func TestDamageInAllCopiesIsMended(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	filledTopic(t, n, "hurt")
	want := fetchAll(t, n, "hurt", 0)
	awaitSameLines(t, dir, "hurt", 0)
	stopNode(t, n)
	for b := 1; b <= 3; b++ {
		damageRecord(t, dir, b, "hurt", 0, 390+3*b)
		damageRecord(t, dir, b, "hurt", 0, 10+100*b) // in sealed segments, found on the way
	}

	n = startNode(t, dir)
	defer stopNode(t, n)
	require.Equal(t, want, fetchAll(t, n, "hurt", 0))
	awaitSettled(t, n)
	produce(t, n, "hurt", 0, `"after"`)
	awaitSameLines(t, dir, "hurt", 0)
	for b := 1; b <= 3; b++ {
		kept, err := filepath.Glob(filepath.Join(dir, "default", datadir.BrokerDirName(b), "hurt-0*", "*.damaged-0"))
		require.NoError(t, err)
		// Where the other two were mended and ran first, the third is replaced.
		replaced, err := filepath.Glob(filepath.Join(dir, "default", datadir.BrokerDirName(b), "hurt-0.replaced-*"))
		require.NoError(t, err)
		assert.NotEmpty(t, append(kept, replaced...), "broker %d: the damaged file is kept", b)
	}
}

// The same of the metadata, without which nothing is known of any partition.
func TestDamagedMetadataIsMended(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	produce(t, n, "liked", 0, `1`)
	produce(t, n, "other", 0, `1`)
	awaitSameLines(t, dir, protocol.MetadataTopic, 0)
	stopNode(t, n)
	for b, offset := range map[int]int{1: 0, 2: 11, 3: 15} { // three entries: the cluster, and each topic
		damageRecord(t, dir, b, protocol.MetadataTopic, 0, offset)
	}
	n = startNode(t, dir)
	defer stopNode(t, n)
	require.Equal(t, []string{`1`}, fetchAll(t, n, "liked", 0))
	awaitSettled(t, n)
}

// A block of zeros in two copies: no majority, and the third one has it all.
func TestZeroedBlocksInTwoCopiesAreMended(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	filledTopic(t, n, "hurt")
	want := fetchAll(t, n, "hurt", 0)
	awaitSameLines(t, dir, "hurt", 0)
	stopNode(t, n)
	for b := 1; b <= 2; b++ {
		files := replicaDirs(t, dir, b, filepath.Join("hurt-0", "*.log"))
		path := files[len(files)-1]
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Greater(t, len(text), 12<<10)
		clear(text[4<<10 : 8<<10])
		require.NoError(t, os.WriteFile(path, text, 0o644))
	}
	n = startNode(t, dir)
	defer stopNode(t, n)
	require.Equal(t, want, fetchAll(t, n, "hurt", 0))
	awaitSettled(t, n)
	awaitSameLines(t, dir, "hurt", 0)
}

// What is damaged everywhere is not lost silently: the partition is refused
// with the cause, nothing of it is answered as empty, everything else works,
// and when one copy is whole again, so are all.
func TestDamageAtTheSamePlaceIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := startNode(t, dir)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "hurt", Partitions: ptr(1)})
	for i := range 50 {
		produce(t, n, "hurt", 0, fmt.Sprint(i))
	}
	produce(t, n, "fine", 0, `1`)
	awaitSameLines(t, dir, "hurt", 0)
	stopNode(t, n)
	before := map[string][]byte{}
	for b := 1; b <= 3; b++ {
		path := damageRecord(t, dir, b, "hurt", 0, 20)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		before[path] = text
	}

	n, err := Start(context.Background(), Options{DataDir: dir, DefaultCluster: protocol.DefaultCluster, AutoCreateTopics: true})
	require.NoError(t, err)
	defer stopNode(t, n)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		r := n.Readiness()
		if assert.Len(c, r.Leaderless, 1) {
			assert.Equal(c, "hurt", r.Leaderless[0].Topic)
			assert.Equal(c, 3, strings.Count(r.Leaderless[0].Reason, "no other copy within reach has it"), r.Leaderless[0].Reason)
			assert.Contains(c, r.Leaderless[0].Reason, "see '"+datadir.RepairCommand+"'")
		}
	}, patience, 10*time.Millisecond)
	tp, perr := n.LookupTopic("", "hurt", false, time.Time{})
	require.Nil(t, perr)
	_, perr = n.Fetch(&protocol.FetchRequest{Topic: tp, Offset: 0, MaxRecords: 1, MaxBytes: 1000})
	require.NotNil(t, perr)
	require.Equal(t, protocol.CodeNotEnoughReplicas, perr.Code)
	require.Contains(t, perr.Message, "damaged")
	require.Equal(t, []string{`1`}, fetchAll(t, n, "fine", 0))
	for path, text := range before {
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, text, after, "%s", path)
	}

	for path, text := range before { // somebody finds a backup of the file
		at := bytes.Index(text, []byte(" hurt 0 20 "))
		text[at-1] ^= 1
		require.NoError(t, os.WriteFile(path, text, 0o644))
		break
	}
	awaitReady(t, n)
	require.Len(t, fetchAll(t, n, "hurt", 0), 50)
	awaitSettled(t, n)
}

// With one replica there is nobody to ask: the partition is refused with the
// cause, the others serve.
func TestDamagedOnlyCopyIsRefused(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "alone", Partitions: ptr(1), ReplicationFactor: ptr(1)})
	for i := range 50 {
		produce(t, n, "alone", 0, fmt.Sprint(i))
	}
	produce(t, n, "fine", 0, `1`)
	stopNode(t, n)
	broker := 0
	for b := 1; b <= 3; b++ {
		if len(replicaDirs(t, dir, b, "alone-0")) > 0 {
			broker = b
		}
	}
	damageRecord(t, dir, broker, "alone", 0, 20)
	n, err := Start(context.Background(), Options{DataDir: dir, DefaultCluster: protocol.DefaultCluster})
	require.NoError(t, err)
	defer stopNode(t, n)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		r := n.Readiness()
		if assert.Len(c, r.Leaderless, 1) {
			assert.Contains(c, r.Leaderless[0].Reason, fmt.Sprintf("broker %d: damaged: entry", broker))
			assert.Contains(c, r.Leaderless[0].Reason, "it has no other copy, see 'ottla log repair'")
		}
	}, patience, 10*time.Millisecond)
	require.Equal(t, []string{`1`}, fetchAll(t, n, "fine", 0))
}

// A bit flips in a cold segment of the leader while it runs: the read is
// served by the next leader, and the damaged replica is rebuilt meanwhile.
func TestDamageInTheLeadersColdSegment(t *testing.T) {
	dir := t.TempDir()
	n := startNode(t, dir)
	defer stopNode(t, n)
	filledTopic(t, n, "hurt")
	tp, perr := n.LookupTopic("", "hurt", false, time.Time{})
	require.Nil(t, perr)
	awaitSettled(t, n)
	ref := leaderOf(t, tp, 0)
	damageRecord(t, dir, ref.Broker, "hurt", 0, 7)

	reply, perr := n.Fetch(&protocol.FetchRequest{Topic: tp, Offset: 7, MaxRecords: 1, MaxBytes: 1 << 20})
	require.Nil(t, perr)
	require.Len(t, reply.Records, 1)
	require.EqualValues(t, 7, reply.Records[0].Offset)
	require.NotEqual(t, pidOf(ref), pidOf(leaderOf(t, tp, 0)))
	produce(t, n, "hurt", 0, `"meanwhile"`)
	require.Len(t, fetchAll(t, n, "hurt", 0), 401)
	require.Eventually(t, func() bool {
		return len(replicaDirs(t, dir, ref.Broker, "hurt-0.replaced-")) == 1
	}, patience, 10*time.Millisecond)
	awaitSettled(t, n)
	awaitSameLines(t, dir, "hurt", 0)
}

// The same where it is a follower that is behind which needs the damaged
// entries: raft cannot be told that a read failed, and panics.
func TestDamageMetByRaft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := startNode(t, dir)
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "hurt", Partitions: ptr(1), SegmentBytes: ptr(int64(64 << 10))})
	awaitSettled(t, n)
	tp, perr := n.LookupTopic("", "hurt", false, time.Time{})
	require.Nil(t, perr)
	ref := leaderOf(t, tp, 0)
	behind := ref.Broker%3 + 1
	_, perr = n.StopBroker(context.Background(), "default", behind)
	require.Nil(t, perr)
	value := `"` + strings.Repeat("x", 900) + `"`
	for range 1500 { // more than a replica keeps in memory
		produce(t, n, "hurt", 0, value, value)
	}
	damageRecord(t, dir, leaderOf(t, tp, 0).Broker, "hurt", 0, 7)
	_, perr = n.StartBroker(context.Background(), "default", behind)
	require.Nil(t, perr)
	awaitSettled(t, n)
	require.Len(t, fetchAll(t, n, "hurt", 0), 3000)
	awaitSameLines(t, dir, "hurt", 0)
}
