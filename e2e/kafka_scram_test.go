package e2e

import (
	"context"
	"encoding/base64"
	"errors"
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
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func sha256Of(user, token string) kgo.Opt {
	return kgo.SASL(scram.Auth{User: user, Pass: token}.AsSha256Mechanism())
}

func sha512Of(user, token string) kgo.Opt {
	return kgo.SASL(scram.Auth{User: user, Pass: token}.AsSha512Mechanism())
}

// refused checks that a client is not let in.
func (s *kafkaServer) refused(why string, opts ...kgo.Opt) {
	s.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.at), kgo.RetryTimeout(time.Millisecond)}, opts...)...)
	require.NoError(s.t, err)
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	_, err = cl.SeedBrokers()[0].Request(ctx, kmsg.NewPtrMetadataRequest())
	require.ErrorIs(s.t, err, kerr.SaslAuthenticationFailed, why)
}

// letIn checks that a client is let in.
func (s *kafkaServer) letIn(why string, opts ...kgo.Opt) {
	s.t.Helper()
	_, err := s.kafka(opts...).Request(s.context(), kmsg.NewPtrMetadataRequest())
	require.NoError(s.t, err, why)
}

// Clients show tokens by SCRAM, and what happens to a token holds for those that are
// connected, too.
func TestKafkaClientsShowTokensByScram(t *testing.T) {
	t.Parallel()
	s := prepare(t, "OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN="+adminSecret)
	k := &kafkaServer{server: s, at: freePorts(t)}
	s.args = []string{"--kafka", k.at}
	s.again()
	for _, topic := range []string{"mine", "other"} {
		s.post("/topic", object{"name": topic, "partitions": 1}, admin...).want(http.StatusCreated)
	}
	secret := func(path, body string) string {
		t.Helper()
		var made struct{ Token string }
		a := s.post(path, body, admin...)
		require.Less(t, a.status, 300, "%s", a.body)
		a.decode(&made)
		return made.Token
	}
	token := s.token("team", `[{"do":["read","write"],"topics":"mine"}]`)[1][len("Bearer "):]
	other := s.token("other", `[{"do":["read"]}]`)[1][len("Bearer "):]
	write := func(cl *kgo.Client, topic string) error {
		ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
		defer cancel()
		return cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("1")}).FirstErr()
	}
	one := func(opts ...kgo.Opt) *kgo.Client {
		return k.kafka(append(opts, kgo.DisableIdempotentWrite(), kgo.RecordRetries(1), kgo.RequestRetries(1))...)
	}
	cl := one(sha256Of("team", token))
	require.NoError(t, write(cl, "mine"))
	require.NoError(t, write(one(sha512Of("team", token)), "mine"))
	k.letIn("the administrator", sha256Of("admin", adminSecret))
	err := write(one(sha512Of("team", token)), "other")
	assert.True(t, errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.TopicAuthorizationFailed), "%v", err)
	for why, wrong := range map[string]kgo.Opt{
		"another's secret": sha256Of("team", other), "another's name": sha512Of("other", token), "nobody": sha256Of("nobody", token), "wrong": sha512Of("admin", "guess"),
	} {
		k.refused(why, wrong)
	}

	s.kill() // the keys are as durable as the token
	s.again()
	k.letIn("after kill -9", sha256Of("team", token))
	cl = one(sha256Of("team", token))
	require.NoError(t, write(cl, "mine"))
	s.call(http.MethodPatch, "/tokens/team", `{"allow":[{"do":["write"],"topics":"other"}]}`, admin...).want(http.StatusOK)
	require.NoError(t, write(cl, "other"), "what it may now")
	require.Error(t, write(cl, "mine"), "what it may not any more")

	second := secret("/tokens/team/rotate", `{"overlap_ms":600000}`)
	k.letIn("the secret before", sha256Of("team", token))
	k.letIn("the new one", sha512Of("team", second))
	require.NoError(t, write(cl, "other"), "an open connection goes on")
	third := secret("/tokens/team/rotate", `{"overlap_ms":0}`)
	k.refused("the first", sha256Of("team", token))
	k.refused("the second", sha512Of("team", second))
	require.Error(t, write(cl, "other"), "it was opened with the first")
	last := one(sha512Of("team", third))
	require.NoError(t, write(last, "other"))

	soon := time.Now().Add(1500 * time.Millisecond).UTC().Format(time.RFC3339Nano)
	s.call(http.MethodPatch, "/tokens/team", `{"expires_at":"`+soon+`"}`, admin...).want(http.StatusOK)
	require.Eventually(t, func() bool { return write(last, "other") != nil }, waitTimeout, 50*time.Millisecond, "it expires")
	k.refused("it has expired", sha256Of("team", third))
	s.call(http.MethodPatch, "/tokens/team", `{"expires_at":null}`, admin...).want(http.StatusOK)
	open := one(sha256Of("team", third))
	require.NoError(t, write(open, "other"))
	s.call(http.MethodDelete, "/tokens/team", nil, admin...).want(http.StatusNoContent)
	require.Error(t, write(open, "other"), "it is deleted")
	k.refused("it is deleted", sha256Of("team", third))

	s.hidesKeysOfScram(k)
}

// hidesKeysOfScram looks for the keys of tokens that stand in the files of the log in all
// that the server shows.
func (s *server) hidesKeysOfScram(k *kafkaServer) {
	s.t.Helper()
	var onDisk strings.Builder
	require.NoError(s.t, filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, "__cluster_metadata") {
			raw, err := os.ReadFile(path)
			onDisk.Write(raw)
			return err
		}
		return err
	}))
	keys := regexp.MustCompile(`"sha(?:256|512)":"([A-Za-z0-9+/=]+)"`).FindAllStringSubmatch(onDisk.String(), -1)
	require.GreaterOrEqual(s.t, len(keys), 4, "they are kept")
	cl := k.kafka(sha256Of("admin", adminSecret), kgo.ConsumeTopics("__cluster_metadata"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var shown strings.Builder
	for !strings.Contains(shown.String(), `"other"`) {
		for _, r := range k.take(cl, 1) {
			fmt.Fprintf(&shown, "%s %s\n", r.Key, r.Value)
		}
	}
	for _, path := range []string{"/tokens", "/tokens/other", "/metrics", "/topic/__cluster_metadata/partitions/0/records?max_records=1000", "/events/read?topic=__cluster_metadata", "/overview"} {
		a := s.get(path, admin...)
		shown.Write(a.body)
	}
	shown.WriteString(s.stderr.tail(1 << 20))
	require.Contains(s.t, shown.String(), `"token"`)
	for _, key := range keys {
		require.NotContains(s.t, shown.String(), key[1][:20])
	}
}

// Any node of a fleet takes a token, and no node's salt says whether a name is a token's.
func TestKafkaScramOnAFleet(t *testing.T) {
	t.Parallel()
	f := prepareNodes(t, 3)
	var at []string
	for _, s := range f.nodes {
		port := freePorts(t)
		at = append(at, port)
		s.env = append(s.env, "OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN="+adminSecret)
		s.args = append(s.args, "--kafka", port)
		s.launch()
	}
	f.waitReady()
	s := f.nodes[0]
	var made struct{ Token string }
	salts := map[string]map[string]bool{"team": {}, "nobody": {}}
	s.eventually(waitTimeout, "the fleet's level lets tokens be shown by SCRAM", func() error {
		_ = s.call(http.MethodDelete, "/tokens/team", nil, admin...)
		s.post("/tokens", `{"name":"team","allow":[{"do":["read"]}]}`, admin...).want(http.StatusCreated).decode(&made)
		k := &kafkaServer{server: s, at: at[0]}
		cl := k.kafka(sha256Of("team", made.Token))
		defer cl.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := cl.SeedBrokers()[0].Request(ctx, kmsg.NewPtrMetadataRequest())
		return err
	})
	for i := range at {
		k := &kafkaServer{server: f.nodes[i], at: at[i]}
		s.eventually(waitTimeout, "the node has heard of the token", func() error {
			cl := k.kafka(sha512Of("team", made.Token))
			defer cl.Close()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, err := cl.SeedBrokers()[0].Request(ctx, kmsg.NewPtrMetadataRequest())
			return err
		})
		for name := range salts {
			salts[name][k.salt(name)] = true
		}
		k.refused("a wrong secret", sha256Of("team", "wrong"))
	}
	for name, of := range salts {
		require.Len(t, of, 1, "%s: %v", name, of)
	}
}

// spy notes the first answer of the server, and goes no further.
type spy struct {
	name string
	salt *string
}

var errSeen = errors.New("seen")

func (spy) Name() string { return "SCRAM-SHA-256" }

func (s spy) Authenticate(context.Context, string) (sasl.Session, []byte, error) {
	return s, []byte("n,,n=" + s.name + ",r=0123456789"), nil
}

func (s spy) Challenge(answer []byte) (bool, []byte, error) {
	*s.salt = strings.Split(string(answer), ",")[1]
	return true, nil, errSeen
}

// salt is what the server answers to somebody who says that name.
func (s *kafkaServer) salt(name string) (salt string) {
	s.t.Helper()
	cl := s.kafka(kgo.SASL(spy{name, &salt}))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	_, err := cl.SeedBrokers()[0].Request(ctx, kmsg.NewPtrMetadataRequest())
	require.ErrorIs(s.t, err, errSeen)
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(salt, "s="))
	require.NoError(s.t, err)
	require.Len(s.t, raw, 16)
	return salt
}

// The file of settings that the page on Kafka's clients shows lets kcat in, where it is
// installed, and names what lets in others.
func TestSettingsOfKafkaClients(t *testing.T) {
	t.Parallel()
	s := prepare(t, "OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN="+adminSecret)
	k := &kafkaServer{server: s, at: freePorts(t)}
	s.args = []string{"--kafka", k.at}
	s.again()
	s.post("/topic", object{"name": "team-a.orders", "partitions": 1}, admin...).want(http.StatusCreated)
	token := s.token("team-a", `[{"do":["read","write"],"topics":"team-a.*"}]`)[1][len("Bearer "):]
	shown := blocks(t, "../docs/kafka-clients.md", "properties")
	require.Len(t, shown, 2)
	text := strings.NewReplacer("127.0.0.1:9092", k.at, "ottla_...", token).Replace(shown[0])
	settings := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if name, value, ok := strings.Cut(line, "="); ok {
			settings[name] = value
		}
	}
	require.Equal(t, "SCRAM-SHA-512", settings["sasl.mechanism"])
	k.letIn("who has the settings", kgo.SeedBrokers(settings["bootstrap.servers"]), sha512Of(settings["sasl.username"], settings["sasl.password"]))
	for _, same := range []string{"security.protocol=SASL_PLAINTEXT\n", "sasl.mechanism=SCRAM-SHA-512\n", `username="team-a" password="ottla_..."`} {
		assert.Contains(t, shown[1], same, "as Java has it")
	}
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		t.Log("kcat is not installed")
		return
	}
	file := filepath.Join(t.TempDir(), "kcat.properties")
	for text, letIn := range map[string]bool{text: true, strings.ReplaceAll(text, "512", "256"): true, strings.ReplaceAll(text, token, token+"x"): false} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		cmd := exec.Command(kcat, "-F", file, "-P", "-t", "team-a.orders", "-X", "message.timeout.ms=5000")
		cmd.Stdin = strings.NewReader(`{"n":1}`)
		out, err := cmd.CombinedOutput()
		assert.Equal(t, letIn, err == nil, "%s", out)
		if !letIn {
			assert.Contains(t, string(out), "Authentication failed", "librdkafka shows it")
		}
	}
	assert.EqualValues(t, 2, s.latestAs("team-a.orders"))
}

// latestAs is the end of partition 0 of a topic.
func (s *server) latestAs(topic string) int64 {
	s.t.Helper()
	var v struct{ Latest int64 }
	s.get("/topic/"+topic+"/partitions/0/offsets", admin...).want(http.StatusOK).decode(&v)
	return v.Latest
}
