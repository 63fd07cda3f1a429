package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What would go beyond limits.partitions is refused with the numbers before anything
// is made, in whatever way it is asked for, and what exists goes on.
func TestLimitOfPartitions(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_LIMITS_PARTITIONS=31", "OTTLA_INTERNAL_TOPICS_OFFSETS_PARTITIONS=3") // the default cluster has 3 x 3 + 3 replicas
	refused := func(e errorBody, used, asked float64) {
		t.Helper()
		assert.Equal(t, "none", e.Outcome)
		assert.False(t, e.Retriable)
		assert.Equal(t, map[string]any{"limit": 31.0, "used": used, "asked": asked}, floats(e.Details))
	}
	refused(s.post("/topic", `{"name":"a","partitions":7}`).wantError(422, "too_many_partitions"), 12, 21)
	refused(s.post("/topic", `{"name":"a","partitions":1024}`).wantError(422, "too_many_partitions"), 12, 3072)
	s.post("/topic", `{"name":"a","partitions":4}`).want(201)
	refused(s.post("/events", `{"topic":"auto","value":1}`).wantError(422, "too_many_partitions"), 24, 9)
	refused(s.get("/events?topic=auto&auto_create=true&group=g").wantError(422, "too_many_partitions"), 24, 9)
	refused(s.call("PATCH", "/topic/a", `{"partitions":7}`).wantError(422, "too_many_partitions"), 24, 9)
	refused(s.post("/cluster", `{"name":"solo","num_brokers":2}`).wantError(422, "too_many_partitions"), 24, 8)
	for _, path := range []string{"/topic", "/cluster", "/groups"} {
		body := string(s.get(path).want(200).body)
		assert.NotContains(t, body, "auto")
		assert.NotContains(t, body, "solo")
	}
	s.post("/topic", `{"name":"a","partitions":4}`).want(200)
	s.post("/cluster", `{"name":"default"}`).want(200)
	s.post("/events", `{"topic":"a","value":1}`).want(200)
	s.call("PATCH", "/topic/a", `{"partitions":6}`).want(200)
	metrics := string(s.get("/metrics").body)
	assert.Contains(t, metrics, "\nottla_replicas 30\n")
	assert.Contains(t, metrics, "\nottla_replicas_limit 31\n")
	s.kill()
	s.again() // what there is is never too much
	s.call("DELETE", "/topic/a", nil).want(204)
	s.post("/topic", `{"name":"b","partitions":6}`).want(201)

	byItself := start(t)
	assert.Contains(t, byItself.stderr.tail(1<<16), "limits.partitions")
	assert.Regexp(t, `\nottla_replicas_limit [1-9][0-9.e+]*\n`, string(byItself.get("/metrics").body))
}

// A process carries more replicas than it may have files open, if it is told to: only
// the logs that are in use are open.
func TestMoreReplicasThanOpenFiles(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("counts the open files of another process in /proc")
	}
	const limit, partitions = 400, 150
	s := prepare(t, "OTTLA_LIMITS_PARTITIONS=1000")
	s.binary = filepath.Join(t.TempDir(), "few-files")
	script := fmt.Sprintf("#!/bin/sh\nulimit -n %d\nexec '%s' \"$@\"\n", limit, binary)
	require.NoError(t, os.WriteFile(s.binary, []byte(script), 0o700))
	s.again()
	s.post("/topic", fmt.Sprintf(`{"name":"wide","partitions":%d}`, partitions)).want(201)
	for round := range 2 {
		for p := range partitions {
			s.post("/events", fmt.Sprintf(`{"topic":"wide","partition":%d,"value":%d}`, p, round)).want(200)
		}
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
		require.NoError(t, err)
		assert.Less(t, len(open), limit*2/3, "of %d replicas", 3*partitions)
	}
	s.kill()
	s.again()
	for p := range partitions {
		require.Len(t, s.readPartition("wide", p), 2, "partition %d", p)
	}
	assert.Contains(t, string(s.get("/metrics").body), "\nottla_replicas 456\n")
}

func TestLimitOfAutomaticCreations(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_LIMITS_AUTO_CREATES_PER_MINUTE=2")
	made, refused := 0, 0
	for i := range 4 {
		a := s.post("/events", fmt.Sprintf(`{"topic":"t%d","value":1}`, i))
		if a.status == 200 {
			made++
			continue
		}
		refused++
		e := a.wantError(429, "too_many_creations")
		assert.Equal(t, "none", e.Outcome)
		assert.NotEmpty(t, a.header.Get("Retry-After"))
	}
	assert.LessOrEqual(t, made, 3, "one more may have flowed in")
	assert.GreaterOrEqual(t, refused, 1)
	assert.Equal(t, made, strings.Count(string(s.get("/topics").body), `"name":"t`))
	s.post("/events", `{"topic":"t0","value":2}`).want(200)
	s.post("/topic", `{"name":"asked-for"}`).want(201)
}

func TestLimitOfGroups(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_LIMITS_GROUPS=3")
	s.post("/topic", `{"name":"a","partitions":1}`).want(201)
	poll := func(group string) *answer { return s.get("/events?topic=a&timeout_ms=0&group=" + group) }
	for i := range 3 {
		poll(fmt.Sprintf("g%d", i)).want(200)
	}
	for range 2 {
		e := poll("one-more").wantError(429, "too_many_groups")
		assert.Equal(t, "none", e.Outcome)
		assert.Equal(t, map[string]any{"limit": 3.0}, floats(e.Details))
	}
	poll("g1").want(200)
	s.kill()
	s.again()
	poll("one-more").wantError(429, "too_many_groups")
	id := fmt.Sprint(poll("g0").object()["consumer_id"])
	s.call("DELETE", "/groups/g0/members/"+id, nil).want(204)
	for _, m := range s.get("/groups/g0").object()["members"].([]any) {
		s.call("DELETE", "/groups/g0/members/"+fmt.Sprint(m.(map[string]any)["consumer_id"]), nil).want(204)
	}
	s.call("DELETE", "/groups/g0", nil).want(204)
	poll("one-more").want(200)
}
