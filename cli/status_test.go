package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const wellOverview = `{"status":"ok","health":"All is well.","problems":[],"counts":{"topics":2,"partitions":6,"log_bytes":2097152,"groups":1,"members":2,"lag":7,"disk_free":1073741824,"disk_total":107374182400},
"rates":[{"timestamp":1,"produced_records_per_s":9},{"timestamp":2,"produced_records_per_s":12.6,"produced_bytes_per_s":2048,"fetched_records_per_s":3,"fetched_bytes_per_s":99}],
"clusters":[{"name":"default","brokers":[{"id":1,"state":"running","leaders":4,"replicas":9}]}],"lagging":[{"group":"g\u001b[2J","cluster":"default","members":2,"lag":7}]}`

func TestStatus(t *testing.T) {
	s := newStandIn(t, func(int, asked) (int, string) { return 200, wellOverview })
	code, stdout, stderr := s.ottla(t, "", "status")
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, `All is well.

CLUSTER  BROKER  STATE    LEADS  COPIES
default  1       running  4      9

TOPICS   2 with 6 partitions, 2.0 MiB
GROUPS   1 with 2 members, lag 7
DISK     1.0 GiB of 100 GiB free
WRITTEN  13 records/s, 2.0 KiB/s
READ     3 records/s, 99 B/s

GROUP  CLUSTER  MEMBERS  LAG
g?[2J  default  2        7
`, stdout)
	assert.Equal(t, "GET /overview", s.asked[0].line)
}

func TestStatusFailsWhenSomethingIsWrong(t *testing.T) {
	s := newStandIn(t, func(int, asked) (int, string) {
		return 200, `{"status":"degraded","health":"Broker 2 is stopped.","problems":[{"severity":"warning","code":"under_replicated","message":"m","count":12,
			"partitions":[{"topic":"t","partition":3,"reason":"r"}]}],"clusters":[]}`
	})
	code, stdout, stderr := s.ottla(t, "", "status")
	assert.Equal(t, exitFailed, code)
	assert.True(t, strings.HasPrefix(stdout, "Broker 2 is stopped.\n\nwarning  m\n-        t 3: r\n-        and 11 partitions more\n"), stdout)
	assert.Equal(t, "ottla: the server is degraded: 1 problem\n", stderr)
	code, stdout, _ = s.ottla(t, "", "status", "--output", "json")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stdout, `"status": "degraded"`)
	s = newStandIn(t, func(int, asked) (int, string) { return 200, `[]` })
	code, _, _ = s.ottla(t, "", "status")
	assert.Equal(t, exitFailed, code)
}

func TestStatusOfAFleet(t *testing.T) {
	s := newStandIn(t, func(_ int, a asked) (int, string) {
		if a.line == "GET /nodes" {
			return 200, `{"nodes":[{"id":1,"name":"a","http":"10.0.0.1:8080","state":"active","leaders":3,"replicas":9},{"id":2,"name":"b","http":"10.0.0.2:8080","state":"unreachable"}]}`
		}
		return 200, `{"status":"degraded","health":"Node b does not answer.","problems":[{"severity":"warning","message":"node b does not answer"}],"counts":{"nodes":2}}`
	})
	code, stdout, _ := s.ottla(t, "", "status")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stdout, "NODE  STATE        LEADS  COPIES  ADDRESS\na     active       3      9       10.0.0.1:8080\nb     unreachable  0      0       10.0.0.2:8080\n")
}

func TestHealth(t *testing.T) {
	s := newStandIn(t, func(_ int, a asked) (int, string) {
		if a.line == "GET /readyz" {
			return 503, errorAnswer("no_leader", "partitions without a leader: 1", "none", true)
		}
		return 200, `{"status":"ok"}`
	})
	code, stdout, _ := s.ottla(t, "", "health")
	assert.Equal(t, exitOK, code)
	assert.Equal(t, "ok\n", stdout)
	code, stdout, stderr := s.ottla(t, "", "health", "--ready")
	assert.Equal(t, exitFailed, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "partitions without a leader: 1")
	code, _, _ = s.ottla(t, "", "health", "--timeout", "0s")
	assert.Equal(t, exitUsage, code)

	hold := make(chan struct{})
	defer close(hold)
	s = newStandIn(t, func(int, asked) (int, string) { <-hold; return 200, `{}` })
	code, _, stderr = s.ottla(t, "", "health", "--timeout", "20ms")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "within 20ms")
	code, _, stderr = s.ottla(t, "", "health", "--server", "127.0.0.1:1")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "connection refused")
}
