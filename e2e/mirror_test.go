package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/certs/certstest"
)

// mirrorHeader is what copies have beside their own headers.
const mirrorHeader = "ottla-mirror-offset"

// copies are the records of a partition without the header of copies, which is returned
// beside them, and without offsets.
func (s *server) copies(topic string, partition int) (lines, origins []string) {
	s.t.Helper()
	raw, _, _ := s.rawRecords("default", topic, partition)
	for _, text := range raw {
		var r map[string]any
		require.NoError(s.t, json.Unmarshal([]byte(text), &r))
		delete(r, "offset")
		switch headers := r["headers"].(type) {
		case map[string]any:
			if origin, ok := headers[mirrorHeader]; ok {
				origins = append(origins, origin.(string))
			}
			delete(headers, mirrorHeader)
		case []any:
			last := headers[len(headers)-1].([]any)
			if last[0] == mirrorHeader {
				origins = append(origins, last[1].(string))
				r["headers"] = headers[:len(headers)-1]
			}
		}
		b, err := json.Marshal(r)
		require.NoError(s.t, err)
		lines = append(lines, string(b))
	}
	return lines, origins
}

// sameCopy compares a topic of two servers, and returns how many records it has.
func sameCopy(t *testing.T, from, to *server, topic string, partitions int) (records int) {
	t.Helper()
	for p := range partitions {
		want, _ := from.copies(topic, p)
		got, origins := to.copies(topic, p)
		require.Len(t, got, len(want), "topic %s, partition %d", topic, p)
		require.Len(t, origins, len(got), "each has its origin")
		for i := range want {
			require.Equal(t, want[i], got[i], "topic %s, partition %d, record %d", topic, p, i)
		}
		records += len(got)
	}
	return records
}

// latest is the sum of the ends of a topic's partitions; 0 if there is no such topic.
func (s *server) latest(topic string) (sum int64) {
	s.t.Helper()
	var info struct {
		Partitions []struct{ Latest *int64 }
	}
	a := s.get("/topic/" + topic)
	if a.status != http.StatusOK {
		return 0
	}
	a.loosely(&info)
	for _, p := range info.Partitions {
		if p.Latest != nil {
			sum += *p.Latest
		}
	}
	return sum
}

// kinds writes records of all kinds.
func (s *kafkaServer) kinds(topic string) {
	s.t.Helper()
	at := time.UnixMilli(1_700_000_000_000)
	var records []*kgo.Record
	for i, key := range [][]byte{nil, {}, []byte("user-42"), []byte(`{"a":1}`), {0xff, 0}, []byte("ü\n\u2028")} {
		for j, value := range [][]byte{nil, {}, []byte(`{"n":1.50}`), []byte("{ }"), []byte("null"), []byte("plain"), {0, 0xfe}, []byte(`"\ud800"`), []byte(strings.Repeat("[", 200) + strings.Repeat("]", 200))} {
			r := &kgo.Record{Topic: topic, Key: key, Value: value, Timestamp: at.Add(time.Duration(100*i+j) * time.Millisecond)}
			switch j % 4 {
			case 1:
				r.Headers = []kgo.RecordHeader{{Key: "trace", Value: []byte("ü")}, {Key: "", Value: []byte{}}}
			case 2:
				r.Headers = []kgo.RecordHeader{{Key: "h", Value: []byte{0xff}}, {Key: "h"}, {Key: "h", Value: []byte("x")}}
			case 3:
				r.Headers = []kgo.RecordHeader{{Key: mirrorHeader, Value: []byte("17")}}
			}
			records = append(records, r)
		}
	}
	require.NoError(s.t, s.kafka().ProduceSync(s.context(), records...).FirstErr())
}

// compacted makes a topic whose offsets have gaps, and returns how many.
func (s *kafkaServer) compacted(topic string) {
	s.t.Helper()
	s.post("/topic", object{"name": topic, "partitions": 1, "cleanup_policy": "compact", "segment_bytes": 65536}).want(http.StatusCreated)
	for i := range 200 {
		value := any(strings.Repeat("x", 3000) + fmt.Sprint(i))
		if i == 197 {
			value = nil
		}
		s.produce(topic, object{"key": fmt.Sprint(i % 7), "value": value})
	}
	s.eventually(waitTimeout, "compaction", func() error {
		if lines, _, _ := s.rawRecords("default", topic, 0); len(lines) > 120 {
			return fmt.Errorf("%d records", len(lines))
		}
		return nil
	})
	s.stop() // and compacts no more, so that both sides can be compared
	s.env = nil
	s.again()
}

func (s *server) commit(group, topic string, partition int, offset int64) {
	s.t.Helper()
	s.post("/groups/"+group+"/seek", object{"topic": topic, "partition": partition, "to": offset, "create": true}).want(http.StatusOK)
}

// committedAt is what a group has committed; -1 for nothing.
func (s *server) committedAt(group, topic string, partition int) int64 {
	s.t.Helper()
	var reply struct {
		Offsets []struct {
			Partition int
			Committed *int64
		}
	}
	a := s.get("/offset?group=" + group + "&topic=" + topic)
	if a.status == http.StatusNotFound {
		return -1
	}
	a.want(http.StatusOK).loosely(&reply)
	for _, o := range reply.Offsets {
		if o.Partition == partition && o.Committed != nil {
			return *o.Committed
		}
	}
	return -1
}

// A mirror copies everything once, though it is killed again and again; groups go on at the
// record that they would have read next; the commands of the page on Kafka's clients do it.
func TestMirror(t *testing.T) {
	t.Parallel()
	from := startKafka(t, "OTTLA_STORAGE_RETENTION_CHECK_INTERVAL=100ms")
	from.compacted("table")
	from.post("/topic", object{"name": "clicks", "partitions": 3, "retention_ms": 86400000000000}).want(http.StatusCreated)
	from.post("/topic", object{"name": "orders", "partitions": 1, "retention_ms": -1}).want(http.StatusCreated)
	from.kinds("clicks")
	from.bulk("orders")
	from.commit("billing", "orders", 0, 30_000)
	from.commit("readers", "clicks", 1, 2)
	lines, _, end := from.rawRecords("default", "table", 0)
	require.Less(t, len(lines), int(end), "its offsets have gaps")
	from.commit("readers", "table", 0, 100)
	from.commit("atend", "table", 0, end)
	to := start(t)
	steps := stepsOf(blocks(t, "../docs/kafka-clients.md", "console"))
	require.Len(t, steps, 4)
	command := func(i int) string { return strings.ReplaceAll(steps[i].command, "old-kafka:9092", from.at) }

	out, err := to.shell(command(0))
	require.NoError(t, err)
	assert.Regexp(t, `clicks +3 +54 +is made\norders +1 +40000 +is made\ntable +1 +200 +is made\n`, out)
	assert.Contains(t, out, "group atend\ngroup billing\ngroup readers\n")
	assert.Zero(t, to.latest("orders"), "a dry run makes nothing")
	to.get("/topic/clicks").wantStatus(http.StatusNotFound)

	middle := 0
	for _, enough := range []int64{1, 10_000, 20_000} { // killed in the middle, unless all is copied before the kill
		cmd := to.background(command(1))
		to.eventually(waitTimeout, "some is copied", func() error {
			if n := to.latest("orders"); n < enough {
				return fmt.Errorf("%d records", n)
			}
			return nil
		})
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		if to.latest("orders") < 40_000 {
			middle++
		}
	}
	require.Positive(t, middle)
	out, err = to.shell(command(1))
	require.NoError(t, err)
	assert.Regexp(t, `of 2 topics copied, offsets of (1 group|0 groups) moved`, out, "another one has moved it, perhaps")
	assert.Equal(t, 40_000, sameCopy(t, from.server, to, "orders", 1))
	assert.Equal(t, 54, sameCopy(t, from.server, to, "clicks", 3))
	assert.EqualValues(t, 30_000, to.committedAt("billing", "orders", 0))

	cmd := to.background(command(2))
	require.NoError(t, from.kafka().ProduceSync(from.context(), &kgo.Record{Topic: "clicks", Value: []byte("later")}).FirstErr())
	to.eventually(waitTimeout, "it follows", func() error { return short(int(to.latest("clicks")), 55) })
	to.eventually(waitTimeout, "groups follow", func() error {
		if to.committedAt("readers", "table", 0) < 0 { // the last one
			return errors.New("not yet")
		}
		assert.EqualValues(t, len(lines), to.committedAt("atend", "table", 0))
		return nil
	})
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	require.NoError(t, cmd.Wait(), "Ctrl-C is its usual end")
	assert.Contains(t, cmd.Stdout.(*strings.Builder).String(), "records of 3 topics copied, offsets of 2 groups moved")

	out, err = to.shell(command(3))
	require.NoError(t, err)
	assert.Equal(t, "0 records of 3 topics copied, offsets of 0 groups moved\n", out)
	sameCopy(t, from.server, to, "clicks", 3)
	assert.Equal(t, len(lines), sameCopy(t, from.server, to, "table", 1))
	assert.EqualValues(t, 2, to.committedAt("readers", "clicks", 1))
	_, origins := to.copies("table", 0)
	var before int64
	for before < int64(len(origins)) && len(origins[before]) < 3 { // below 100
		before++
	}
	assert.Equal(t, before, to.committedAt("readers", "table", 0))
	var info struct {
		Policy    string `json:"cleanup_policy"`
		Retention int64  `json:"retention_ms"`
	}
	to.get("/topic/table").want(http.StatusOK).loosely(&info)
	assert.Equal(t, "compact", info.Policy)
	to.get("/topic/clicks").want(http.StatusOK).loosely(&info)
	assert.EqualValues(t, 86400000000000, info.Retention)
	to.refusals(from)
}

// refusals are mirrors that must not happen.
func (s *server) refusals(from *kafkaServer) {
	s.t.Helper()
	refused := func(text string, args ...string) {
		s.t.Helper()
		code, _, stderr := s.ottla("", append([]string{"mirror", "--retry-for", "5s", "--from", from.at}, args...)...)
		assert.Equal(s.t, 1, code, args)
		assert.Contains(s.t, stderr, text)
	}
	from.topic("other", 2)
	s.topic("other", 3)
	refused("topic other has 2 partitions at the source, and 3 here", "--topics", "other")
	refused("topic none", "--topics", "none")
	require.NoError(s.t, from.kafka().ProduceSync(from.context(), &kgo.Record{Topic: "orders", Value: []byte("x")}).FirstErr())
	s.produce("orders", object{"value": "somebody else's"})
	refused("somebody else writes to the topic", "--topics", "orders")
	from.get("/topic/orders").wantStatus(http.StatusOK)
	assert.Less(s.t, from.delete("/topic/clicks").status, 300)
	from.topic("clicks", 3)
	refused("is another topic of the same name", "--topics", "clicks")
}

// background starts a command of a document.
func (s *server) background(command string) *exec.Cmd {
	s.t.Helper()
	args := strings.Fields(command)
	require.Equal(s.t, "ottla", args[0])
	cmd := exec.Command(binary, args[1:]...)
	cmd.Env = append(os.Environ(), "OTTLA_SERVER="+s.base)
	cmd.Stdout, cmd.Stderr = &strings.Builder{}, &strings.Builder{}
	require.NoError(s.t, cmd.Start())
	s.root.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

// bulk writes 40,000 records of 1 kB.
func (s *kafkaServer) bulk(topic string) {
	s.t.Helper()
	cl, ctx := s.kafka(), s.context()
	for i := range 40_000 {
		cl.Produce(ctx, &kgo.Record{Topic: topic, Value: []byte(fmt.Sprintf(`{"n":%d,"x":"%s"}`, i, strings.Repeat("x", 1000)))}, func(_ *kgo.Record, err error) { assert.NoError(s.t, err) })
	}
	require.NoError(s.t, cl.Flush(ctx))
}

// The source may ask for TLS and a password.
func TestMirrorShowsAPassword(t *testing.T) {
	t.Parallel()
	ca, at := certstest.New(t), freePorts(t)
	cert, key := ca.Issue("server")
	from := prepare(t, "OTTLA_TLS_CERT="+cert, "OTTLA_TLS_KEY="+key, "OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN="+adminSecret)
	from.args = []string{"--kafka", at}
	from.launch()
	from.readyOver(over(ca.Client("client")))
	from.must("", "topic", "create", "t", "--ca", ca.PEM, "--token", adminSecret)
	from.must("7\n", "produce", "t", "--ca", ca.PEM, "--token", adminSecret)
	to := start(t)
	password := filepath.Join(t.TempDir(), "password")
	mirror := func(secret string, args ...string) int {
		require.NoError(t, os.WriteFile(password, []byte(secret+"\n"), 0o600))
		args = append([]string{"mirror", "--from", at, "--from-user", "m", "--from-password-file", password, "--topics", "t", "--retry-for", "5s"}, args...)
		code, _, _ := to.ottla("", args...)
		return code
	}
	assert.Equal(t, 1, mirror("wrong", "--from-ca", ca.PEM))
	assert.Equal(t, 1, mirror(adminSecret), "TLS is asked for")
	assert.Equal(t, 1, mirror(adminSecret, "--from-tls"), "the system does not know the authority")
	assert.Zero(t, to.latest("t"))
	assert.Equal(t, 0, mirror(adminSecret, "--from-ca", ca.PEM))
	assert.EqualValues(t, 1, to.latest("t"))
}
