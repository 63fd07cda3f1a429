package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is delivered of a topic that is deleted says nothing of one that is made under its
// name, not even while the group has not heard yet; and the other topics of a subscription
// go on.
func TestTopicsOfSubscriptionsAreReplaced(t *testing.T) {
	t.Parallel()
	s := start(t, allowReceivers)
	s.topic("orders", 1)
	s.topic("bills", 1)
	r := receive(t)
	replaced := false
	r.answers(func(h hook) (int, map[string]string) {
		if !replaced && strings.Contains(h.body, "old") {
			replaced = true
			s.delete("/topic/orders").want(204)
			s.topic("orders", 1)
			s.produce("orders", object{"value": "new"})
		}
		return 200, nil
	})
	s.subscribe("a", r, `orders","bills`, "").want(201)
	s.produce("orders", object{"value": "old"})
	r.await(s, 2)
	s.delete("/topic/orders").want(204)
	s.produce("bills", object{"value": "bill"})
	r.await(s, 3)
	s.eventually(waitTimeout, "it is committed", func() error {
		var offsets struct {
			Offsets []struct{ Committed, Lag *int }
		}
		require.NoError(t, json.Unmarshal(s.get("/offset?group=subscription-a&topic=bills").want(200).body, &offsets))
		if o := offsets.Offsets; len(o) != 1 || o[0].Committed == nil || *o[0].Committed != 1 {
			return fmt.Errorf("%+v", offsets)
		}
		return nil
	})
	v := s.subscription("a", func(v map[string]any) bool { return v["state"] == "failing" })
	assert.Contains(t, v["last_error"], "orders")
	r.check()
}

// A subscription that starts at the latest record has all that come after it was made,
// though nobody delivers yet.
func TestSubscriptionsFromLatest(t *testing.T) {
	t.Parallel()
	s := start(t, allowReceivers)
	s.topic("orders", 3)
	r := receive(t)
	s.produce("orders", object{"partition": 0, "value": "before"})
	for i, more := range []string{"", `,"paused":true`} {
		name := fmt.Sprint("s", i)
		s.subscribe(name, r, "orders", `,"from":"latest"`+more).want(201)
		s.produce("orders", object{"partition": i, "value": name})
		s.call("PATCH", "/subscriptions/"+name, `{"paused":false}`).want(200)
	}
	s.eventually(waitTimeout, "both have what came after them", func() error {
		if got := r.taken(); got[`"s0"`] != 1 || got[`"s1"`] != 2 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	assert.Zero(t, r.taken()[`"before"`])
}

// What a queue has belongs to its workers.
func TestNoSubscriptionOfAQueue(t *testing.T) {
	t.Parallel()
	s := start(t, allowReceivers)
	s.topic("orders", 1)
	r := receive(t)
	s.call("PUT", "/groups/work", `{"mode":"queue","topics":["orders"]}`).want(201)
	s.subscribe("a", r, "orders", `,"group":"work"`).wantError(422, "not_allowed")
	s.get("/subscriptions/a").wantError(404, "subscription_not_found")
}
