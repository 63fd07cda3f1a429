package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const hookSecret = "whsec_d2hhdCB0aGUgcmVjZWl2ZXIga25vd3M="

// hook is a delivery that a receiver has got.
type hook struct {
	id, body string
	header   http.Header
	at       time.Time
	status   int
}

// receiver takes deliveries, and answers as it is told.
type receiver struct {
	t   *testing.T
	url string

	mu     sync.Mutex
	answer func(hook) (status int, headers map[string]string)
	got    []hook
}

func receive(t *testing.T) *receiver {
	r := &receiver{t: t, answer: func(hook) (int, map[string]string) { return 200, nil }}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	text, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := hook{id: req.Header.Get("webhook-id"), body: string(text), header: req.Header.Clone(), at: time.Now()}
	status, headers := r.answer(h)
	h.status = status
	r.got = append(r.got, h)
	for name, value := range headers {
		w.Header().Set(name, value)
	}
	w.WriteHeader(status)
}

// answers sets what the next deliveries get.
func (r *receiver) answers(f func(hook) (int, map[string]string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

func (r *receiver) always(status int) {
	r.answers(func(hook) (int, map[string]string) { return status, nil })
}

func (r *receiver) hooks() []hook {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]hook{}, r.got...)
}

// taken are the values that were answered with 200, with how often.
func (r *receiver) taken() map[string]int {
	values := map[string]int{}
	for _, h := range r.hooks() {
		if h.status == 200 {
			for _, rec := range r.records(h) {
				values[string(rec.Value)]++
			}
		}
	}
	return values
}

// records are those of a delivery.
func (r *receiver) records(h hook) (records []record) {
	if !strings.HasPrefix(h.body, "[") {
		records = make([]record, 1)
		require.NoError(r.t, json.Unmarshal([]byte(h.body), &records[0]), h.body)
		return records
	}
	require.NoError(r.t, json.Unmarshal([]byte(h.body), &records), h.body)
	return records
}

// check requires that deliveries are signed, and that one id always has the same body.
func (r *receiver) check() {
	r.t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
	require.NoError(r.t, err)
	bodies := map[string]string{}
	for _, h := range r.hooks() {
		at := h.header.Get("webhook-timestamp")
		seconds, err := strconv.ParseInt(at, 10, 64)
		require.NoError(r.t, err)
		assert.WithinDuration(r.t, h.at, time.Unix(seconds, 0), time.Minute)
		assert.Equal(r.t, "v1,"+base64.StdEncoding.EncodeToString(signature(key, h.id+"."+at+"."+h.body)), h.header.Get("webhook-signature"))
		if before, known := bodies[h.id]; known {
			require.Equal(r.t, before, h.body, "%s has two bodies", h.id)
		}
		bodies[h.id] = h.body
	}
}

// await waits until n different values were taken.
func (r *receiver) await(s *server, n int) map[string]int {
	s.t.Helper()
	s.eventually(2*waitTimeout, fmt.Sprintf("%d records are delivered", n), func() error {
		if got := len(r.taken()); got < n {
			return fmt.Errorf("%d; %s", got, s.get("/subscriptions").body)
		}
		return nil
	})
	return r.taken()
}

// subscribe makes a subscription of the receiver.
func (s *server) subscribe(name string, r *receiver, topic, more string) *answer {
	s.t.Helper()
	return s.call("PUT", "/subscriptions/"+name, `{"topics":["`+topic+`"],"url":"`+r.url+`/in","secret":"`+hookSecret+`"`+more+`}`)
}

// subscription waits until a subscription is as f wants it.
func (s *server) subscription(name string, f func(v map[string]any) bool) map[string]any {
	s.t.Helper()
	var v map[string]any
	s.eventually(waitTimeout, "the subscription is as it should be", func() error {
		v = s.get("/subscriptions/" + name).want(200).object()
		if !f(v) {
			return fmt.Errorf("%v", v)
		}
		return nil
	})
	return v
}

const allowReceivers = "OTTLA_WEBHOOKS_ALLOW=127.0.0.1"

func TestSubscriptionDelivers(t *testing.T) {
	t.Parallel()
	s := start(t, allowReceivers)
	s.topic("orders", 2)
	r := receive(t)
	s.produce("orders", object{"key": "k", "value": 1, "headers": object{"h": "x"}})
	s.subscribe("a", r, "orders", `,"headers":{"Authorization":"Bearer of-the-receiver"}`).want(201)
	s.subscribe("a", r, "orders", `,"headers":{"Authorization":"Bearer of-the-receiver"}`).want(200)
	assert.Equal(t, map[string]int{"1": 1}, r.await(s, 1))
	first := r.hooks()[0]
	assert.Equal(t, "Bearer of-the-receiver", first.header.Get("Authorization"))
	assert.Equal(t, "application/json", first.header.Get("Content-Type"))
	rec := r.records(first)[0]
	assert.Equal(t, "orders", rec.Topic)
	assert.JSONEq(t, `"k"`, string(rec.Key))
	assert.Equal(t, map[string]string{"h": "x"}, rec.Headers)

	// What fails is tried again under the same id, and shows.
	r.always(500)
	s.produce("orders", object{"key": "k", "value": 2})
	v := s.subscription("a", func(v map[string]any) bool { return v["state"] == "failing" })
	assert.Equal(t, json.Number("500"), v["last_status"])
	assert.Equal(t, json.Number("1"), v["lag"])
	assert.NotEmpty(t, v["failing_since"])
	assert.Equal(t, "answered with 500", v["last_error"])
	r.always(200)
	r.await(s, 2)
	s.subscription("a", func(v map[string]any) bool {
		return v["state"] == "active" && v["lag"] == json.Number("0") && v["failing_since"] == nil
	})

	// Retry-After is honoured.
	busy := true
	r.answers(func(hook) (int, map[string]string) {
		if busy {
			busy = false
			return 429, map[string]string{"Retry-After": "2"}
		}
		return 200, nil
	})
	s.produce("orders", object{"key": "k", "value": 3})
	r.await(s, 3)
	hooks := r.hooks()
	assert.GreaterOrEqual(t, hooks[len(hooks)-1].at.Sub(hooks[len(hooks)-2].at), 1900*time.Millisecond)

	// 410 pauses, and PATCH goes on.
	r.always(410)
	s.produce("orders", object{"key": "k", "value": 4})
	v = s.subscription("a", func(v map[string]any) bool { return v["state"] == "paused" })
	assert.Equal(t, true, v["paused"])
	assert.Contains(t, v["paused_because"], "410")
	assert.Equal(t, json.Number("410"), v["last_status"])
	n := len(r.hooks())
	r.always(200)
	s.call("PATCH", "/subscriptions/a", `{"paused":false}`).want(200)
	r.await(s, 4)
	assert.Equal(t, n+1, len(r.hooks()))
	s.call("PATCH", "/subscriptions/a", `{"paused":true}`).want(200)
	s.eventually(waitTimeout, "nobody is in the group of a paused subscription", func() error {
		if g := s.get("/groups/subscription-a").want(200).object(); g["state"] != "empty" {
			return fmt.Errorf("%v", g)
		}
		return nil
	})
	s.produce("orders", object{"key": "k", "value": 5})
	s.call("PATCH", "/subscriptions/a", `{"paused":false,"batch":10}`).want(200)
	r.await(s, 5)
	hooks = r.hooks()
	assert.True(t, strings.HasPrefix(hooks[len(hooks)-1].body, "["), "a batch of one is an array, too")

	// Partitions that are added, and what is read again, are delivered.
	s.call("PATCH", "/topic/orders", `{"partitions":3}`).want(200)
	// The seek comes after the last is delivered and before that is committed: where its
	// partition is in the group it was already.
	sought := false
	r.answers(func(h hook) (int, map[string]string) {
		if !sought && strings.Contains(h.body, `"value":6`) {
			sought = true
			s.post("/groups/subscription-a/seek", `{"topic":"orders","to":"earliest"}`).want(200)
		}
		return 200, nil
	})
	s.produce("orders", object{"partition": 2, "value": 6})
	r.await(s, 6)
	s.eventually(waitTimeout, "all is delivered again", func() error {
		for value, n := range r.taken() {
			if n < 2 {
				return errors.New(value)
			}
		}
		return nil
	})
	r.check()
	metrics := string(s.get("/metrics").body)
	assert.Regexp(t, `(?m)^ottla_webhook_deliveries_total [1-9]`, metrics)
	assert.Regexp(t, `(?m)^ottla_webhook_failed_deliveries_total [1-9]`, metrics)
	assert.NotContains(t, s.stderr.tail(1<<24), "of-the-receiver")
	s.delete("/subscriptions/a").want(204)
	s.get("/subscriptions/a").wantError(404, "subscription_not_found")
}

// A record that is never taken is a dead letter, once, and holds back no other, in any
// order but that of the partition.
func TestDeadLettersOfSubscriptions(t *testing.T) {
	t.Parallel()
	s := start(t, allowReceivers)
	s.topic("jobs", 1)
	r := receive(t)
	r.answers(func(h hook) (int, map[string]string) {
		if strings.Contains(h.body, "poison") {
			return 500, nil
		}
		return 200, nil
	})
	s.produce("jobs", object{"key": "a", "value": "poison", "headers": object{"h": "x", "ottla-dead-topic": "old"}})
	for i := range 5 {
		s.produce("jobs", object{"key": "b", "value": i})
	}
	s.subscribe("none", r, "jobs", `,"order":"key","max_deliveries":3`).want(201)
	r.await(s, 5)
	s.subscription("none", func(v map[string]any) bool { return v["lag"] == json.Number("0") })
	tries := 0
	for _, h := range r.hooks() {
		if strings.Contains(h.body, "poison") {
			tries++
		}
	}
	assert.Equal(t, 3, tries)
	var dead []record
	for p := range 3 {
		dead = append(dead, s.readPartition("jobs.dead", p)...)
	}
	require.Len(t, dead, 1)
	assert.JSONEq(t, `"poison"`, string(dead[0].Value))
	assert.JSONEq(t, `"a"`, string(dead[0].Key))
	assert.Equal(t, map[string]string{
		"h": "x", "ottla-dead-topic": "jobs", "ottla-dead-partition": "0", "ottla-dead-offset": "0", "ottla-dead-deliveries": "3",
		"ottla-dead-reason": "answered with 500",
	}, dead[0].Headers)
	s.stop()
	s.again()
	s.produce("jobs", object{"key": "b", "value": 5})
	r.await(s, 6)
	r.check()
}

// What leads into the machine or its network is refused, at once or when it is resolved.
func TestSubscriptionsReachNoPrivateAddress(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("orders", 1)
	r := receive(t)
	for _, target := range []string{r.url, "http://localhost:1/", "http://[::1]/", "http://169.254.169.254/latest/meta-data", "http://10.0.0.1", "http://[::ffff:127.0.0.1]/"} {
		s.call("PUT", "/subscriptions/a", `{"topics":["orders"],"url":"`+target+`"}`).wantError(422, "not_allowed")
	}
	s.call("PUT", "/subscriptions/a", `{"topics":["none"],"url":"https://example.com"}`).wantError(404, "topic_not_found")
	name, err := os.Hostname()
	require.NoError(t, err)
	port := r.url[strings.LastIndex(r.url, ":"):]
	s.call("PUT", "/subscriptions/a", `{"topics":["orders"],"url":"http://`+name+port+`/in"}`).want(201)
	s.produce("orders", object{"value": 1})
	v := s.subscription("a", func(v map[string]any) bool { return v["state"] == "failing" })
	assert.NotEmpty(t, v["last_error"])
	assert.Nil(t, v["last_status"])
	assert.Empty(t, r.hooks())
}

// unreliable answers most deliveries with an error, and some too late.
func unreliable(rng *rand.Rand) func(hook) (int, map[string]string) {
	return func(hook) (int, map[string]string) {
		switch rng.Intn(4) {
		case 0:
			return 500, nil
		case 1:
			return 503, map[string]string{"Retry-After": "0"}
		}
		return 200, nil
	}
}

// No record is lost and no id has two bodies when the process is killed while it
// delivers, again and again.
func TestSubscriptionsSurviveKills(t *testing.T) {
	t.Parallel()
	s := start(t, allowReceivers)
	s.args = append(s.args, "--listen", strings.TrimPrefix(s.base, "http://"))
	s.topic("orders", 3)
	r := receive(t)
	r.answers(unreliable(rand.New(rand.NewSource(1))))
	for i, more := range []string{`,"order":"partition"`, `,"order":"none","batch":5`, `,"order":"key","batch":3`} {
		s.subscribe(fmt.Sprintf("s%d", i), r, "orders", more+`,"max_deliveries":1000`).want(201)
	}
	const rounds, each = 4, 30
	for round := range rounds {
		before := len(r.hooks())
		for i := range each {
			s.produce("orders", object{"key": i % 7, "value": fmt.Sprint(round, "-", i)})
		}
		s.eventually(waitTimeout, "deliveries are under way", func() error {
			if n := len(r.hooks()) - before; n < 20 {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
		s.kill()
		s.again()
	}
	r.always(200)
	for i := range 3 {
		s.subscription(fmt.Sprintf("s%d", i), func(v map[string]any) bool { return v["lag"] == json.Number("0") })
	}
	got := r.taken()
	require.Len(t, got, rounds*each)
	for value, n := range got {
		assert.GreaterOrEqual(t, n, 3, "%s was not delivered by each subscription", value)
	}
	r.check()
}

// The same in a fleet: another node goes on, at once, while the one that delivered is
// dead.
func TestSubscriptionsOfAFleet(t *testing.T) {
	t.Parallel()
	f := prepareNodes(t, 3)
	for _, s := range f.nodes {
		s.env = append(s.env, allowReceivers)
		s.launch()
	}
	f.waitReady()
	f.nodes[0].topic("orders", 3)
	r := receive(t)
	rng := rand.New(rand.NewSource(2))
	f.nodes[1].subscribe("a", r, "orders", `,"order":"key","max_deliveries":1000`).want(201)
	f.nodes[2].subscribe("b", r, "orders", `,"batch":7,"max_deliveries":1000`).want(201)
	total := 0
	produce := func(through *nodeClient, n int) {
		for range n {
			through.ask("POST", "/events", object{"topic": "orders", "key": total % 7, "value": total}, "Idempotency-Key", fmt.Sprint("k", total)).want(200)
			total++
		}
	}
	for i, s := range f.nodes {
		c := &nodeClient{f: f, at: (i + 1) % 3}
		r.answers(unreliable(rng))
		produce(c, 20)
		s.kill()
		produce(c, 20)
		r.always(200)                    // the back-off of a record that fails again and again is longer than the test
		r.await(f.nodes[(i+1)%3], total) // while it is dead
		s.launch()
		f.waitReady()
	}
	r.always(200)
	for _, name := range []string{"a", "b"} {
		f.nodes[0].subscription(name, func(v map[string]any) bool { return v["lag"] == json.Number("0") })
	}
	for value, n := range r.taken() {
		assert.GreaterOrEqual(t, n, 2, value)
	}
	r.check()
	for _, s := range f.nodes {
		s.subscription("a", func(v map[string]any) bool { return v["lag"] == json.Number("0") })
	}
}

// Who may administer the topics may have them delivered, and nobody else.
func TestWhoMaySubscribe(t *testing.T) {
	t.Parallel()
	s := start(t, allowReceivers, "OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN="+adminSecret, "OTTLA_LIMITS_SUBSCRIPTIONS=2")
	for _, topic := range []string{"mine", "other"} {
		s.post("/topic", `{"name":"`+topic+`","partitions":1}`, admin...).want(201)
	}
	mine := s.token("mine", `[{"do":["admin","write"],"topics":"mine*"},{"do":["read"],"groups":"mine*"}]`)
	reader := s.token("reader", `[{"do":["read","write"],"topics":"mine"}]`)
	r := receive(t)
	put := func(name, fields string, headers ...string) *answer {
		return s.call("PUT", "/subscriptions/"+name, `{"url":"`+r.url+`",`+fields+`}`, headers...)
	}
	put("a", `"topics":["mine"]`).wantError(401, "unauthorized")
	put("a", `"topics":["mine"]`, reader...).wantError(403, "forbidden")
	put("a", `"topics":["mine","other"]`, mine...).wantError(403, "forbidden")
	put("a", `"topics":["mine"],"dead_letter_topic":"other"`, mine...).wantError(403, "forbidden")
	put("a", `"topics":["mine"],"group":"theirs"`, mine...).wantError(403, "forbidden")
	put("a", `"topics":["mine"],"group":"mine-hooks","secret":"`+hookSecret+`","headers":{"X-Key":"of-the-receiver"}`, mine...).want(201)
	s.post("/events", `{"topic":"mine","value":1}`, mine...).want(200)
	s.eventually(waitTimeout, "it is delivered", func() error {
		if len(r.hooks()) == 0 {
			return errors.New(string(s.get("/subscriptions/a", mine...).body))
		}
		return nil
	})
	put("b", `"topics":["other"]`, admin...).want(201)
	put("c", `"topics":["other"]`, admin...).wantError(422, "too_many_subscriptions")
	s.call("PATCH", "/subscriptions/a", `{"paused":true}`, reader...).wantError(403, "forbidden")
	s.call("DELETE", "/subscriptions/a", nil, reader...).wantError(403, "forbidden")
	s.call("PATCH", "/subscriptions/b", `{"paused":true}`, mine...).wantError(404, "subscription_not_found")
	s.get("/subscriptions/b", mine...).wantError(404, "subscription_not_found")
	var list struct{ Subscriptions []struct{ Name string } }
	require.NoError(t, json.Unmarshal(s.get("/subscriptions", mine...).want(200).body, &list))
	require.Len(t, list.Subscriptions, 1)
	for _, path := range []string{"/subscriptions", "/topic/__cluster_metadata/partitions/0/records?cluster=default&max_records=10000&offset=0"} {
		a := s.get(path, admin...).want(200)
		assert.Contains(t, string(a.body), "x-key", path)
		assert.NotContains(t, string(a.body), "of-the-receiver", path)
		assert.NotContains(t, string(a.body), hookSecret, path)
	}
	s.call("DELETE", "/cluster/default", nil, admin...).wantError(422, "not_allowed")
	s.call("DELETE", "/subscriptions/a", nil, mine...).want(204)
}
