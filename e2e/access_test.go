package e2e

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
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

const adminSecret = "the-administrator-of-the-tests-0123456789"

// guarded starts a server that asks for tokens.
func guarded(t *testing.T, settings ...string) *server {
	t.Helper()
	return start(t, append(settings, "OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN="+adminSecret)...)
}

// bearer are the headers of a token.
func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

var admin = bearer(adminSecret)

// token creates a token and returns its headers.
func (s *server) token(name, allow string) []string {
	s.t.Helper()
	var created struct{ Token string }
	s.post("/tokens", `{"name":"`+name+`","allow":`+allow+`}`, admin...).want(201).decode(&created)
	require.NotEmpty(s.t, created.Token)
	return bearer(created.Token)
}

// decode decodes as much of the body as v has fields for.
func (a *answer) decode(v any) {
	a.t.Helper()
	require.NoError(a.t, json.Unmarshal(a.body, v), "%s: %s", a.what, a.body)
}

// wantStatus checks the status only.
func (a *answer) wantStatus(status int) *answer {
	a.t.Helper()
	require.Equal(a.t, status, a.status, "%s: %s", a.what, a.body)
	return a
}

// refusedStart has `ottla serve` fail, and returns what it prints.
func refusedStart(t *testing.T, env ...string) (code int, out string) {
	t.Helper()
	cmd := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(t.TempDir(), "data"))
	cmd.Env, cmd.Dir = append(os.Environ(), env...), t.TempDir()
	text, err := cmd.CombinedOutput()
	assert.Error(t, err)
	return cmd.ProcessState.ExitCode(), string(text)
}

// What each team's token may do, and what it may not: nothing of another team's is
// read, written, changed or even seen.
func TestTokensOfTeams(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	s.post("/topic", `{"name":"a.orders","partitions":1}`, admin...).want(201)
	s.post("/topic", `{"name":"b.payments","partitions":1}`, admin...).want(201)
	s.post("/events", `{"topic":"b.payments","value":"secret"}`, admin...).want(200)
	s.get("/events?topic=b.payments&group=b.workers&timeout_ms=0", admin...).want(200)
	a := s.token("team-a", `[{"do":["read","write"],"topics":"a.*","groups":"a.*"}]`)

	s.run("its own", func(t *testing.T) {
		s.post("/events", `{"topic":"a.orders","value":1}`, a...).want(200)
		s.post("/events", `{"topic":"a.new","value":1}`, a...).want(200) // who may write may have the topic made
		s.get("/events?topic=a.orders&group=a.workers", a...).want(200)
		s.get("/topic/a.orders/partitions/0/records?offset=0", a...).want(200)
		s.get("/offset?group=a.workers", a...).want(200)
		s.get("/groups/a.workers", a...).want(200)
		s.get("/topic/a.orders", a...).want(200)
	})
	s.run("of others", func(t *testing.T) {
		for _, r := range []struct{ method, path, body, action, kind string }{
			{"POST", "/events", `{"topic":"b.payments","value":1}`, "write", "topic"},
			{"POST", "/events", `{"topic":"b.payments","records":[{"value":1}]}`, "write", "topic"},
			{"POST", "/events?topic=b.payments", `{"value":1}`, "write", "topic"},
			{"POST", "/events", `{"topic":"b.new","value":1}`, "write", "topic"},
			{"POST", "/events", `{"topic":"b.payments","value":1,"cluster":"default"}`, "write", "topic"},
			{"POST", "/topic/b.payments/events", `1`, "write", "topic"},
			{"POST", "/topic", `{"name":"a.made"}`, "admin", "topic"},
			{"PATCH", "/topic/a.orders", `{"partitions":3}`, "admin", "topic"},
			{"DELETE", "/topic/a.orders", "", "admin", "topic"},
			{"DELETE", "/topic/b.payments", "", "admin", "topic"},
			{"POST", "/cluster", `{"name":"mine","num_brokers":1}`, "admin", "cluster"},
			{"DELETE", "/cluster/default", "", "admin", "cluster"},
			{"POST", "/cluster/default/brokers/1/stop", "", "admin", "cluster"},
			{"GET", "/events?topic=a.orders&group=b.workers", "", "read", "group"},
			{"GET", "/events?topic=a.orders", "", "read", "group"},
			{"DELETE", "/groups/a.workers", "", "admin", "group"},
			{"GET", "/metrics", "", "read", "everything"},
			{"GET", "/overview", "", "read", "everything"},
			{"POST", "/tokens", `{"name":"x","allow":[{"do":["admin"]}]}`, "admin", "everything"},
			{"PATCH", "/tokens/team-a", `{"allow":[{"do":["admin"]}]}`, "admin", "everything"},
			{"DELETE", "/tokens/team-a", "", "admin", "everything"},
		} {
			headers := a
			if strings.HasPrefix(r.path, "/events?topic=b") {
				headers = append([]string{"Content-Type", "application/x-ndjson"}, a...)
			}
			e := s.call(r.method, r.path, r.body, headers...).wantError(403, "forbidden")
			assert.Equal(t, "none", e.Outcome)
			assert.Equal(t, r.action, e.Details["action"], "%s %s", r.method, r.path)
			assert.Equal(t, r.kind, e.Details["resource"].(map[string]any)["kind"], "%s %s", r.method, r.path)
		}
		for path, code := range map[string]string{
			"/topic/b.payments":                                 "topic_not_found",
			"/topic/b.payments/partitions/0/records":            "topic_not_found",
			"/topic/b.payments/partitions/0/offsets":            "topic_not_found",
			"/topic/b.payments/stream":                          "topic_not_found",
			"/events?topic=b.payments&group=a.workers":          "topic_not_found",
			"/events?topic=a.orders&topic=b.payments&group=a.w": "topic_not_found",
			"/events?topic=b.paymentz&group=a.w":                "topic_not_found",
			"/groups/b.workers":                                 "group_not_found",
			"/offset?group=b.workers":                           "group_not_found",
			"/topic/__consumer_offsets/partitions/0/records":    "topic_not_found",
			"/topic/__cluster_metadata":                         "topic_not_found",
			"/tokens/other":                                     "token_not_found",
		} {
			e := s.get(path, a...).wantError(404, code)
			assert.NotContains(t, e.Message+fmt.Sprint(e.Details), "did you mean", path)
			assert.NotContains(t, fmt.Sprint(e.Details), "b.payments", path)
		}
		// A topic that exists and one that does not are told apart by nothing.
		there, missing := s.get("/topic/b.payments", a...).anyError(), s.get("/topic/b.nothere", a...).anyError()
		assert.Equal(t, strings.ReplaceAll(there.Message, "b.payments", "X"), strings.ReplaceAll(missing.Message, "b.nothere", "X"))
		s.call("POST", "/groups/b.workers/seek", `{"topic":"a.orders","to":"earliest"}`, a...).wantError(404, "group_not_found")
		s.call("POST", "/groups/a.workers/seek", `{"topic":"b.payments","to":"earliest"}`, a...).wantError(404, "topic_not_found")
		s.call("POST", "/offset", `{"consumer_id":1,"group":"b.workers","offsets":[{"topic":"a.orders","partition":0,"offset":1}]}`, a...).wantError(404, "group_not_found")
		s.call("POST", "/offset", `{"consumer_id":1,"group":"a.workers","offsets":[{"topic":"a.orders","partition":0,"offset":1},{"topic":"b.payments","partition":0,"offset":1}]}`, a...).wantError(404, "topic_not_found")
		s.call("DELETE", "/groups/b.workers/members/1", "", a...).wantError(404, "group_not_found")
		s.call("POST", "/groups/b.workers/members/1/heartbeat", "", a...).wantError(404, "group_not_found")
	})
	s.run("lists", func(t *testing.T) {
		for _, path := range []string{
			"/topic", "/topic?internal=true", "/topics", "/topics?internal=true", "/partitions", "/groups", "/consumer_groups", "/offset_commitments",
			"/cluster/default", "/producers", "/tokens", "/readyz",
		} {
			body := string(s.get(path, a...).want(200).body)
			assert.NotContains(t, body, "b.payments", path)
			assert.NotContains(t, body, "b.workers", path)
			assert.NotContains(t, body, "__", path)
		}
		assert.Contains(t, string(s.get("/topic", a...).body), "a.orders")
		assert.Contains(t, string(s.get("/groups", a...).body), "a.workers")
		assert.Contains(t, string(s.get("/topic?internal=true", admin...).body), "__consumer_offsets")
		assert.NotContains(t, string(s.get("/topic", admin...).body), "a.made", "nothing half happened")
		assert.NotContains(t, string(s.get("/topic", admin...).body), "b.new")
	})
	s.run("whole", func(t *testing.T) {
		reader := s.token("monitor", `[{"do":["read"]}]`)
		s.get("/metrics", reader...).wantStatus(200)
		s.get("/topic/__consumer_offsets/partitions/0/records", reader...).want(200)
		s.post("/events", `{"topic":"a.orders","value":1}`, reader...).wantError(403, "forbidden")
		s.call("GET", "/events?topic=a.fresh&auto_create=true&group=g", nil, reader...).wantError(403, "forbidden")
	})
	log := s.stderr.tail(1 << 20)
	for _, secret := range []string{adminSecret, strings.TrimPrefix(a[1], "Bearer ")} {
		assert.NotContains(t, log, secret)
	}
}

// Tokens survive a kill, a compaction and the loss of a leader of the metadata.
func TestTokensLast(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	kept := s.token("kept", `[{"do":["write"],"topics":"k"}]`)
	gone := s.token("gone", `[{"do":["write"],"topics":"k"}]`)
	s.call("DELETE", "/tokens/gone", nil, admin...).want(204)
	for broker := 1; broker <= 3; broker++ {
		s.post(fmt.Sprintf("/cluster/default/brokers/%d/stop", broker), nil, admin...).want(200)
		s.post("/events", `{"topic":"k","value":1}`, kept...).want(200)
		s.call("PATCH", "/tokens/kept", fmt.Sprintf(`{"allow":[{"do":["write"],"topics":"k"},{"do":["read"],"topics":"only%d"}]}`, broker), admin...).want(200)
		s.post(fmt.Sprintf("/cluster/default/brokers/%d/start", broker), nil, admin...).want(200)
	}
	s.kill()
	s.again()
	s.post("/events", `{"topic":"k","value":1}`, kept...).want(200)
	s.post("/events", `{"topic":"k","value":1}`, gone...).wantError(401, "unauthorized")
	assert.Contains(t, string(s.get("/tokens/kept", admin...).want(200).body), "only3")
	s.call("DELETE", "/cluster/default", nil, admin...).wantError(422, "not_allowed")

	// What is on disk is the hash.
	secret := strings.TrimPrefix(kept[1], "Bearer ")
	hashes := 0
	require.NoError(t, filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		assert.NotContains(t, string(text), secret, path)
		hashes += len(regexp.MustCompile(`"hash":"[0-9a-f]{64}"`).FindAll(text, -1))
		return err
	}))
	assert.NotZero(t, hashes)
}

// A poll and a stream that wait for records end when their token is deleted.
func TestWaitingReadsLoseTheirToken(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	s.post("/topic", `{"name":"t","partitions":3}`, admin...).want(201)
	for _, end := range []struct {
		name, method, body, code string
		status                   int
	}{
		{"deleted", "DELETE", "", "unauthorized", 401},
		{"changed", "PATCH", `{"allow":[{"do":["read"],"topics":"u","groups":"g*"}]}`, "forbidden", 403},
	} {
		token := s.token(end.name, `[{"do":["read"],"topics":"t","groups":"g*"}]`)
		type result struct {
			a   *answer
			err error
		}
		polled := make(chan result, 2)
		for _, path := range []string{"/events?topic=t&group=g1&timeout_ms=30000", "/topic/t/partitions/0/records?timeout_ms=30000&offset=0"} {
			go func() {
				a, err := s.try("GET", path, nil, token...)
				polled <- result{a, err}
			}()
		}
		var streams []*bufio.Reader
		for _, path := range []string{"/events?topic=t&group=g2&session_timeout_ms=30000", "/topic/t/stream"} {
			req, err := http.NewRequest(http.MethodGet, s.base+path, nil)
			require.NoError(t, err)
			req.Header.Set("Authorization", token[1])
			req.Header.Set("Accept", "text/event-stream")
			stream, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			defer stream.Body.Close()
			streams = append(streams, bufio.NewReader(stream.Body))
			_, err = streams[len(streams)-1].ReadString('\n')
			require.NoError(t, err)
		}
		s.eventually(waitTimeout, "all wait", func() error {
			text := string(s.get("/metrics", admin...).body)
			if !regexp.MustCompile(`(?m)^ottla_http_parked_polls 4$`).MatchString(text) {
				return fmt.Errorf("not yet: %s", regexp.MustCompile(`(?m)^ottla_http_parked.*$`).FindString(text))
			}
			return nil
		})
		began := time.Now()
		s.call(end.method, "/tokens/"+end.name, end.body, admin...).wantStatus(map[string]int{"DELETE": 204, "PATCH": 200}[end.method])
		for range 2 {
			r := <-polled
			require.NoError(t, r.err)
			r.a.t = t
			r.a.wantError(end.status, end.code)
		}
		for _, lines := range streams {
			rest, err := io.ReadAll(lines)
			require.NoError(t, err)
			assert.Contains(t, string(rest), "event: problem\n")
			assert.Contains(t, string(rest), `"code":"`+end.code+`"`)
		}
		assert.Less(t, time.Since(began), 20*time.Second, "not by their own time-outs")
	}
}

func TestStartsThatContradictThemselves(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(adminSecret+"\n"), 0o600))
	for _, c := range []struct {
		env  []string
		says string
	}{
		{[]string{"OTTLA_ADMIN_TOKEN=" + adminSecret}, "auth.mode: token"},
		{[]string{"OTTLA_AUTH_ADMIN_TOKEN_FILE=" + file}, "auth.mode: token"},
		{[]string{"OTTLA_AUTH_MODE=on"}, "auth.mode"},
		{[]string{"OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN=a b " + adminSecret}, "printable"},
		{[]string{"OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN=" + adminSecret, "OTTLA_AUTH_ADMIN_TOKEN_FILE=" + file}, "choose one"},
		{[]string{"OTTLA_AUTH_MODE=token", "OTTLA_AUTH_ADMIN_TOKEN_FILE=" + file + ".missing"}, "no such file"},
	} {
		code, out := refusedStart(t, c.env...)
		assert.NotZero(t, code, c.env)
		assert.Contains(t, out, c.says)
		assert.NotContains(t, out, adminSecret)
	}
	s := start(t, "OTTLA_AUTH_MODE=token", "OTTLA_AUTH_ADMIN_TOKEN_FILE="+file)
	s.get("/topic", admin...).want(200)
	s.get("/topic").wantError(401, "unauthorized")
}

// The example of the page on security: a token for a team.
func TestTokensOfTheSecurityPage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret, file := filepath.Join(dir, "admin-token"), filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(secret, []byte(adminSecret+"\n"), 0o600))
	settings := strings.ReplaceAll(blocks(t, "../docs/security.md", "yaml")[1], "/etc/ottla/admin-token", secret)
	require.NoError(t, os.WriteFile(file, []byte(settings), 0o600))
	s := prepare(t)
	s.args = []string{"--config", file}
	s.again()
	// What differs each time is not compared.
	plain := func(text string) string {
		text = regexp.MustCompile(`ottla_[\w-]+|ottla_\.\.\.`).ReplaceAllString(text, "TOKEN")
		text = regexp.MustCompile(` +`).ReplaceAllString(text, " ")
		return regexp.MustCompile(`[0-9]+`).ReplaceAllString(strings.TrimSpace(text), "0")
	}
	token := ""
	for _, step := range stepsOf(blocks(t, "../docs/security.md", "console")[:2]) {
		out, err := s.shell("export HOME=" + dir + " ADMIN=" + adminSecret + " TOKEN=" + token + "; unset XDG_CONFIG_HOME OTTLA_SERVER; " + step.command)
		require.NoError(t, err, step.command)
		if m := regexp.MustCompile(`ottla_[\w-]{43}`).FindString(out); m != "" {
			token = m
		}
		rest := plain(strings.ReplaceAll(out, s.base, "http://localhost:8080"))
		for _, piece := range strings.Split(plain(step.output), "...") {
			_, after, found := strings.Cut(rest, piece)
			require.True(t, found, "%s prints %s, where the page has %s", step.command, out, step.output)
			rest = after
		}
	}
	require.NotEmpty(t, token)
}

// A line of the audit has the fields that the page on security shows.
func TestAuditOfTheSecurityPage(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	s := guarded(t, "OTTLA_AUDIT_FILE="+file)
	team := s.token("team-a", `[{"do":["read"],"topics":"team-a.*"}]`)
	s.call("DELETE", "/topic/team-b.orders", nil, team...).wantError(403, "forbidden")
	s.call("DELETE", "/topic/team-b.orders", nil).wantError(401, "unauthorized")
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	require.Len(t, lines, 2)
	var want, got map[string]any
	require.NoError(t, json.Unmarshal([]byte(blocks(t, "../docs/security.md", "json")[0]), &want))
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &got))
	for _, differs := range []string{"time", "remote", "request_id"} {
		assert.NotEmpty(t, got[differs])
		want[differs] = got[differs]
	}
	assert.Equal(t, want, got)
}

// The settings of the page on security for JSON web tokens.
func TestJSONWebTokensOfTheSecurityPage(t *testing.T) {
	t.Parallel()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	dir := t.TempDir()
	keys, file := filepath.Join(dir, "jwks.json"), filepath.Join(dir, "config.yaml")
	b64 := base64.RawURLEncoding.EncodeToString
	require.NoError(t, os.WriteFile(keys, []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"1","x":"`+b64(pub)+`"}]}`), 0o600))
	settings := strings.ReplaceAll(blocks(t, "../docs/security.md", "yaml")[3], "/etc/ottla/jwks.json", keys)
	require.NoError(t, os.WriteFile(file, []byte(settings), 0o600))
	s := prepare(t, "OTTLA_ADMIN_TOKEN="+adminSecret)
	s.args = []string{"--config", file}
	s.again()
	signed := func(audience string) []string {
		text := b64([]byte(`{"alg":"EdDSA","kid":"1"}`)) + "." + b64([]byte(fmt.Sprintf(
			`{"iss":"https://id.example/realms/main","aud":%q,"sub":"alice","exp":%d,"realm_access":{"roles":["offline","team-a"]}}`, audience, time.Now().Add(time.Hour).Unix())))
		return bearer(text + "." + b64(ed25519.Sign(key, []byte(text))))
	}
	alice := signed("ottla")
	s.post("/events", `{"topic":"a","value":1}`, alice...).wantError(401, "unauthorized")
	s.token("team-a", `[{"do":["write"],"topics":"a"}]`)
	s.post("/events", `{"topic":"a","value":1}`, alice...).want(200)
	e := s.post("/events", `{"topic":"b","value":1}`, alice...).wantError(403, "forbidden")
	assert.Contains(t, e.Message, `"jwt:alice" may not write topic "b"`)
	s.post("/events", `{"topic":"a","value":1}`, signed("other")...).wantError(401, "unauthorized")
	s.call("DELETE", "/tokens/team-a", nil, admin...).want(204)
	s.post("/events", `{"topic":"a","value":1}`, alice...).wantError(401, "unauthorized")
}

// A quota of partitions counts what the token has created, automatically too, and
// gives room again when topics are deleted.
func TestQuotaOfPartitions(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	var created struct{ Token string }
	s.post("/tokens", `{"name":"team","allow":[{"do":["read","write","admin"],"topics":"t.*"}],"quota":{"partitions":4}}`, admin...).want(201).decode(&created)
	team := bearer(created.Token)
	s.post("/topic", `{"name":"t.of-the-admin","partitions":9}`, admin...).want(201)
	s.post("/events", `{"topic":"t.auto","value":1}`, team...).want(200) // 3 partitions
	e := s.post("/events", `{"topic":"t.more","value":1}`, team...).wantError(429, "quota_exceeded")
	assert.Equal(t, "none", e.Outcome)
	assert.Equal(t, map[string]any{"quota": "partitions", "limit": 4.0, "used": 3.0, "asked": 3.0}, floats(e.Details))
	s.post("/topic", `{"name":"t.one","partitions":1}`, team...).want(201)
	s.call("PATCH", "/topic/t.one", `{"partitions":2}`, team...).wantError(429, "quota_exceeded")
	s.kill()
	s.again()
	s.post("/topic", `{"name":"t.two","partitions":1}`, team...).wantError(429, "quota_exceeded")
	s.call("DELETE", "/topic/t.auto", nil, team...).want(204)
	s.post("/topic", `{"name":"t.two","partitions":3}`, team...).want(201)
	s.call("PATCH", "/tokens/team", `{"quota":{"partitions":5}}`, admin...).want(200)
	s.post("/topic", `{"name":"t.three","partitions":1}`, team...).want(201)
}

// floats makes numbers of JSON comparable.
func floats(m map[string]any) map[string]any {
	for name, v := range m {
		if n, ok := v.(json.Number); ok {
			m[name], _ = n.Float64()
		}
	}
	return m
}
