package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

// metric is the value of a metric with these labels, "" if there is none.
func (s *server) metric(name string) string {
	s.t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (.*)$`).FindStringSubmatch(string(s.get("/metrics", admin...).body))
	if m == nil {
		return ""
	}
	return m[1]
}

// Requests, errors, bytes and connections are counted; changes and who has asked for
// them are in the audit.
func TestKafkaPortsAreWatched(t *testing.T) {
	t.Parallel()
	audit := filepath.Join(t.TempDir(), "audit.log")
	s := prepare(t, "OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN="+adminSecret, "OTTLA_AUDIT_FILE="+audit)
	k := &kafkaServer{server: s, at: freePorts(t)}
	s.args = []string{"--kafka", k.at}
	s.again()
	as := func(token string) *kgo.Client {
		return k.kafka(kgo.SASL(plain.Auth{User: "any", Pass: token}.AsMechanism()))
	}
	boss := as(adminSecret)
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "made", NumPartitions: 1, ReplicationFactor: -1}, {Topic: "no good name", NumPartitions: 1, ReplicationFactor: -1}}
	ask[*kmsg.CreateTopicsResponse](k, boss, create)
	require.NoError(t, boss.ProduceSync(k.context(), &kgo.Record{Topic: "made", Value: make([]byte, 5000)}).FirstErr())
	reader := as(s.token("reader", `[{"do":["read"]}]`)[1][len("Bearer "):])
	create.Topics = create.Topics[:1]
	ask[*kmsg.CreateTopicsResponse](k, reader, create)

	assert.Equal(t, "1", s.metric(`ottla_kafka_request_duration_seconds_count{api="Produce"}`))
	assert.Equal(t, "1", s.metric(fmt.Sprintf(`ottla_kafka_errors_total{api="CreateTopics",code="%d"}`, kerr.InvalidTopicException.Code)))
	assert.Regexp(t, "^[1-9]", s.metric(`ottla_kafka_request_bytes_total{api="Produce"}`))
	assert.NotEqual(t, "0", s.metric("ottla_kafka_connections"))

	raw, err := os.ReadFile(audit)
	require.NoError(t, err)
	type line struct{ Who, Method, Path, Code, Outcome string }
	var lines []line
	for _, text := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		var l line
		require.NoError(t, json.Unmarshal([]byte(text), &l))
		if l.Method == "KAFKA" {
			lines = append(lines, l)
		}
	}
	assert.Equal(t, []line{
		{"admin", "KAFKA", "CreateTopics/made", "", "applied"},
		{"admin", "KAFKA", "CreateTopics/no good name", "kafka_17", "none"},
		{"reader", "KAFKA", "CreateTopics/made", "forbidden", "none"},
	}, lines)
}

// A member that waits for the others holds its connection only as long as it is there
// and may be: not until the rebalance ends.
func TestKafkaMembersThatWaitMayLeave(t *testing.T) {
	t.Parallel()
	s := prepare(t, "OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN="+adminSecret)
	k := &kafkaServer{server: s, at: freePorts(t)}
	s.args = []string{"--kafka", k.at}
	s.again()
	join := func(cl *kgo.Client) (*kmsg.JoinGroupResponse, error) {
		req := kmsg.NewPtrJoinGroupRequest()
		req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = "g", "consumer", 60_000, 60_000
		req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
		resp, err := cl.Broker(1).Request(k.context(), req)
		if err != nil {
			return nil, err
		}
		if r := resp.(*kmsg.JoinGroupResponse); r.ErrorCode == kerr.MemberIDRequired.Code {
			req.MemberID = r.MemberID
			if resp, err = cl.Broker(1).Request(k.context(), req); err != nil {
				return nil, err
			}
		}
		return resp.(*kmsg.JoinGroupResponse), nil
	}
	as := func(token string) *kgo.Client { // none closes connections that it does not use: they are counted
		return k.kafka(kgo.SASL(plain.Auth{User: "any", Pass: token}.AsMechanism()), kgo.ConnIdleTimeout(15*time.Minute))
	}
	first, err := join(as(adminSecret))
	require.NoError(t, err)
	require.Zero(t, first.ErrorCode)
	held := func() int {
		n, err := strconv.Atoi(s.metric("ottla_kafka_connections"))
		require.NoError(t, err)
		return n
	}
	before := held()
	left := func() error {
		if n := held(); n != before {
			return fmt.Errorf("%d connections, not %d", n, before)
		}
		return nil
	}

	token := s.token("member", `[{"do":["read"]}]`)[1][len("Bearer "):]
	member := as(token)
	ended := make(chan error, 1)
	go func() {
		resp, err := join(member)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		ended <- err
	}()
	waiting := func() error {
		if n := held(); n <= before {
			return fmt.Errorf("%d connections", n)
		}
		return nil
	}
	s.eventually(waitTimeout, "it has connected", waiting)
	s.call(http.MethodDelete, "/tokens/member", nil, admin...).want(http.StatusNoContent)
	assert.Error(t, <-ended, "its token has gone")
	member.Close()
	s.eventually(waitTimeout, "no connection is held", left)

	gone := as(adminSecret)
	go func() { _, _ = join(gone) }()
	s.eventually(waitTimeout, "it has connected", waiting)
	gone.Close() // while it waits
	s.eventually(waitTimeout, "no connection is held", left)
}
