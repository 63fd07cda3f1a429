package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// idRequest is a produce request with an id, which may be sent again.
type idRequest struct {
	name    string
	body    string
	headers []string
	values  []string // of its records
}

// idRequests are requests of each kind for a topic; n makes their ids and values unique.
func idRequests(topic string, n int) []idRequest {
	records := func(kind string, count int, form string) (string, []string) {
		var list, values []string
		for i := range count {
			v := fmt.Sprintf("%s-%d-%d", kind, n, i)
			values = append(values, v)
			list = append(list, strings.ReplaceAll(strings.ReplaceAll(form, "V", v), "K", strconv.Itoa(i*7+n)))
		}
		return strings.Join(list, ","), values
	}
	var all []idRequest
	for _, kind := range []struct {
		name, form string
		count      int
	}{
		{"keyless", `{"value":"V"}`, 1},
		{"keyed", `{"key":"k-K","value":"V"}`, 1},
		{"keyless batch", `{"value":"V"}`, 3},
		{"keyed batch", `{"key":"k-K","value":"V"}`, 4},
		{"a named partition", `{"partition":1,"value":"V"}`, 1},
	} {
		for _, by := range []string{"key", "producer"} {
			list, values := records(kind.name+" by "+by, kind.count, kind.form)
			body := `{"topic":"` + topic + `","records":[` + list + `]}`
			if kind.count == 1 {
				body = `{"topic":"` + topic + `",` + list[1:]
			}
			id := strings.ReplaceAll(kind.name, " ", "-")
			headers := []string{"Idempotency-Key", fmt.Sprintf("%s-%d", id, n)}
			if by == "producer" {
				headers = []string{"Producer-Id", id, "Producer-Epoch", "1", "Producer-Seq", strconv.Itoa(n)}
			}
			all = append(all, idRequest{kind.name + " by " + by, body, headers, values})
		}
	}
	return all
}

func (s *server) partitions(topic string, n int) *answer {
	s.t.Helper()
	return s.call(http.MethodPatch, "/topic/"+topic, map[string]any{"partitions": n})
}

// A retry is placed where the first try was, also when the topic has got more partitions
// in between: it is found there, and not written again.
func TestARetryAfterMorePartitions(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("grows", 2)
	want := int64(0)
	send := func(r idRequest, duplicate bool) {
		t.Helper()
		got := s.post("/events", r.body, r.headers...).want(http.StatusOK).object()
		assert.Equal(t, duplicate, got["duplicate"] == true, "%s: %v", r.name, got)
		if !duplicate {
			want += int64(len(r.values))
		}
	}
	first := idRequests("grows", 1)
	for _, r := range first {
		send(r, false)
	}
	s.partitions("grows", 5).want(http.StatusOK)
	for _, r := range first {
		send(r, true)
	}
	second := idRequests("grows", 2)
	for _, r := range second {
		send(r, false)
		send(r, true)
	}
	for _, r := range first {
		if strings.HasSuffix(r.name, "by key") {
			send(r, true)
		}
	}
	s.partitions("grows", 7).want(http.StatusOK)
	s.post("/cluster/default/brokers/2/stop", nil).want(http.StatusOK)
	for _, r := range second {
		send(r, true)
	}
	for _, r := range first { // another body
		if strings.HasSuffix(r.name, "by key") {
			s.post("/events", strings.Replace(r.body, "-1-", "-x-", 1), r.headers...).wantError(http.StatusUnprocessableEntity, "idempotency_mismatch")
		}
	}
	s.stop()
	s.again()
	for _, r := range second {
		send(r, true)
	}
	for _, r := range first {
		if strings.HasSuffix(r.name, "by key") {
			send(r, true)
		}
	}
	assert.Equal(t, want, s.total("grows", 7))
	for _, p := range s.get("/producers").want(http.StatusOK).object()["producers"].([]any) {
		assert.NotContains(t, p.(map[string]any)["name"], "·")
	}
}

// A batch that was written in part, as one partition had no leader, is completed where
// its other records were to go when the topic was smaller.
func TestABatchInPartAfterMorePartitions(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.post("/topic", `{"name":"thin","partitions":3,"replication_factor":1}`).want(http.StatusCreated)
	s.post("/cluster/default/brokers/2/stop", nil).want(http.StatusOK)
	records := make([]string, 9)
	for i := range records {
		records[i] = fmt.Sprintf(`{"value":%d}`, i)
	}
	body := `{"topic":"thin","records":[` + strings.Join(records, ",") + `]}`
	for _, headers := range [][]string{{"Idempotency-Key", "half"}, {"Producer-Id", "half", "Producer-Epoch", "1", "Producer-Seq", "1"}} {
		got := s.post("/events", body, headers...).want(http.StatusMultiStatus).object()
		require.EqualValues(t, "6", fmt.Sprint(got["count"]))
	}
	s.partitions("thin", 4)
	s.post("/cluster/default/brokers/2/start", nil).want(http.StatusOK)
	s.partitions("thin", 5).want(http.StatusOK)
	for _, headers := range [][]string{{"Idempotency-Key", "half"}, {"Producer-Id", "half", "Producer-Epoch", "1", "Producer-Seq", "1"}} {
		s.post("/events", body, headers...).want(http.StatusOK)
		got := s.post("/events", body, headers...).want(http.StatusOK).object()
		assert.Equal(t, true, got["duplicate"])
	}
	assert.EqualValues(t, 18, s.total("thin", 5))
	for p := range 3 {
		assert.EqualValues(t, 6, s.fetch("thin", p, 0, "").HighWatermark)
	}
}

// Whatever comes in between, a request with an id is written once: more partitions,
// retries by many at once, brokers that stop, restarts.
func TestRetriesAmongChangesOfThePartitions(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := start(t)
	s.topic("wild", 2)
	partitions, stopped := 2, 0
	var sent []idRequest
	for n := range 60 {
		switch rnd.IntN(8) {
		case 0:
			partitions += 1 + rnd.IntN(3)
			s.partitions("wild", partitions).want(http.StatusOK)
		case 1:
			if stopped > 0 {
				s.post(fmt.Sprintf("/cluster/default/brokers/%d/start", stopped), nil).want(http.StatusOK)
				stopped = 0
			} else {
				stopped = 1 + rnd.IntN(3)
				s.post(fmt.Sprintf("/cluster/default/brokers/%d/stop", stopped), nil).want(http.StatusOK)
			}
		case 2:
			if rnd.IntN(3) == 0 {
				s.kill()
				s.again()
				stopped = 0
			}
		}
		all := idRequests("wild", n)
		for range 2 {
			r := all[rnd.IntN(len(all))]
			s.post("/events", r.body, r.headers...).want(http.StatusOK)
			sent = append(sent, r)
		}
		for range 3 {
			r := sent[rnd.IntN(len(sent))]
			if strings.HasSuffix(r.name, "by key") {
				got := s.post("/events", r.body, r.headers...).want(http.StatusOK).object()
				assert.Equal(t, true, got["duplicate"], r.name)
			}
		}
		last := sent[len(sent)-1]
		assert.Equal(t, true, s.post("/events", last.body, last.headers...).want(http.StatusOK).object()["duplicate"], last.name)
	}
	want := map[string]int{}
	for _, r := range sent {
		for _, v := range r.values {
			want[v] = 1
		}
	}
	got := map[string]int{}
	for p := range partitions {
		for _, r := range s.readPartition("wild", p) {
			var v string
			require.NoError(t, json.Unmarshal(r.Value, &v))
			got[v]++
		}
	}
	assert.Equal(t, want, got)
}
