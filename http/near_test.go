package http

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A path or a method that is nearly right gets the route that was meant.
func TestTheRouteThatWasMeant(t *testing.T) {
	h := start(t, Options{})
	for request, want := range map[string]string{
		"POST /topics":                          "POST /topic",
		"GET /topics/x":                         "GET /topic/{topic}",
		"DELETE /topics/x":                      "DELETE /topic/{topic}",
		"POST /clusters":                        "POST /cluster",
		"POST /event":                           "POST /events",
		"GET /Events":                           "GET /events",
		"POST /offsets":                         "POST /offset",
		"GET /group":                            "GET /groups",
		"GET /group/g":                          "GET /groups/{group}",
		"POST /groups/g/members/7/heartbeats":   "POST /groups/{group}/members/{consumer_id}/heartbeat",
		"GET /topic/t/partition/0/record":       "GET /topic/{topic}/partitions/{partition}/records",
		"POST /topic/t/partitions/0/records":    "",
		"PUT /topic/t":                          "",
		"GET /health":                           "GET /healthz",
		"GET /metric":                           "GET /metrics",
		"GET /nowhere/at/all":                   "",
		"GET /topic//partitions/0/records/x":    "",
		"GET /" + strings.Repeat("topic/", 200): "",
		"GET /" + strings.Repeat("x", 3000):     "",
	} {
		method, path, _ := strings.Cut(request, " ")
		a := h.do(method, path, "")
		if want == "" {
			e := wantError(t, a, a.status, map[int]string{404: "route_not_found", 405: "method_not_allowed"}[a.status])
			assert.NotContains(t, e, "details", request)
			continue
		}
		assert.Contains(t, []int{404, 405}, a.status, request)
		e := wantError(t, a, a.status, map[int]string{404: "route_not_found", 405: "method_not_allowed"}[a.status])
		assert.Equal(t, map[string]any{"similar": want}, e["details"], request)
		assert.Contains(t, e["message"], "did you mean "+want+"?")
		if a.status == 405 {
			assert.NotEmpty(t, a.header.Get("Allow"), request)
		}
	}
}
