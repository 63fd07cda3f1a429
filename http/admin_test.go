package http

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

func TestDeleteRecords(t *testing.T) {
	h := start(t, Options{})
	a := h.do("POST", "/topic/liked/delete-records", `{"partitions":[{"partition":0,"before":3},{"partition":2,"before":-1}]}`)
	require.Equal(t, 200, a.status)
	assert.JSONEq(t, `{"partitions":[{"partition":0,"earliest":3},{"partition":2,"earliest":0}]}`, a.body)
	for body, want := range map[string]string{
		`{}`:                               "partitions is required",
		`{"partitions":[]}`:                "partitions must not be empty",
		`{"partitions":{}}`:                "partitions must be an array",
		`{"partitions":[{"partition":0}]}`: "before is required",
		`{"partitions":[{"before":0}]}`:    "partition is required",
		`{"partitions":[{"partition":-1,"before":0}]}`:                           "partition must be",
		`{"partitions":[{"partition":0,"before":-2}]}`:                           "before must be",
		`{"partitions":[{"partition":0,"before":1},{"partition":0,"before":2}]}`: "name partition 0 twice",
		`{"partitions":[{"partition":0,"before":0}],"topic":"x"}`:                "topic",
	} {
		a := h.do("POST", "/topic/liked/delete-records", body)
		assert.Equal(t, 400, a.status, body)
		assert.Contains(t, a.body, want, body)
	}
	assert.Equal(t, 422, h.do("POST", "/topic/liked/delete-records", `{"partitions":[{"partition":0,"before":9}]}`).status)
	assert.Equal(t, 422, h.do("POST", "/topic/__consumer_offsets/delete-records", `{"partitions":[{"partition":0,"before":0}]}`).status)
}

func TestClusters(t *testing.T) {
	h := start(t, Options{})
	body := `{"name":"c","num_brokers":5,"log_directory":"a/b","partitions":1024,"retention_policies":0.5,"replication_factor":3,"fsync":"interval"}`
	v := wantOK(t, h.do("POST", "/cluster", body), 201)
	for _, field := range []string{
		"id", "name", "num_brokers", "log_directory", "partitions", "retention_policies",
		"replication_factor", "fsync", "created_at", "brokers",
	} {
		assert.Contains(t, v, field)
	}
	assert.Equal(t, []any{}, v["brokers"])
	wantOK(t, h.do("POST", "/cluster", body), 200)
	five, dir, partitions, hours, factor, fsync := 5, "a/b", 1024, 0.5, 3, "interval"
	assert.Equal(t, &protocol.ClusterSpec{
		Name: "c", NumBrokers: &five, LogDirectory: &dir, Partitions: &partitions,
		RetentionHours: &hours, ReplicationFactor: &factor, Fsync: &fsync,
	}, h.b.clusters["c"])
	wantOK(t, h.do("POST", "/cluster", `{"name":"d","retention_policies":-1}`), 201)
	require.NotNil(t, h.b.clusters["d"].RetentionHours)
	assert.Equal(t, -1.0, *h.b.clusters["d"].RetentionHours)
	assert.Nil(t, h.b.clusters["d"].NumBrokers, "what is not sent is not compared")

	assert.Len(t, wantOK(t, h.do("GET", "/cluster", ""), 200)["clusters"], 1)
	assert.Equal(t, []any{}, wantOK(t, h.do("GET", "/cluster/c", ""), 200)["topics"])
	assert.Equal(t, "stopped", wantOK(t, h.do("POST", "/cluster/c/brokers/2/stop", ""), 200)["state"])
	assert.Equal(t, "running", wantOK(t, h.do("POST", "/cluster/c/brokers/2/start", "{}"), 200)["state"])
	assert.Equal(t, 204, h.do("DELETE", "/cluster/c", "").status)
}

func TestTopics(t *testing.T) {
	h := start(t, Options{})
	body := `{"name":"t","cluster":"c","partitions":2,"retention_ms":-1,"retention_bytes":5,"segment_bytes":65536,
		"cleanup_policy":"compact","delete_retention_ms":0,"max_record_bytes":100,"replication_factor":1}`
	v := wantOK(t, h.do("POST", "/topic", body), 201)
	assert.Equal(t, []any{}, v["partitions"])
	wantOK(t, h.do("POST", "/topic", body), 200)
	spec := h.b.specs["t"]
	assert.Equal(t, []any{"c", 2, int64(-1), int64(5), "compact", 100},
		[]any{spec.Cluster, *spec.Partitions, *spec.RetentionMs, *spec.RetentionBytes, *spec.CleanupPolicy, *spec.MaxRecordBytes})
	wantOK(t, h.do("PATCH", "/topic/t?cluster=c", `{"partitions":4}`), 200)
	assert.Equal(t, 4, *h.b.specs["t"].Partitions)
	assert.Nil(t, h.b.specs["t"].RetentionMs)
	assert.Len(t, wantOK(t, h.do("GET", "/topic", ""), 200)["topics"], 1)
	assert.Len(t, wantOK(t, h.do("GET", "/topic?internal=true&cluster=default", ""), 200)["topics"], 2)
	assert.Equal(t, "t.1", wantOK(t, h.do("GET", "/topic/t%2e1", ""), 200)["name"])
	assert.Equal(t, 204, h.do("DELETE", "/topic/t", "").status)
}

func TestOffsets(t *testing.T) {
	h := start(t, Options{})
	var seen *protocol.CommitRequest
	h.b.commit = func(r *protocol.CommitRequest) (*protocol.CommitReply, *protocol.Error) {
		seen = r
		return &protocol.CommitReply{Group: "consumer-7", ConsumerID: 7}, nil
	}
	a := h.do("POST", "/offset", `{"consumer_id": 7}`)
	assert.JSONEq(t, `{"group":"consumer-7","consumer_id":7,"offsets":[]}`, a.body)
	assert.Equal(t, &protocol.CommitRequest{ConsumerID: 7}, seen)
	wantOK(t, h.do("POST", "/offset", `{"consumer_id":7,"group":"g","cluster":"c","topic":"t","generation":3,"force":true,
		"offsets":[{"partition":0,"offset":4},{"topic":"u","partition":1,"offset":0,"metadata":"m"}]}`), 200)
	generation := protocol.Generation(3)
	assert.Equal(t, &protocol.CommitRequest{
		ConsumerID: 7, Group: "g", Cluster: "c", Topic: "t", Generation: &generation, Force: true,
		Offsets: []protocol.OffsetCommit{{Topic: "t", Partition: 0, Offset: 4}, {Topic: "u", Partition: 1, Metadata: "m"}},
	}, seen)
	assert.JSONEq(t, `{"offsets":[
		{"topic":"liked","partition":0,"committed":5,"position":null,"end":9,"lag":4,"metadata":"","owner":7},
		{"topic":"liked","partition":1,"committed":null,"position":null,"end":3,"lag":3,"metadata":"","owner":null}]}`,
		h.do("GET", "/offset?group=g&topic=liked", "").body)
}

// The answer to a commit is written by hand, and is what encoding/json would make of it.
func TestCommitAnswersAsJSON(t *testing.T) {
	for _, r := range []*protocol.CommitReply{
		{Group: "g", Offsets: []protocol.CommittedEntry{}},
		{Group: "consumer-7", ConsumerID: 7, Offsets: []protocol.CommittedEntry{{Topic: "t.1", Partition: 2, Offset: 3}, {Topic: "u", Offset: 1 << 60}}},
	} {
		want, err := json.Marshal(r)
		require.NoError(t, err)
		assert.Equal(t, string(want), string(appendCommitted(nil, r)))
	}
}

func TestGroups(t *testing.T) {
	h := start(t, Options{})
	v := wantOK(t, h.do("GET", "/groups", ""), 200)
	assert.Equal(t, []any{}, v["groups"].([]any)[0].(map[string]any)["members"])
	assert.Equal(t, "empty", wantOK(t, h.do("GET", "/groups/g?cluster=c", ""), 200)["state"])
	assert.Equal(t, 204, h.do("DELETE", "/groups/g", "").status)
	assert.Equal(t, 204, h.do("DELETE", "/groups/g/members/7", "").status)
	assert.Equal(t, protocol.ConsumerID(7), <-h.b.left)

	var seen *protocol.SeekRequest
	h.b.seek = func(r *protocol.SeekRequest) { seen = r }
	offset, at, partition := protocol.Offset(4), int64(99), 1
	for to, want := range map[string]protocol.SeekRequest{
		`"earliest"`:       {},
		`"latest"`:         {Latest: true},
		`4`:                {Offset: &offset},
		`{"timestamp":99}`: {Timestamp: &at},
	} {
		t.Run(to, func(t *testing.T) {
			a := h.do("POST", "/groups/g/seek?cluster=c", `{"topic":"t","to":`+to+`,"partition":1}`)
			assert.JSONEq(t, `{"group":"g","offsets":[]}`, a.body)
			want.Cluster, want.Group, want.Topic, want.Partition = "c", "g", "t", &partition
			assert.Equal(t, &want, seen)
		})
	}
}

func TestViews(t *testing.T) {
	h := start(t, Options{})
	for target, want := range map[string]string{
		"/brokers?cluster=default": `{"brokers":[{"id":1,"cluster":"default","host":"127.0.0.1","port":8080,"created_at":"0001-01-01T00:00:00Z"}]}`,
		"/producers":               `{"producers":[{"id":"p/1","cluster":"default","name":"p/1"}]}`,
		"/topics":                  `{"topics":[{"id":"t1","name":"liked","cluster":"default"}]}`,
		"/partitions": `{"partitions":[
			{"id":"t1-0","cluster":"default","topic_id":"t1","partition_number":0,"leader_broker_id":null,"replicas":[],"created_at":"0001-01-01T00:00:00Z"},
			{"id":"t1-1","cluster":"default","topic_id":"t1","partition_number":1,"leader_broker_id":null,"replicas":[],"created_at":"0001-01-01T00:00:00Z"}]}`,
		"/consumer_groups": `{"consumer_groups":[
			{"id":"g/liked-0","cluster":"default","group_name":"g","member_id":7,"topic_id":"t1","partition_number":0,"offset":5,"created_at":"0001-01-01T00:00:00Z"},
			{"id":"g/liked-1","cluster":"default","group_name":"g","member_id":null,"topic_id":"t1","partition_number":1,"offset":null,"created_at":"0001-01-01T00:00:00Z"}]}`,
		"/offset_commitments": `{"offset_commitments":[{"id":"g/liked-0@5","cluster":"default","consumer_group_id":"g/liked-0",
			"topic_id":"t1","partition_number":0,"offset":5,"created_at":"0001-01-01T00:00:00Z"}]}`,
	} {
		t.Run(target, func(t *testing.T) { assert.JSONEq(t, want, h.do("GET", target, "").body) })
	}
}
