package e2e

import (
	"fmt"
	"net/http"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// together runs f(0) ... f(n-1) at the same time and waits for all.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// tally counts answers by status and code.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *tally) add(a *answer, err error) {
	what := fmt.Sprint(err)
	if err == nil {
		what = fmt.Sprint(a.status)
		if a.status >= 300 {
			what += " " + string(a.body)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[what]++
}

// Many producers meet a topic that is only just being made for the first of
// them: all of them wait, and none is told that there are no replicas.
func TestProducersMeetAFreshTopic(t *testing.T) {
	t.Parallel()
	s := start(t)
	for round := range 5 {
		var seen tally
		together(50, func(i int) {
			seen.add(s.try(http.MethodPost, "/events", object{"topic": fmt.Sprintf("fresh-%d", round), "value": i}))
		})
		assert.Equal(t, map[string]int{"200": 50}, seen.counts, "round %d", round)
	}
}

func TestManyTopicsAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	var seen tally
	together(100, func(i int) { // as clients do that try again where nothing was done: 900 replicas may take a slow machine too long
		var a *answer
		var err error
		for began := time.Now(); time.Since(began) < 2*waitTimeout; {
			a, err = s.try(http.MethodPost, "/events", object{"topic": fmt.Sprintf("many-%d", i), "value": i})
			if err != nil || a.status != http.StatusServiceUnavailable || !strings.Contains(string(a.body), `"outcome":"none"`) {
				break
			}
		}
		seen.add(a, err)
	})
	assert.Equal(t, map[string]int{"200": 100}, seen.counts)
	params := []string{"group=g", "consumer_id=1", "timeout_ms=30000", "max_records=10000"}
	for i := range 100 {
		params = append(params, fmt.Sprintf("topic=many-%d", i))
	}
	got := map[string]int{}
	for len(got) < 100 { // one poll as a rule; a partition may be without its leader for a moment
		p := s.poll(params...)
		require.False(t, p.TimedOut, "only %d arrived: %v", len(got), got)
		for _, r := range p.Records {
			got[r.Topic]++
			require.Equal(t, 1, got[r.Topic], "of %s", r.Topic)
		}
	}
	s.waitReady()
}

// What waits for records of a topic that is deleted learns so at once.
func TestTopicDeletedUnderItsReaders(t *testing.T) {
	t.Parallel()
	s := start(t)
	for round := range 5 {
		s.topic("doomed", 2)
		paths := []string{
			"/topic/doomed/partitions/0/records?offset=0&timeout_ms=30000",
			"/topic/doomed/partitions/1/records?offset=7&timeout_ms=30000",
		}
		answers := make([]*answer, len(paths))
		began := time.Now()
		var readers sync.WaitGroup
		for i, path := range paths {
			readers.Go(func() { answers[i], _ = s.try(http.MethodGet, path, nil) })
		}
		s.eventually(waitTimeout, "a written record can be read", func() error {
			s.produce("doomed", object{"partition": 0, "value": round})
			return nil
		})
		s.delete("/topic/doomed").want(http.StatusNoContent)
		readers.Wait()
		require.NotNil(t, answers[1])
		answers[1].t = t
		answers[1].wantError(http.StatusNotFound, "topic_not_found")
		assert.Less(t, time.Since(began), 25*time.Second)
		s.get("/topic/doomed").wantError(http.StatusNotFound, "topic_not_found")
	}
}

func TestClustersComeAndGo(t *testing.T) {
	t.Parallel()
	s := start(t)
	together(3, func(i int) {
		for range 5 {
			name := fmt.Sprintf("passing-%d", i)
			for _, step := range []struct {
				method, path string
				body         any
				want         int
			}{
				{http.MethodPost, "/cluster", object{"name": name}, http.StatusCreated},
				{http.MethodPost, "/events", object{"topic": "t", "cluster": name, "value": 1}, http.StatusOK},
				{http.MethodDelete, "/cluster/" + name, nil, http.StatusNoContent},
				{http.MethodGet, "/cluster/" + name, nil, http.StatusNotFound},
			} {
				a, err := s.try(step.method, step.path, step.body)
				if assert.NoError(t, err) {
					assert.Equal(t, step.want, a.status, "%s %s: %s", step.method, step.path, a.body)
				}
			}
		}
	})
	s.waitReady()
}

// A cluster is deleted while records are written to it: every answer is either
// a commit or says that the cluster is not there.
func TestClusterDeletedUnderItsProducers(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.post("/cluster", object{"name": "dying"}).want(http.StatusCreated)
	s.post("/topic", object{"name": "t", "cluster": "dying"}).want(http.StatusCreated)
	var seen tally
	stop := make(chan struct{})
	begun := make(chan struct{}, 1000)
	var producers sync.WaitGroup
	for range 4 {
		producers.Go(func() {
			for {
				a, err := s.try(http.MethodPost, "/events", object{"topic": "t", "cluster": "dying", "value": 1})
				if err == nil && a.status >= 300 {
					a.body = []byte(fmt.Sprint(a.object()["code"]))
				}
				seen.add(a, err)
				select {
				case begun <- struct{}{}:
				default:
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 50 {
		<-begun
	}
	s.delete("/cluster/dying").want(http.StatusNoContent)
	close(stop)
	producers.Wait()
	for what := range seen.counts {
		assert.Contains(t, []string{
			"200", "404 cluster_not_found", "503 shutting_down", "503 no_leader", "504 outcome_unknown",
		}, what, "%v", seen.counts)
	}
}

// The terminal in which a server was started is closed: that is an orderly stop,
// as SIGTERM is.
func TestHangUpIsAnOrderlyStop(t *testing.T) {
	t.Parallel()
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("the tests run under nohup, and so would the server")
	}
	s := start(t)
	s.produce("t", object{"value": 1})
	s.stopBy(syscall.SIGHUP)
}
