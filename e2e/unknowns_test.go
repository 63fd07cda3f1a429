package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What only a leader knows is null while there is none. Zero would say that a
// partition full of records is empty, and that a group has read it all.
func TestOffsetsWithoutALeaderAreNull(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.post("/topic", object{"name": "single", "partitions": 3, "replication_factor": 1}).want(http.StatusCreated)
	for p := range 3 {
		s.produce("single", object{"partition": p, "value": "unread"})
	}
	s.get("/events?topic=single&group=g&auto_commit=false").want(http.StatusOK)
	s.post("/cluster/default/brokers/2/stop", nil).want(http.StatusOK)

	var topic struct {
		Partitions []map[string]any `json:"partitions"`
	}
	s.get("/topic/single").want(http.StatusOK).as(&topic)
	require.Len(t, topic.Partitions, 3)
	gone := -1
	for i, p := range topic.Partitions {
		if p["leader_broker_id"] == nil {
			gone = i
			assert.Nil(t, p["earliest"])
			assert.Nil(t, p["latest"])
		} else {
			assert.Equal(t, "0 1", fmt.Sprint(p["earliest"], " ", p["latest"]))
		}
	}
	require.NotEqual(t, -1, gone, "broker 2 has one of three partitions")

	var rows struct {
		Offsets []map[string]any `json:"offsets"`
	}
	s.eventually(waitTimeout, "the group is led by another broker", func() error {
		a, err := s.try(http.MethodGet, "/offset?group=g&topic=single", nil)
		if err != nil {
			return err
		}
		if a.status != http.StatusOK {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		a.as(&rows)
		return nil
	})
	require.Len(t, rows.Offsets, 3)
	for i, r := range rows.Offsets {
		if i == gone {
			assert.Nil(t, r["end"])
			assert.Nil(t, r["lag"])
		} else {
			assert.Equal(t, "1 1", fmt.Sprint(r["end"], " ", r["lag"]))
		}
	}
	s.post("/cluster/default/brokers/2/start", nil).want(http.StatusOK)
	s.get("/topic/single").want(http.StatusOK).as(&topic)
	assert.Equal(t, "1", fmt.Sprint(topic.Partitions[gone]["latest"]), "the record was there all the time")
}
