package e2e

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A reader with a mistyped name is told so, with the name that was probably meant,
// and leaves nothing behind; only auto_create=true creates what is read.
func TestReadingCreatesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("clicks", 2)
	s.topic("orders", 1)
	for path, similar := range map[string]any{
		"/events?topic=clikcs&timeout_ms=0":                      "clicks",
		"/events?topic=orders&topic=Clicks&timeout_ms=0&group=g": "clicks",
		"/events?topic=order&cluster=default&timeout_ms=0":       "orders",
		"/events?topic=elsewhere&timeout_ms=0&auto_create=false": nil,
		"/topic/oders":                      "orders",
		"/topic/order/partitions/0/records": "orders",
	} {
		e := s.call("GET", path, nil).wantError(http.StatusNotFound, "topic_not_found")
		assert.Equal(t, similar, e.Details["similar"], path)
		assert.Equal(t, "none", e.Outcome)
		if similar != nil {
			assert.Contains(t, e.Message, similar)
		}
	}
	s.call("GET", "/events", object{"topic": "clikcs"}).wantError(http.StatusNotFound, "topic_not_found")
	s.call("GET", "/events?topic=clikcs", nil, "Accept", "text/event-stream").wantError(http.StatusNotFound, "topic_not_found")
	s.post("/events", `{"topic":"__clicks","value":1}`).wantError(http.StatusUnprocessableEntity, "internal_topic")

	code, out, stderr := s.ottla("", "consume", "clikcs")
	assert.Equal(t, 1, code)
	assert.Empty(t, out)
	assert.Contains(t, stderr, `did you mean "clicks"?`)

	assert.Equal(t, []string{"clicks", "orders"}, s.names("/topic", "topics", "name"))
	assert.JSONEq(t, `{"groups":[]}`, string(s.get("/groups").body))

	s.get("/events?topic=made&timeout_ms=0&auto_create=true").want(http.StatusOK)
	s.must("", "consume", "made-too", "--create", "--wait", "10ms")
	assert.Equal(t, []string{"clicks", "made", "made-too", "orders"}, s.names("/topic", "topics", "name"))
	s.post("/events", `{"topic":"written","value":1}`).want(http.StatusOK)
}

// The configuration decides for polls that do not say.
func TestReadingCreatesWhereConfigured(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_AUTO_CREATE_ON_READ=true")
	s.get("/events?topic=made&timeout_ms=0").want(http.StatusOK)
	s.call("GET", "/events?topic=other&timeout_ms=0&auto_create=false", nil).wantError(http.StatusNotFound, "topic_not_found")
	assert.Equal(t, []string{"made"}, s.names("/topic", "topics", "name"))
}
