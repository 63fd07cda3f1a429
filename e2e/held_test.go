package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// No answer says where on the machine things are, and the profiler is not where the API is.
func TestAnswersNameNoPathOfTheMachine(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("t", 1)
	s.produceAll("t", "v", 1)
	s.poll("topic=t", "group=g")
	paths := []string{
		"/", "/healthz", "/readyz", "/overview", "/metrics", "/openapi.json", "/docs", "/cluster", "/cluster/default", "/brokers", "/topic", "/topic/t",
		"/topics", "/partitions", "/groups", "/groups/g", "/consumer_groups", "/offset_commitments", "/producers", "/nodes", "/tasks", "/fleet", "/nowhere", "/topic/none",
		"/topic/t/partitions/7/records", "/topic/t/partitions/0/records?offset=99", "/events", "/console/", "/console/nothing", "/console/..%2f..%2fetc%2fpasswd",
	}
	for _, path := range paths {
		body := string(s.call("GET", path, nil).body)
		assert.NotContains(t, body, s.dir, path)
		assert.NotContains(t, body, os.TempDir(), path)
		assert.NotContains(t, body, "root:", path)
	}
	for _, body := range []string{`{"name":"x","log_directory":"../../etc"}`, `{"name":"x","log_directory":"/etc"}`, `{"name":"x","log_directory":"default/broker-1"}`} {
		a := s.post("/cluster", body)
		assert.Contains(t, []int{http.StatusUnprocessableEntity, http.StatusConflict}, a.status)
		assert.NotContains(t, string(a.body), s.dir)
	}
	s.get("/debug/pprof/").wantError(http.StatusNotFound, "route_not_found")
	s.get("/debug/pprof/heap").wantError(http.StatusNotFound, "route_not_found")
}

// What a client sends makes no lines of the log, and no fields in them.
func TestNothingIsInjectedIntoTheLog(t *testing.T) {
	t.Parallel()
	const forged = "\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\n"
	s := start(t, "OTTLA_LOG_REQUESTS=true", "OTTLA_LOG_LEVEL=debug", "OTTLA_LOG_FORMAT=json", "OTTLA_AUDIT_FILE=-")
	for _, path := range []string{"/topic/" + url.PathEscape(forged), "/" + url.PathEscape(forged), "/events?topic=" + url.QueryEscape(forged), "/events?" + url.QueryEscape(forged) + "=1"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			a := s.call(method, path, nil, "X-Request-Id", `a","msg":"forged`, "User-Agent", `b","msg":"forged`)
			assert.GreaterOrEqual(t, a.status, 400)
		}
	}
	s.post("/cluster", object{"name": forged}).want(http.StatusUnprocessableEntity)
	s.post("/topic", object{"name": forged}).want(http.StatusUnprocessableEntity)
	s.stop()
	lines := 0
	for line := range strings.Lines(s.stderr.tail(1 << 20)) {
		var fields map[string]any
		if !assert.NoError(t, json.Unmarshal([]byte(line), &fields), line) {
			continue
		}
		lines++
		assert.NotEqual(t, "forged", fields["msg"], line)
		assert.NotEqual(t, "forged", fields["level"], line)
	}
	assert.Greater(t, lines, 12)
}

// A directory that is in use is refused by whatever path it is named.
func TestADataDirectoryInUseByAnotherPath(t *testing.T) {
	t.Parallel()
	s := start(t)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(s.dir, link))
	code, _, stderr := s.ottla("", "serve", "--listen", "127.0.0.1:0", "--data-dir", link)
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "in use")
	s.topic("t", 1)
	s.produceAll("t", "v", 1)
}

// A topic that is deleted and made again is another one to all that was begun before: no
// cursor, offset or stream of the old one reads or skips anything of the new.
func TestATopicMadeAgainIsAnotherOne(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("t", 1)
	s.produceAll("t", "old", 5)
	p := s.poll("topic=t", "group=g", "consumer_id=1", "auto_commit=false")
	require.Len(t, p.Records, 5)
	s.get("/events?topic=t&group=g&consumer_id=1&auto_commit=false&timeout_ms=0&ack=" + url.QueryEscape(p.Cursor)).want(http.StatusOK)
	in, _, end := s.stream("text/event-stream", "/topic/t/stream?from=earliest")
	defer end()
	last := nextMessage(t, in)

	s.delete("/topic/t").want(http.StatusNoContent)
	s.topic("t", 1)
	s.produceAll("t", "new", 3)
	a := s.get("/events?topic=t&group=g&consumer_id=1&auto_commit=false&timeout_ms=0&after=" + url.QueryEscape(p.Cursor))
	assert.NotContains(t, string(a.body), `"old-`)
	if a.status == http.StatusOK {
		assert.Contains(t, string(a.body), `"new-0"`, "from its beginning")
	} else {
		assert.Equal(t, http.StatusConflict, a.status)
	}
	s.eventually(waitTimeout, "the group reads the new topic from its beginning", func() error {
		a, err := s.try("GET", "/events?topic=t&group=g&consumer_id=1&auto_commit=false&timeout_ms=1000", nil)
		if err != nil {
			return err
		}
		if !strings.Contains(string(a.body), `"new-0"`) {
			return fmt.Errorf("not yet: %.200s", a.body)
		}
		return nil
	})
	in, _, end = s.stream("text/event-stream", "/topic/t/stream?after="+url.QueryEscape(last.id))
	defer end()
	assert.Contains(t, nextMessage(t, in).data, `"new-0"`, "all of the new one's partitions came after the cursor")
}
