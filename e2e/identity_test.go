package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// POST /offset names a consumer by its id alone, so ids that the server
// assigns are unique over all clusters, also after a restart.
func TestAssignedConsumerIDsAreUniqueOverClusters(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, cluster := range []string{"second", "third"} {
		s.post("/cluster", object{"name": cluster, "num_brokers": 1}).want(http.StatusCreated)
	}
	seen := map[int64]string{}
	for range 2 {
		for _, cluster := range []string{"default", "second", "third"} {
			s.post("/events", object{"topic": "t", "cluster": cluster, "value": 1}).want(http.StatusOK)
			p := s.poll("topic=t", "cluster="+cluster, "timeout_ms=5000", "max_records=1")
			assert.Empty(t, seen[p.ConsumerID], "consumer %d of %s", p.ConsumerID, cluster)
			seen[p.ConsumerID] = cluster
			s.post("/offset", object{"consumer_id": p.ConsumerID}).want(http.StatusOK)
		}
		s.stop()
		s.again()
	}
}

// The cursor of a wide subscription is long; what the server gives out it
// takes back.
func TestCursorOfAWideSubscription(t *testing.T) {
	t.Parallel()
	s := start(t)
	names := make([]string, 60)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", strings.Repeat("w", 150), i)
	}
	together(len(names), func(i int) {
		a, err := s.try(http.MethodPost, "/events", object{"topic": names[i], "value": i})
		if assert.NoError(t, err) {
			assert.Equal(t, http.StatusOK, a.status, "%s", a.body)
		}
	})
	body := object{"topic": names, "group": "wide", "auto_commit": false, "consumer_id": 1, "max_records": 1000}
	var first, second polled
	s.eventually(waitTimeout, "one poll has a record of each", func() error { // nothing is committed, so each begins anew
		first = polled{}
		s.call(http.MethodGet, "/events", body).want(http.StatusOK).as(&first)
		if len(first.Records) < len(names) { // a partition may be without its leader for a moment
			return fmt.Errorf("%d of %d", len(first.Records), len(names))
		}
		return nil
	})
	require.Len(t, first.Records, len(names))
	body["ack"], body["timeout_ms"] = first.Cursor, 0
	s.call(http.MethodGet, "/events", body).want(http.StatusOK).as(&second)
	assert.Empty(t, second.Records)
	if len(url.QueryEscape(first.Cursor)) < 30_000 { // what fits in the request line
		var third polled
		s.get("/events?topic=" + names[0] + "&group=wide&consumer_id=1&auto_commit=false&timeout_ms=0").want(http.StatusOK).as(&third)
		assert.Empty(t, third.Records)
	}
}
