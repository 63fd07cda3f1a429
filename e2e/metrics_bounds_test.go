package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// labelled is how many topics, and how many groups, have metrics of their own.
const labelled = 200

// series are the names and labels of /metrics.
func (s *server) series() map[string]bool {
	s.t.Helper()
	all := map[string]bool{}
	for line := range strings.Lines(s.text("/metrics")) {
		if name, _, ok := strings.Cut(strings.TrimSpace(line), "} "); ok && line[0] != '#' {
			all[name+"}"] = true
		}
	}
	return all
}

// However many topics, groups, clients, paths, methods and mistakes clients come up with,
// /metrics has a bounded number of lines, and nothing in them that is theirs but names of
// topics and groups.
func TestMetricsStayBounded(t *testing.T) {
	t.Parallel()
	s := startKafka(t)
	s.post("/cluster", object{"name": "solo", "num_brokers": 1}).want(http.StatusCreated)
	wave := func(from, to int) {
		together(to-from, func(i int) {
			n := from + i
			s.post("/topic", object{"cluster": "solo", "name": fmt.Sprintf("topic-%d", n), "partitions": 1}).want(http.StatusCreated)
			s.post("/events", object{"topic": fmt.Sprintf("topic-%d", n), "value": n}).want(http.StatusOK)
			s.poll(fmt.Sprintf("topic=topic-%d", n), fmt.Sprintf("group=group-%d", n), "cluster=solo", "timeout_ms=0")
			strange := fmt.Sprintf("strange-%d", n)
			for _, method := range []string{"GET", "POST", "DELETE", strings.ToUpper(strange)} {
				for _, path := range []string{"/" + strange, "/topic/" + strange, "/groups/" + strange, "/events?" + strange + "=1", "/cluster/default/brokers/" + strange + "/stop"} {
					s.call(method, path, nil, "User-Agent", strange, "X-Request-Id", strange)
				}
			}
			conn, err := net.Dial("tcp", s.at)
			require.NoError(t, err)
			_, err = conn.Write(frame(int16(1000+n), int16(n), nil))
			require.NoError(t, err)
			require.NoError(t, conn.Close())
		})
		for n := from; n < to; n += 10 {
			strange := fmt.Sprintf("strange-%d", n)
			cl := s.kafka(kgo.ClientID(strange), kgo.SoftwareNameAndVersion(strange, "1"))
			require.Error(t, cl.ProduceSync(s.context(), &kgo.Record{Topic: "no good " + strange, Value: []byte("1")}).FirstErr())
			cl.Close()
		}
		s.text("/metrics") // has counted itself from now on
	}
	wave(0, labelled+10)
	others := `ottla_group_members{cluster="~other",group="~other"}`
	s.eventually(waitTimeout, "the groups are counted", func() error {
		if !s.series()[others] {
			return fmt.Errorf("no %s", others)
		}
		return nil
	})
	before := s.series()
	wave(labelled+10, labelled+50)
	after := s.series()
	for name := range after {
		assert.True(t, before[name], "%s is new", name)
		assert.NotContains(t, strings.ToLower(name), "strange")
	}
	for _, name := range []string{"ottla_topic_partitions{", "ottla_group_lag{"} {
		n := 0
		for series := range after {
			if strings.HasPrefix(series, name) {
				n++
			}
		}
		assert.Equal(t, labelled+1, n, name)
	}
	assert.True(t, after[`ottla_topic_partitions{cluster="~other",topic="~other"}`])
	assert.Less(t, len(s.text("/metrics")), 1<<20)
}
