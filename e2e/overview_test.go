package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

// overview is what GET /overview says.
type overview struct {
	Status, Health string
	Problems       []struct {
		Severity, Code, Message string
		Count                   int
	}
	Counts struct {
		Brokers         int
		BrokersRunning  int `json:"brokers_running"`
		Topics          int
		Partitions      int
		Leaderless      int
		UnderReplicated int `json:"under_replicated"`
		Groups          int
		Lag             int64
	}
	Totals struct {
		ProducedRecords int64 `json:"produced_records"`
	}
	Rates []map[string]float64
}

func (s *server) overview() (o overview) {
	s.t.Helper()
	s.get("/overview").want(http.StatusOK).as(&o)
	return o
}

// overviewWith waits for a status.
func (s *server) overviewWith(status string) (o overview) {
	s.t.Helper()
	s.eventually(waitTimeout, "the overview says "+status, func() error {
		if o = s.overview(); o.Status != status {
			return fmt.Errorf("%s: %s", o.Status, o.Health)
		}
		return nil
	})
	return o
}

func TestOverviewFollowsWhatHappens(t *testing.T) {
	t.Parallel()
	s := start(t)
	assert.Equal(t, "All is well: 3 brokers run. There are no topics yet.", s.overviewWith("ok").Health)
	s.topic("o", 4)
	s.post("/topic", object{"name": "single", "partitions": 3, "replication_factor": 1}).want(http.StatusCreated)
	for i := range 20 {
		s.produce("o", object{"value": i})
	}
	s.poll("topic=o", "group=g", "consumer_id=1", "auto_commit=true", "max_records=5")
	s.eventually(waitTimeout, "the lag is seen", func() error {
		if o := s.overview(); o.Counts.Lag != 15 || o.Counts.Groups != 1 {
			return fmt.Errorf("%+v", o.Counts)
		}
		return nil
	})
	o := s.overviewWith("ok")
	assert.Equal(t, []int{2, 7}, []int{o.Counts.Topics, o.Counts.Partitions})
	assert.EqualValues(t, 20, o.Totals.ProducedRecords)
	assert.NotEmpty(t, o.Rates)
	code, out, _ := s.ottla("", "status")
	assert.Zero(t, code)
	assert.Contains(t, out, o.Health)

	s.setBroker(2, "stop", "stopped")
	s.eventually(waitTimeout, "the one partition that has no other copy is leaderless", func() error { // others may be for a moment
		if o = s.overviewWith("failing"); o.Problems[0].Code != "leaderless" || o.Problems[0].Count != 1 {
			return fmt.Errorf("%+v", o.Problems)
		}
		return nil
	})
	assert.Equal(t, "broker_stopped", o.Problems[1].Code)
	assert.Equal(t, 2, o.Counts.BrokersRunning)
	code, out, stderr := s.ottla("", "status")
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "broker 2 of cluster \"default\" is stopped")
	assert.Contains(t, stderr, "the server is failing")
	code, _, _ = s.ottla("", "health")
	assert.Zero(t, code)
	code, _, _ = s.ottla("", "health", "--ready")
	assert.Equal(t, 1, code)

	s.delete("/topic/single").want(http.StatusNoContent)
	assert.Equal(t, "broker_stopped", s.overviewWith("degraded").Problems[0].Code)
	s.setBroker(2, "start", "running")
	s.overviewWith("ok")
	s.stop()
	code, _, _ = s.ottla("", "health")
	assert.Equal(t, 1, code)
}
