package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rawRecords are the records of a partition, as the API shows them without the topic, and
// its start and end.
func (s *server) rawRecords(cluster, topic string, partition int) (lines []string, start, end int64) {
	s.t.Helper()
	type page struct {
		Records       []map[string]json.RawMessage
		NextOffset    int64 `json:"next_offset"`
		HighWatermark int64 `json:"high_watermark"`
		Earliest      int64
	}
	s.eventually(waitTimeout, "the partition says where it ends", func() error { // null: its leader could not be asked in time
		var info struct {
			Partitions []struct{ Earliest, Latest *int64 }
		}
		s.get("/topic/" + topic + "?cluster=" + cluster).want(http.StatusOK).loosely(&info)
		p := info.Partitions[partition]
		if p.Earliest == nil || p.Latest == nil {
			return fmt.Errorf("%v", p)
		}
		start, end = *p.Earliest, *p.Latest
		return nil
	})
	for at := start; at < end; {
		var p page
		s.get(fmt.Sprintf("/topic/%s/partitions/%d/records?cluster=%s&offset=%d&max_records=1000", topic, partition, cluster, at)).want(http.StatusOK).loosely(&p)
		for _, r := range p.Records {
			delete(r, "topic")
			b, err := json.Marshal(r) // sorted by field
			require.NoError(s.t, err)
			lines = append(lines, string(b))
		}
		require.Greater(s.t, p.NextOffset, at)
		at = p.NextOffset
	}
	return lines, start, end
}

func (s *server) typed(args ...string) string {
	s.t.Helper()
	code, out, problem := s.ottla("", args...)
	require.Zero(s.t, code, "%v: %s %s", args, out, problem)
	return out
}

// A backup has all that a client could see: offsets with the gaps that compaction and
// retention have left, times, keys and values of all kinds, headers, settings and groups.
func TestBackupIsRestoredExactly(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_STORAGE_RETENTION_CHECK_INTERVAL=100ms")
	dir := filepath.Join(t.TempDir(), "backup")
	s.post("/topic", object{"name": "kinds", "partitions": 2, "retention_ms": 86400000000}).want(http.StatusCreated)
	for _, rec := range []string{
		`{"key":"k","value":{"a":1.50,"b":[true,null]},"headers":{"h":"v"},"timestamp":1000}`,
		`{"key_text":"no \u0000 json","value_base64":"/wA=","timestamp":2000}`,
		`{"key":12345678901234567890,"value":null}`,
		`{"value_text":"only text","headers":[["n","1"],["n",{"b64":"/w=="}],["z",null]]}`,
		`{"key_base64":"AP8=","value":"","deliver_at":1790000000000}`,
	} {
		s.post("/events", json.RawMessage(`{"topic":"kinds","records":[{"partition":1,`+rec[1:]+`]}`)).want(http.StatusOK)
	}
	s.post("/topic", object{"name": "table", "partitions": 1, "cleanup_policy": "compact", "segment_bytes": 65536}).want(http.StatusCreated)
	for i := range 300 { // 30 segments of which compaction leaves little
		s.produce("table", object{"key": i % 7, "value": strings.Repeat("x", 4000)})
	}
	s.eventually(waitTimeout, "compaction", func() error {
		if lines, _, _ := s.rawRecords("default", "table", 0); len(lines) > 200 {
			return fmt.Errorf("%d records", len(lines))
		}
		return nil
	})
	s.post("/topic", object{"name": "trimmed", "partitions": 1}).want(http.StatusCreated)
	for i := range 20 {
		s.produce("trimmed", object{"value": i})
	}
	s.post("/topic/trimmed/delete-records", object{"partitions": []object{{"partition": 0, "before": 15}}}).want(http.StatusOK)
	s.poll("topic=trimmed", "group=g", "consumer_id=1", "auto_commit=true", "max_records=2")

	assert.Contains(t, s.typed("backup", "create", dir), "backup 1 of cluster default is complete: 3 topics")
	s.produce("trimmed", object{"value": "later"})
	assert.Contains(t, s.typed("backup", "create", dir), "backup 2")
	assert.Contains(t, s.typed("backup", "verify", dir), "is intact")
	assert.Len(t, strings.Split(strings.TrimSpace(s.typed("backup", "list", dir)), "\n"), 3)
	later, err := filepath.Glob(filepath.Join(dir, "*-0", "00000000000000000020-00000000000000000021.ndjson"))
	require.NoError(t, err)
	assert.Len(t, later, 1, "only what was new is read")

	s.typed("restore", dir, "--cluster", "again")
	for topic, partitions := range map[string]int{"kinds": 2, "trimmed": 1} {
		for p := range partitions {
			was, start, end := s.rawRecords("default", topic, p)
			is, begins, ends := s.rawRecords("again", topic, p)
			assert.Equal(t, was, is, topic)
			assert.Equal(t, []int64{start, end}, []int64{begins, ends}, topic)
		}
	}
	var group struct {
		Offsets []struct{ Committed int64 }
	}
	s.get("/offset?cluster=again&group=g&topic=trimmed").want(http.StatusOK).loosely(&group)
	assert.EqualValues(t, 17, group.Offsets[0].Committed)
	var settings struct {
		RetentionMs int64 `json:"retention_ms"`
		Restoring   string
	}
	s.get("/topic/kinds?cluster=again").want(http.StatusOK).loosely(&settings)
	assert.EqualValues(t, 86400000000, settings.RetentionMs)
	assert.Empty(t, settings.Restoring)

	was, _, end := s.rawRecords("default", "table", 0)
	s.eventually(waitTimeout, "compaction removes what stands in the gaps", func() error {
		is, _, ends := s.rawRecords("again", "table", 0)
		if end != ends {
			return fmt.Errorf("the end is %d, not %d", ends, end)
		}
		had := map[string]bool{}
		for _, line := range was {
			had[line] = true
		}
		for _, line := range is {
			if !had[line] {
				return fmt.Errorf("it is not in the backup: %.200s", line)
			}
		}
		assert.Equal(t, newestByKey(t, was), newestByKey(t, is)) // compaction may have gone on
		return nil
	})

	code, _, problem := s.ottla("", "restore", dir, "--cluster", "again", "--number", "1")
	assert.NotZero(t, code)
	assert.Contains(t, problem, "already exists")
	assert.Contains(t, problem, "only the topics that are missing with --topic")
	s.typed("restore", dir, "--topic", "kinds=other", "--prefix", "new-")
	is, _, _ := s.rawRecords("default", "new-other", 1)
	was, _, _ = s.rawRecords("default", "kinds", 1)
	assert.Equal(t, was, is)
}

// newestByKey is the newest record of each key.
func newestByKey(t *testing.T, lines []string) map[string]string {
	newest := map[string]string{}
	for _, line := range lines {
		var r struct{ Key json.RawMessage }
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		newest[string(r.Key)] = line
	}
	return newest
}

// A restore that is killed in the middle leaves a topic that nobody takes for complete,
// and goes on; a backup that is killed leaves none.
func TestBackupAndRestoreAreInterrupted(t *testing.T) {
	t.Parallel()
	s := start(t)
	dir := filepath.Join(t.TempDir(), "backup")
	s.topic("many", 3)
	batch := []object{}
	for i := range 4000 {
		batch = append(batch, object{"key": i, "value": strings.Repeat("y", 200)})
	}
	for range 5 {
		s.post("/events", object{"topic": "many", "records": batch}).want(http.StatusOK)
	}
	interrupt := func(until func() bool, args ...string) {
		t.Helper()
		cmd := exec.Command(binary, append(args, "--server", s.base)...) // the test's own
		require.NoError(t, cmd.Start())
		for deadline := time.Now().Add(waitTimeout); !until() && time.Now().Before(deadline); {
			<-time.After(time.Millisecond) // between two looks
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
	}
	read := func() bool {
		files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
		require.NoError(t, err)
		return len(files) > 0
	}
	interrupt(read, "backup", "create", dir)
	if _, err := os.Stat(filepath.Join(dir, "BACKUP-1.json")); err != nil {
		code, _, problem := s.ottla("", "restore", dir, "--cluster", "again")
		assert.NotZero(t, code)
		assert.Contains(t, problem, "there is no complete backup")
	}
	s.typed("backup", "create", dir)

	end := func(cluster string) (n int64) {
		var info struct {
			Restoring  string
			Partitions []struct{ Latest int64 }
		}
		a, err := s.try(http.MethodGet, "/topic/many?cluster="+cluster, nil)
		require.NoError(t, err)
		if a.status != http.StatusOK {
			return 0
		}
		a.loosely(&info)
		for _, p := range info.Partitions {
			n += p.Latest
		}
		return n
	}
	interrupt(func() bool { return end("again") > 0 }, "restore", dir, "--cluster", "again")
	if n := end("again"); n < 20000 {
		s.produce("many", object{"partition": 0, "value": "clients that name no cluster go on"})
		s.get("/topic/many/partitions/0/records?cluster=again").wantError(http.StatusServiceUnavailable, "topic_restoring")
		s.post("/events", object{"topic": "many", "cluster": "again", "value": 1}).wantError(http.StatusServiceUnavailable, "topic_restoring")
	}
	s.kill()
	s.again()
	s.typed("restore", dir, "--cluster", "again")
	for p := range 3 {
		was, _, _ := s.rawRecords("default", "many", p)
		is, _, _ := s.rawRecords("again", "many", p)
		if p == 0 && len(was) == len(is)+1 { // what was written after the backup
			was = was[:len(is)]
		}
		assert.Equal(t, was, is)
	}
	assert.Contains(t, s.typed("restore", dir, "--cluster", "again"), "is restored", "there is nothing left to do")

	files, err := filepath.Glob(filepath.Join(dir, "*", "*.ndjson"))
	require.NoError(t, err)
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(files[0], regexp.MustCompile(`y`).ReplaceAll(text, []byte("z")), 0o600))
	code, _, problem := s.ottla("", "backup", "verify", dir)
	assert.NotZero(t, code)
	assert.Contains(t, problem, "is damaged: its content does not match the manifest")
	code, _, problem = s.ottla("", "restore", dir, "--cluster", "third")
	assert.NotZero(t, code)
	assert.Contains(t, problem, "is damaged")
	assert.Contains(t, string(s.get("/topic/many?cluster=third").body), `"restoring":"restore-`)
}

// A fleet is backed up while clients write and nodes are killed. The restored partitions
// are what the others were at some time after the backup began: they have all that was
// acknowledged before, under the same offsets, and nothing that was not written.
func TestBackupOfAFleetUnderLoadAndKills(t *testing.T) {
	t.Parallel()
	f := startNodes(t, 3)
	f.nodes[0].topic("t", 3)
	l := f.load("t", 3, 6)
	dir := filepath.Join(t.TempDir(), "backup")
	var servers []string
	for _, s := range f.nodes {
		servers = append(servers, s.base)
	}
	run := func(args ...string) error {
		out, err := exec.Command(binary, append(args, "--server", strings.Join(servers, ","))...).CombinedOutput() // the test's own
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	var before []int64
	for round := range 6 {
		l.advance(300)
		before = l.seen()
		made := make(chan error, 1)
		go func() { made <- run("backup", "create", dir) }()
		victim := f.nodes[round%3]
		victim.kill()
		victim.launch()
		require.NoError(t, <-made, "it waits for leaders")
		f.waitReady()
	}
	restored := make(chan error, 1)
	go func() { restored <- run("restore", dir, "--cluster", "again", "--prefix", "old-") }()
	f.nodes[1].kill()
	f.nodes[1].launch()
	if err := <-restored; err != nil { // a new cluster may not be made while a node is away
		f.waitReady()
		require.NoError(t, run("restore", dir, "--cluster", "again", "--prefix", "old-"))
	}
	f.waitReady()
	l.check()
	for p := range 3 {
		was, _, _ := f.nodes[0].rawRecords("default", "t", p)
		is, start, end := f.nodes[2].rawRecords("again", "old-t", p)
		assert.Zero(t, start)
		assert.GreaterOrEqual(t, end, before[p], "what was acknowledged before the backup began")
		require.LessOrEqual(t, len(is), len(was))
		assert.Equal(t, was[:len(is)], is)
	}
}
