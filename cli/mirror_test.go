package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/mirror"
)

// kafkaSource is a server that also listens for Kafka clients, at address; its topic t has
// the values 0 to 29 in two partitions, of which group g has committed the first ten.
func kafkaSource(t *testing.T) (s *standIn, address string) {
	t.Helper()
	s, _ = liveServerWith(t, t.TempDir(), map[string]string{"OTTLA_KAFKA_LISTEN": "127.0.0.1:0"})
	s.must(t, "", "cluster", "create", "default", "--num-brokers", "1")
	address = s.kafkaAddress(t)
	s.must(t, "", "topic", "create", "t", "--partitions", "2", "--retention-ms", "3600000")
	var in strings.Builder
	for i := range 30 {
		fmt.Fprintf(&in, "%d\n", i)
	}
	s.must(t, in.String(), "produce", "t", "--partition", "1")
	member := groupMember(t, address, "g", "t")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	first := member.PollRecords(ctx, 10).Records()
	require.Len(t, first, 10)
	require.NoError(t, member.CommitRecords(ctx, first...))
	member.Close()
	return s, address
}

// groupMember is a Kafka client that reads a topic as a member of a group.
func groupMember(t *testing.T, address, group, topic string) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// What is tried is said in a table or in JSON and changes nothing; what is copied is what was
// there, with its partitions, its settings and where its groups are, and is copied once.
func TestMirrorFromAServer(t *testing.T) {
	_, from := kafkaSource(t)
	to, _ := liveServer(t, t.TempDir())
	to.must(t, "", "cluster", "create", "default", "--num-brokers", "1")

	table := to.must(t, "", "mirror", "--from", from, "--all", "--all-groups", "--dry-run")
	assert.Regexp(t, `(?m)^TOPIC +PARTITIONS +TO COPY, ABOUT +TOPIC HERE\nt +2 +30 +is made\ngroup g$`, table)
	var plan struct {
		Topics []struct {
			Topic      string
			Partitions int
			Records    int64
			New        bool
		}
		Groups []string
	}
	require.NoError(t, json.Unmarshal([]byte(to.must(t, "", "mirror", "--from", from, "--topics", "t", "--groups", "g", "--dry-run", "--output", "json")), &plan))
	require.Len(t, plan.Topics, 1)
	assert.Equal(t, "t", plan.Topics[0].Topic)
	assert.Equal(t, 2, plan.Topics[0].Partitions)
	assert.EqualValues(t, 30, plan.Topics[0].Records)
	assert.True(t, plan.Topics[0].New)
	assert.Equal(t, []string{"g"}, plan.Groups)
	code, _, _ := to.ottla(t, "", "topic", "describe", "t")
	assert.Equal(t, exitFailed, code, "a dry run makes nothing")

	assert.Equal(t, "30 records of 1 topic copied, offsets of 1 group moved\n", to.must(t, "", "mirror", "--from", from, "--all", "--all-groups"))
	assert.Contains(t, to.must(t, "", "topic", "describe", "t"), "RETENTION         1h\n")
	out := to.must(t, "", "consume", "t", "--partition", "1", "--offset", "0", "--values", "--max-records", "30")
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		assert.Equal(t, fmt.Sprint(i), line)
	}
	offsets := to.must(t, "", "offset", "list", "--group", "g")
	assert.Regexp(t, `(?m)^t +1 +10 `, offsets)

	assert.Equal(t, "0 records of 1 topic copied, offsets of 0 groups moved\n", to.must(t, "", "mirror", "--from", from, "--topics", "t", "--groups", "g"))
	assert.JSONEq(t, `{"topics":1,"records":0,"groups_moved":0}`, to.must(t, "", "mirror", "--from", from, "--topics", "t", "--output", "json"))
	assert.Regexp(t, `(?m)^t +2 +0 +exists$`, to.must(t, "", "mirror", "--from", from, "--all", "--dry-run"))
}

// An interruption is the usual end of a mirror that follows.
func TestMirrorFollowsUntilItIsInterrupted(t *testing.T) {
	source, from := kafkaSource(t)
	to, _ := liveServer(t, t.TempDir())
	to.must(t, "", "cluster", "create", "default", "--num-brokers", "1")
	ended := make(chan struct{})
	var code int
	var stdout, stderr string
	go func() {
		defer close(ended)
		code, stdout, stderr = to.ottla(t, "", "mirror", "--from", from, "--topics", "t", "--follow")
	}()
	copied := func(values ...string) func() bool {
		return func() bool {
			other := &standIn{url: to.url, signals: make(chan os.Signal, 2)}
			_, out, _ := other.ottla(t, "", "consume", "t", "--partition", "1", "--offset", "0", "--values", "--wait", "10ms")
			return strings.HasSuffix(out, strings.Join(values, "\n")+"\n")
		}
	}
	require.Eventually(t, copied("28", "29"), time.Minute, 10*time.Millisecond)
	source.must(t, "\"later\"\n", "produce", "t", "--partition", "1")
	require.Eventually(t, copied("29", "later"), time.Minute, 10*time.Millisecond)
	to.signals <- syscall.SIGINT
	select {
	case <-ended:
	case <-time.After(time.Minute):
		require.FailNow(t, "it goes on")
	}
	assert.Equal(t, exitOK, code, stderr)
	assert.Equal(t, "31 records of 1 topic copied, offsets of 0 groups moved\n", stdout)
}

// What cannot be done is said, and nothing is done.
func TestMirrorSaysWhyItDoesNothing(t *testing.T) {
	_, from := kafkaSource(t)
	to, _ := liveServer(t, t.TempDir())
	to.must(t, "", "cluster", "create", "default", "--num-brokers", "1")
	to.must(t, "", "topic", "create", "t", "--partitions", "3")
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"--from " + from + " --all --from-user u --from-password-file " + empty + " --from-sasl gssapi", exitUsage, "plain"},
		{"--from " + from + " --topics t --retry-for 1s", exitFailed, "topic t has 2 partitions at the source, and 3 here"},
		{"--from " + from + " --topics absent --retry-for 1s", exitFailed, "absent"},
		{"--from 127.0.0.1:1 --all --retry-for 100ms", exitFailed, "127.0.0.1:1"},
	} {
		code, stdout, stderr := to.ottla(t, "", append([]string{"mirror"}, strings.Fields(c.args)...)...)
		assert.Equal(t, c.code, code, "%s: %s", c.args, stderr)
		assert.Contains(t, stderr, c.says, c.args)
		assert.Empty(t, stdout, c.args)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	member := groupMember(t, from, "g", "t") // what was refused has taken nothing from the source
	f := member.PollRecords(ctx, 1)
	require.NotEmpty(t, f.Records())
	assert.EqualValues(t, 10, f.Records()[0].Offset)
}

func TestMirrorOptionsThatAreWrong(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(password, []byte("secret word \r\n"), 0o600))
	good := func(change func(*mirrorOptions)) *mirrorOptions {
		o := &mirrorOptions{from: []string{"127.0.0.1:9092"}, all: true}
		change(o)
		return o
	}
	for name, c := range map[string]struct {
		change func(*mirrorOptions)
		wrong  string
	}{
		"no address":         {func(o *mirrorOptions) { o.from = nil }, "--from must name a broker"},
		"no port":            {func(o *mirrorOptions) { o.from = []string{"localhost"} }, "must be HOST:PORT"},
		"the second":         {func(o *mirrorOptions) { o.from = append(o.from, "::1") }, "must be HOST:PORT"},
		"nothing":            {func(o *mirrorOptions) { o.all = false }, "either --topics or --all"},
		"both":               {func(o *mirrorOptions) { o.Topics = []string{"t"} }, "either --topics or --all"},
		"groups twice":       {func(o *mirrorOptions) { o.Groups, o.AllGroups = []string{"g"}, true }, "exclude each other"},
		"user alone":         {func(o *mirrorOptions) { o.user = "u" }, "need each other"},
		"password alone":     {func(o *mirrorOptions) { o.passwordFile = password }, "need each other"},
		"no such password":   {func(o *mirrorOptions) { o.user, o.passwordFile = "u", password+".none" }, "--from-password-file: "},
		"no such authority":  {func(o *mirrorOptions) { o.ca = password + ".none" }, "--from-ca: "},
		"an authority of no": {func(o *mirrorOptions) { o.ca = password }, "--from-ca: "},
	} {
		_, err := good(c.change).source()
		assert.ErrorContains(t, err, c.wrong, name)
	}
	s, err := good(func(o *mirrorOptions) { o.user, o.passwordFile, o.tls, o.mechanism = "u", password, true, "PLAIN" }).source()
	require.NoError(t, err)
	assert.Equal(t, "secret word ", s.Password, "only the end of the line is none of it")
	assert.NotNil(t, s.TLS)
	assert.False(t, s.TLS.InsecureSkipVerify)
	s, err = good(func(*mirrorOptions) {}).source()
	require.NoError(t, err)
	assert.Equal(t, mirror.SourceOptions{Addresses: []string{"127.0.0.1:9092"}}, s, "nothing is made up")
}
