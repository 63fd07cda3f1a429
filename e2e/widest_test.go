package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// The widest topic there can be has thousands of replicas elect leaders at the
// same moment, on one disk. They must come to an end: an election that is begun
// anew before its votes are on disk never does.
func TestTheWidestTopic(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 3,072 replicas")
	}
	s := start(t)
	s.topic("small", 1)
	s.wide("wide", 1024)
	s.produce("wide", object{"value": 1, "partition": 1023})
	s.produce("small", object{"value": 1})
}

// wide makes a topic of many partitions, and waits until all have leaders.
func (s *server) wide(name string, partitions int) {
	s.t.Helper()
	a := s.post("/topic", object{"name": name, "partitions": partitions})
	if a.status != http.StatusCreated { // a slow disk: it is there all the same
		e := a.anyError()
		if e.Outcome != "applied" || a.status != http.StatusServiceUnavailable {
			s.t.Fatalf("%d %s", a.status, a.body)
		}
	}
	s.eventually(4*time.Minute, "every partition has a leader", func() error {
		if a := s.get("/readyz"); a.status != http.StatusOK {
			return fmt.Errorf("%d %.200s", a.status, a.body)
		}
		return nil
	})
}
