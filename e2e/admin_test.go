package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClusters(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.run("defaults", func(t *testing.T) {
		got := s.post("/cluster", `{"name":"c1"}`).want(http.StatusCreated).object()
		for _, field := range []string{
			"id", "name", "num_brokers", "log_directory", "partitions", "retention_policies",
			"replication_factor", "fsync", "created_at", "brokers",
		} {
			assert.Contains(t, got, field)
		}
		assert.Equal(t, []string{"c1", "c1", "3", "3", "168", "3", "always"}, []string{
			fmt.Sprint(got["name"]), fmt.Sprint(got["log_directory"]), fmt.Sprint(got["num_brokers"]), fmt.Sprint(got["partitions"]),
			fmt.Sprint(got["retention_policies"]), fmt.Sprint(got["replication_factor"]), fmt.Sprint(got["fsync"]),
		})
		_, err := time.Parse(time.RFC3339, fmt.Sprint(got["created_at"]))
		assert.NoError(t, err)
		brokers, ok := got["brokers"].([]any)
		require.True(t, ok)
		require.Len(t, brokers, 3)
		for i, b := range brokers {
			broker, ok := b.(map[string]any)
			require.True(t, ok)
			assert.Equal(t, fmt.Sprint(i+1), fmt.Sprint(broker["id"]))
			assert.Equal(t, "running", broker["state"])
			for _, field := range []string{"host", "port", "directory", "created_at"} {
				assert.Contains(t, broker, field)
			}
			assert.DirExists(t, s.brokerDir("c1", i+1))
		}
		again := s.post("/cluster", `{"name":"c1"}`).want(http.StatusOK).object()
		assert.Equal(t, got, again, "the same again is the same")
		s.post("/cluster", `{"name":"c1","num_brokers":3}`).want(http.StatusOK)
		s.post("/cluster", `{"name":"c1","num_brokers":2}`).wantError(http.StatusConflict, "cluster_exists")
		s.post("/cluster", `{"name":"c1","retention_policies":1}`).wantError(http.StatusConflict, "cluster_exists")
	})
	s.run("one broker", func(t *testing.T) {
		got := s.post("/cluster", `{"name":"solo","num_brokers":1,"retention_policies":0.5,"log_directory":"deep/solo","fsync":"interval"}`).
			want(http.StatusCreated).object()
		assert.Equal(t, "1", fmt.Sprint(got["replication_factor"]))
		assert.DirExists(t, s.brokerDir("deep/solo", 1))
		s.post("/topic", `{"name":"st","cluster":"solo"}`).want(http.StatusCreated)
		s.post("/events", `{"topic":"st","value":1}`).want(http.StatusOK)
	})
	s.run("log directories", func(t *testing.T) {
		for _, dir := range []string{"../x", "/abs", "a/../../b", "..", ".", "", "a//b", `a\u0000b`} {
			s.post("/cluster", `{"name":"esc","log_directory":"`+dir+`"}`).wantError(http.StatusUnprocessableEntity, "")
		}
		outside := t.TempDir()
		require.NoError(t, os.Symlink(outside, filepath.Join(s.dir, "link")))
		s.post("/cluster", `{"name":"esc","log_directory":"link/x"}`).wantError(http.StatusUnprocessableEntity, "directory_escapes")
		entries, err := os.ReadDir(outside)
		require.NoError(t, err)
		assert.Empty(t, entries)
		for _, dir := range []string{"c1", "c1/inside", "deep", "deep/solo", "deep/solo/x", "default"} {
			s.post("/cluster", object{"name": "nested", "log_directory": dir}).wantError(http.StatusConflict, "directory_in_use")
		}
		s.get("/cluster/nested").wantError(http.StatusNotFound, "cluster_not_found")
	})
	s.run("values out of range", func(t *testing.T) {
		for _, field := range []string{
			`"num_brokers":0`, `"num_brokers":10`, `"partitions":0`, `"partitions":1025`, `"retention_policies":0`,
			`"retention_policies":-2`, `"replication_factor":4`, `"replication_factor":0`, `"fsync":"never"`,
		} {
			s.post("/cluster", `{"name":"bad",`+field+`}`).wantError(http.StatusUnprocessableEntity, "not_allowed")
		}
		for _, name := range []string{"", ".", "..", "a/b", "a b", "ü", fmt.Sprintf("%0201d", 0)} {
			s.post("/cluster", object{"name": name}).wantError(http.StatusUnprocessableEntity, "invalid_name")
		}
	})
	s.run("delete", func(t *testing.T) {
		s.delete("/cluster/solo").want(http.StatusNoContent)
		s.get("/cluster/solo").wantError(http.StatusNotFound, "cluster_not_found")
		s.delete("/cluster/solo").wantError(http.StatusNotFound, "cluster_not_found")
		assert.NoDirExists(t, s.brokerDir("deep/solo", 1))
		s.kill()
		s.again()
		s.get("/cluster/solo").wantError(http.StatusNotFound, "cluster_not_found")
		s.get("/cluster/c1").want(http.StatusOK)
		assert.Len(t, s.get("/cluster").want(http.StatusOK).object()["clusters"], 2)
	})
}

func TestTopics(t *testing.T) {
	t.Parallel()
	s := start(t)
	got := s.post("/topic", `{"name":"t1"}`).want(http.StatusCreated).object()
	for _, field := range []string{
		"id", "name", "cluster", "partitions", "replication_factor", "retention_ms", "retention_bytes",
		"segment_bytes", "cleanup_policy", "delete_retention_ms", "max_record_bytes",
	} {
		assert.Contains(t, got, field)
	}
	assert.Equal(t, "default", got["cluster"])
	assert.Equal(t, "604800000", fmt.Sprint(got["retention_ms"]), "168 hours, of its cluster")
	partitions, ok := got["partitions"].([]any)
	require.True(t, ok)
	require.Len(t, partitions, 3)
	for i, p := range partitions {
		partition, ok := p.(map[string]any)
		require.True(t, ok)
		assert.Equal(t, fmt.Sprint(i), fmt.Sprint(partition["partition_number"]))
		assert.NotNil(t, partition["leader_broker_id"], "answers when every partition has a leader")
		assert.Len(t, partition["replicas"], 3)
	}
	s.post("/topic", `{"name":"t1"}`).want(http.StatusOK)
	s.post("/topic", `{"name":"t1","partitions":3}`).want(http.StatusOK)
	s.post("/topic", `{"name":"t1","partitions":4}`).wantError(http.StatusConflict, "topic_exists")
	s.post("/topic", `{"name":"t2","cluster":"none"}`).wantError(http.StatusNotFound, "cluster_not_found")
	s.post("/topic", `{"name":"__mine"}`).wantError(http.StatusUnprocessableEntity, "internal_topic")
	s.post("/topic", `{"name":"a/b"}`).wantError(http.StatusUnprocessableEntity, "invalid_name")
	for _, field := range []string{`"partitions":0`, `"partitions":1025`, `"replication_factor":4`, `"cleanup_policy":"keep"`} {
		s.post("/topic", `{"name":"bad",`+field+`}`).wantError(http.StatusUnprocessableEntity, "not_allowed")
	}

	s.run("lists", func(t *testing.T) {
		assert.Len(t, s.get("/topic").want(http.StatusOK).object()["topics"], 1)
		assert.Len(t, s.get("/topic?cluster=default&internal=true").want(http.StatusOK).object()["topics"], 3)
		s.get("/topic?cluster=none").wantError(http.StatusNotFound, "cluster_not_found")
		assert.Len(t, s.get("/cluster/default").want(http.StatusOK).object()["topics"], 1)
	})
	s.run("patch", func(t *testing.T) {
		patched := s.call(http.MethodPatch, "/topic/t1", `{"partitions":5,"retention_ms":1000000}`).want(http.StatusOK).object()
		assert.Len(t, patched["partitions"], 5)
		assert.Equal(t, "1000000", fmt.Sprint(patched["retention_ms"]))
		assert.Equal(t, 4, s.produce("t1", object{"value": 1, "partition": 4}).Partition)
		s.call(http.MethodPatch, "/topic/t1", `{"partitions":2}`).wantError(http.StatusUnprocessableEntity, "not_allowed")
		s.call(http.MethodPatch, "/topic/none", `{"partitions":2}`).wantError(http.StatusNotFound, "topic_not_found")
	})
	s.run("delete and create again", func(t *testing.T) {
		s.produce("t1", object{"value": "old", "partition": 0})
		s.poll("topic=t1", "group=g", "consumer_id=1")
		s.delete("/topic/t1").want(http.StatusNoContent)
		s.get("/topic/t1").wantError(http.StatusNotFound, "topic_not_found")
		s.delete("/topic/t1").wantError(http.StatusNotFound, "topic_not_found")
		s.topic("t1", 1)
		assert.Zero(t, s.fetch("t1", 0, 0, "").HighWatermark, "a new topic of that name is empty")
		s.produce("t1", object{"value": "new"})
		assert.Equal(t, []string{`"new"`}, values(s.poll("topic=t1", "group=g", "consumer_id=1").Records), "old offsets do not apply to it")
		s.kill()
		s.again()
		assert.Equal(t, []string{`"new"`}, values(s.readPartition("t1", 0)))
	})
}

func TestWhichClusterIsMeant(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.post("/cluster", `{"name":"one","num_brokers":1}`).want(http.StatusCreated)
	s.post("/cluster", `{"name":"two","num_brokers":1}`).want(http.StatusCreated)
	s.post("/topic", `{"name":"only","cluster":"two"}`).want(http.StatusCreated)
	s.post("/topic", `{"name":"both","cluster":"one"}`).want(http.StatusCreated)
	s.post("/topic", `{"name":"both","cluster":"two"}`).want(http.StatusCreated)

	s.produce("only", object{"value": 1})
	assert.Equal(t, "two", s.get("/topic/only").want(http.StatusOK).object()["cluster"])
	assert.Contains(t, s.post("/events", `{"topic":"both","value":1}`).wantError(http.StatusConflict, "ambiguous_topic").Message, "cluster=")
	s.get("/topic/both").wantError(http.StatusConflict, "ambiguous_topic")
	s.produce("both", object{"value": 1, "cluster": "one", "partition": 0})
	var f fetched
	s.get("/topic/both/partitions/0/records?cluster=one&offset=0").want(http.StatusOK).as(&f)
	assert.Len(t, f.Records, 1)
	s.get("/topic/both/partitions/0/records?cluster=two&offset=0").want(http.StatusOK).as(&f)
	assert.Empty(t, f.Records)
	s.post("/events", `{"topic":"x","value":1,"cluster":"none"}`).wantError(http.StatusNotFound, "cluster_not_found")

	s.poll("topic=both", "cluster=one", "group=g", "consumer_id=1", "timeout_ms=0")
	s.get("/groups/g").want(http.StatusOK)
	s.poll("topic=both", "cluster=two", "group=g", "consumer_id=1", "timeout_ms=0")
	assert.Contains(t, s.get("/groups/g").wantError(http.StatusConflict, "ambiguous_group").Message, "cluster=")
	s.get("/groups/g?cluster=two").want(http.StatusOK)
}

func TestTopicsAreNotCreatedWhereThatIsOff(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_AUTO_CREATE_TOPICS=false")
	s.post("/events", `{"topic":"typo","value":1}`).wantError(http.StatusNotFound, "topic_not_found")
	s.get("/events?topic=typo").wantError(http.StatusNotFound, "topic_not_found")
	assert.Empty(t, s.get("/topic").want(http.StatusOK).object()["topics"])
}

func TestViews(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("v", 2)
	s.produce("v", object{"value": 1, "partition": 0})
	s.produce("v", object{"value": 1, "partition": 1})
	s.poll("topic=v", "group=g", "consumer_id=1")
	views := []struct {
		path, list string
		rows       int
		columns    []string
	}{
		{"/brokers", "brokers", 3, []string{"id", "host", "port", "created_at", "cluster"}},
		{"/partitions", "partitions", 2, []string{"id", "topic_id", "partition_number", "leader_broker_id", "replicas", "created_at", "cluster"}},
		{"/topics", "topics", 1, []string{"id", "name", "cluster"}},
		{"/consumer_groups", "consumer_groups", 2, []string{"id", "group_name", "member_id", "topic_id", "partition_number", "offset", "created_at", "cluster"}},
		{"/offset_commitments", "offset_commitments", 2, []string{"id", "consumer_group_id", "topic_id", "partition_number", "offset", "created_at", "cluster"}},
	}
	for _, v := range views {
		s.run(v.path, func(t *testing.T) {
			rows, ok := s.get(v.path).want(http.StatusOK).object()[v.list].([]any)
			require.True(t, ok)
			require.Len(t, rows, v.rows)
			for _, r := range rows {
				row, ok := r.(map[string]any)
				require.True(t, ok)
				for _, column := range v.columns {
					assert.Contains(t, row, column)
				}
			}
		})
	}
}

// A server whose clusters were all deleted has no partition without a leader:
// it is ready, as is one that never had any.
func TestReadyWithoutAnyCluster(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.delete("/cluster/default").want(http.StatusNoContent)
	s.get("/readyz").want(http.StatusOK)
	s.post("/cluster", object{"name": "default"}).want(http.StatusCreated)
	s.produce("again", object{"value": 1})
}
