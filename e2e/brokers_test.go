package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// setBroker starts or stops a broker and checks the state it then has.
func (s *server) setBroker(id int, action, state string) {
	s.t.Helper()
	s.post(fmt.Sprintf("/cluster/default/brokers/%d/%s", id, action), nil).want(http.StatusOK)
	var c struct {
		Brokers []struct {
			ID    int    `json:"id"`
			State string `json:"state"`
		} `json:"brokers"`
	}
	s.get("/cluster/default").want(http.StatusOK).as(&c)
	for _, b := range c.Brokers {
		if b.ID == id {
			require.Equal(s.t, state, b.State)
			return
		}
	}
	require.FailNow(s.t, "broker is not listed")
}

func TestOneOfThreeBrokersDown(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("t", 3)
	sent := 0
	for down := 1; down <= 3; down++ {
		s.run(fmt.Sprintf("broker %d", down), func(t *testing.T) {
			s.setBroker(down, "stop", "stopped")
			for p := range 3 {
				s.produce("t", object{"value": sent, "partition": p})
				sent++
			}
			var got []record
			for len(got) < 3 {
				p := s.poll("topic=t", "group=g", "consumer_id=1")
				require.False(t, p.TimedOut, "everything produced must be read: %v", values(got))
				got = append(got, p.Records...)
			}
			assert.Len(t, got, 3)
			s.topic(fmt.Sprintf("made-with-%d-down", down), 3)
			s.produce(fmt.Sprintf("made-with-%d-down", down), object{"value": 1})
			s.setBroker(down, "start", "running")
		})
	}
	s.sameLines("default", "t", 3, []int{1, 2, 3}, sent)
	s.sameLines("default", "made-with-2-down", 3, []int{1, 2, 3}, 1)
}

func TestTwoOfThreeBrokersDown(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_REQUEST_TIMEOUT=5s")
	s.topic("t", 1)
	s.produce("t", object{"value": "before"})
	s.setBroker(1, "stop", "stopped")
	s.setBroker(2, "stop", "stopped")

	a := s.post("/events", object{"topic": "t", "value": "during"})
	require.Contains(t, []int{http.StatusServiceUnavailable, http.StatusGatewayTimeout}, a.status, "%s", a.body)
	e := a.anyError()
	if a.status == http.StatusGatewayTimeout {
		assert.Equal(t, "unknown", e.Outcome)
	} else {
		assert.Equal(t, "none", e.Outcome)
	}
	ready := s.get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, ready.status)
	assert.Contains(t, string(ready.body), `"t"`, "readyz names what has no leader")
	s.get("/healthz").want(http.StatusOK)

	s.setBroker(2, "start", "running")
	s.eventually(waitTimeout, "produce works again without help", func() error {
		a := s.post("/events", object{"topic": "t", "value": "after"})
		if a.status != http.StatusOK {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	s.setBroker(1, "start", "running")
	s.waitReady()
	got := values(s.readPartition("t", 0))
	assert.Equal(t, `"before"`, got[0])
	assert.Equal(t, `"after"`, got[len(got)-1])
	count := 0
	for _, v := range got {
		if v == `"during"` {
			count++
		}
	}
	if e.Outcome == "none" {
		assert.Zero(t, count)
	}
	assert.LessOrEqual(t, count, 1)
	s.sameLines("default", "t", 1, []int{1, 2, 3}, len(got))
}

func TestAllBrokersDownAndUp(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_REQUEST_TIMEOUT=5s")
	s.topic("t", 1)
	s.produce("t", object{"value": 1})
	for b := 1; b <= 3; b++ {
		s.setBroker(b, "stop", "stopped")
	}
	s.post("/events", object{"topic": "t", "value": 2}).anyError()
	for b := 1; b <= 3; b++ {
		s.setBroker(b, "start", "running")
	}
	s.waitReady()
	assert.Contains(t, values(s.readPartition("t", 0)), "1")
	s.produce("t", object{"value": 3})
}

func TestStoppedBrokersComeBackWithTheProcess(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.setBroker(2, "stop", "stopped")
	s.stop()
	s.again()
	assert.Contains(t, string(s.get("/cluster/default").want(http.StatusOK).body), `"state":"running"`)
	assert.NotContains(t, string(s.get("/cluster/default").want(http.StatusOK).body), `"state":"stopped"`)
}

// Brokers come and go under load: whatever was acknowledged stays, and with
// one broker down at a time nobody has to wait for long.
func TestRollingStopsUnderLoad(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("roll", 3)
	stop := make(chan struct{})
	done := make(chan []acked, 1)
	var mu sync.Mutex
	count := 0
	go func() {
		done <- s.load("roll", "v", stop, func(n int) {
			mu.Lock()
			defer mu.Unlock()
			count = n
		})
	}()
	progress := func(more int) {
		t.Helper()
		mu.Lock()
		from := count
		mu.Unlock()
		s.eventually(waitTimeout, "producing goes on", func() error {
			mu.Lock()
			defer mu.Unlock()
			if count < from+more {
				return fmt.Errorf("%d of %d", count-from, more)
			}
			return nil
		})
	}
	for b := 1; b <= 3; b++ {
		progress(50)
		s.setBroker(b, "stop", "stopped")
		progress(50)
		s.setBroker(b, "start", "running")
	}
	progress(50)
	close(stop)
	all := <-done
	s.checkAcked("roll", 3, all)
}

func TestAnswersWhileStarting(t *testing.T) {
	t.Parallel()
	s := start(t)
	for i := range 5 {
		s.topic(fmt.Sprintf("t%d", i), 3)
	}
	s.produce("t0", object{"value": 1})
	s.kill()
	s.launch()
	deadline := time.Now().Add(startTimeout)
	for time.Now().Before(deadline) {
		a := s.get("/topic/t0")
		if a.status == http.StatusOK {
			break
		}
		a.wantError(http.StatusServiceUnavailable, "starting")
	}
	s.waitReady()
	s.get("/topic/t0").want(http.StatusOK)
}
