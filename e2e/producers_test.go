package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestProducersAreListed(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.post("/cluster", object{"name": "second", "num_brokers": 1}).want(http.StatusCreated)
	assert.Equal(t, map[string]any{"producers": []any{}}, s.get("/producers").want(http.StatusOK).object())
	for i := range 6 {
		s.post("/events", object{"topic": "t", "value": i}, "Producer-Id", fmt.Sprintf("p-%d", i%2),
			"Producer-Epoch", "0", "Producer-Seq", fmt.Sprint(i)).want(http.StatusOK)
	}
	s.post("/events", object{"topic": "u", "cluster": "second", "value": 1}, "Producer-Id", "p-0",
		"Producer-Epoch", "0", "Producer-Seq", "0").want(http.StatusOK)
	s.post("/events", object{"topic": "t", "value": 1}, "Idempotency-Key", "order-7").want(http.StatusOK)
	row := func(cluster, name string) map[string]any {
		return map[string]any{"id": name, "name": name, "cluster": cluster}
	}
	want := map[string]any{"producers": []any{row("default", "p-0"), row("default", "p-1"), row("second", "p-0")}}
	assert.Equal(t, want, s.get("/producers").want(http.StatusOK).object())
	s.get("/producers?cluster=nope").wantError(http.StatusNotFound, "cluster_not_found")
	s.kill()
	s.again()
	assert.Equal(t, want, s.get("/producers").want(http.StatusOK).object(), "also after a restart")
	s.post("/cluster/default/brokers/1/stop", nil).want(http.StatusOK)
	assert.Equal(t, want, s.get("/producers").want(http.StatusOK).object(), "and after a failover")
}
