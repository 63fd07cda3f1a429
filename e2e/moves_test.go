package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// task is one of GET /tasks.
type task struct {
	ID         string `json:"id"`
	Kind       string `json:"kind"`
	State      string `json:"state"`
	Moved      int    `json:"moved"`
	Left       int    `json:"left"`
	WaitingFor string `json:"waiting_for"`
}

// join starts one more node and waits until it is a member.
func (f *nodeSet) join(name string) *server {
	f.t.Helper()
	s := f.node(name, freeAddress(f.t), f.seeds...)
	s.launch()
	s.waitReady()
	f.nodes = append(f.nodes, s)
	return s
}

// begin begins a task by way of a node.
func (f *nodeSet) begin(s *server, method, path string, body any) task {
	f.t.Helper()
	var t task
	s.call(method, path, body).want(http.StatusAccepted).loosely(&t)
	return t
}

// awaitTask waits until a task is over, by way of whichever node answers.
func (f *nodeSet) awaitTask(id, state string) task {
	f.t.Helper()
	var t task
	f.nodes[0].eventually(2*waitTimeout, "task "+id+" ends", func() error {
		for _, s := range f.nodes {
			a, err := s.try(http.MethodGet, "/tasks/"+id, nil)
			if err != nil || a.status != http.StatusOK {
				continue
			}
			if err := json.Unmarshal(a.body, &t); err != nil {
				return err
			}
			if t.State == state {
				return nil
			}
		}
		return fmt.Errorf("%+v", t)
	})
	return t
}

// brokerNodes are the nodes of a cluster's brokers, as a node says once it has heard that
// all of them run.
func brokerNodes(s *server, cluster string) (nodes []uint64) {
	s.t.Helper()
	var c struct {
		Brokers []struct {
			Node  uint64 `json:"node"`
			State string `json:"state"`
		} `json:"brokers"`
	}
	s.eventually(waitTimeout, "all brokers run", func() error {
		nodes = nil
		s.get("/cluster/" + cluster).want(http.StatusOK).loosely(&c)
		for _, b := range c.Brokers {
			if nodes = append(nodes, b.Node); b.State != "running" {
				return fmt.Errorf("%+v", c)
			}
		}
		return nil
	})
	return nodes
}

// A node leaves while clients write at all nodes, and one of the others is killed in the
// middle of it; then the next one leaves, so that two of the founders are gone. Nobody
// fails who tries again, and nothing is lost.
func TestNodesLeaveUnderLoad(t *testing.T) {
	t.Parallel()
	f := startNodes(t, 3)
	f.join("n4")
	f.nodes[0].topic("t", 4)
	refused := f.nodes[0].post("/nodes/9/decommission", nil)
	refused.wantError(http.StatusNotFound, "node_not_found")
	l := f.load("t", 4, 8)
	l.advance(200)
	first := f.begin(f.nodes[2], http.MethodPost, "/nodes/2/decommission", nil)
	f.nodes[3].kill() // which the broker moves to
	l.advance(50)
	f.nodes[3].again()
	f.nodes[3].waitReady()
	done := f.awaitTask(first.ID, "done")
	assert.Positive(t, done.Moved)
	assert.Zero(t, done.Left)
	l.advance(200)
	f.nodes[0].eventually(waitTimeout, "node 2 is gone", func() error {
		if a := f.nodes[0].get("/nodes/2"); !strings.Contains(string(a.body), `"state":"gone"`) {
			return fmt.Errorf("%s", a.body)
		}
		return nil
	})
	l.stop()
	l.done.Wait()
	f.nodes[1].stop()
	f.nodes = append(f.nodes[:1:1], f.nodes[2:]...) // n1, n3, n4
	require.Equal(t, []uint64{1, 4, 3}, brokerNodes(f.nodes[0], "default"))
	f.nodes[0].post("/nodes/1/decommission", nil).wantError(http.StatusUnprocessableEntity, "not_allowed")

	f.join("n5")
	second := f.begin(f.nodes[1], http.MethodPost, "/nodes/1/decommission", nil)
	f.nodes[0].kill()   // itself
	f.nodes[0].launch() // it may be gone before it is ready
	f.awaitTask(second.ID, "done")
	f.nodes[0].stop()
	f.nodes = f.nodes[1:]
	f.waitReady()
	require.Equal(t, []uint64{5, 4, 3}, brokerNodes(f.nodes[0], "default"))
	l.check()
	for _, s := range f.nodes { // all of them started again, with founders that are gone
		s.stop()
	}
	for _, s := range f.nodes {
		s.launch()
	}
	f.waitReady()
	l.check()
}

// What docs/operating.md says to type when machines come and go, typed in that order.
func TestOperatingAFleet(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/operating.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## Machines come and go\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	f := startNodes(t, 3)
	f.join("n4")
	for i := range 30 { // so that a decommission takes its time
		f.nodes[0].topic(fmt.Sprintf("t%d", i), 3)
	}
	typed := 0
	for _, m := range regexp.MustCompile("`ottla ([^`]+)`").FindAllStringSubmatch(section, -1) {
		if typed++; strings.HasPrefix(m[1], "node re") {
			f.settle()
		}
		if strings.HasPrefix(m[1], "node replace") {
			f.nodes[1].kill()
			f.nodes = append(f.nodes[:1:1], f.nodes[2:]...)
		}
		f.nodes[0].eventually(waitTimeout, m[1], func() error {
			code, out, problem := f.nodes[0].ottla("", strings.Fields(m[1])...)
			if code != 0 {
				return fmt.Errorf("%s %s", out, problem)
			}
			return nil
		})
	}
	f.settle()
	require.Equal(t, 11, typed)
}

// settle waits until no task is under way.
func (f *nodeSet) settle() {
	f.t.Helper()
	f.nodes[0].eventually(2*waitTimeout, "no task is under way", func() error {
		a := f.nodes[0].get("/tasks")
		if strings.Contains(string(a.body), `"state":"running"`) {
			return fmt.Errorf("%s", a.body)
		}
		return nil
	})
}

// Brokers spread over a node that has joined, and a cluster grows and shrinks, at several
// nodes and by the command line.
func TestBrokersSpreadAndClustersGrow(t *testing.T) {
	t.Parallel()
	f := startNodes(t, 3)
	for _, name := range []string{"a", "b", "c"} {
		f.nodes[0].post("/cluster", object{"name": name, "num_brokers": 3}).want(http.StatusCreated)
	}
	f.nodes[0].topic("t", 4)
	s := f.join("n4")
	l := f.load("t", 4, 4)
	l.advance(50)
	var node struct {
		Brokers []any `json:"brokers"`
	}
	s.eventually(2*waitTimeout, "node 4 has its share", func() error { // a cluster that is just being made is not moved
		began := f.begin(s, http.MethodPost, "/nodes/rebalance", nil)
		f.awaitTask(began.ID, "done")
		f.nodes[0].get("/nodes/4").want(http.StatusOK).loosely(&node)
		if len(node.Brokers) != 3 {
			return fmt.Errorf("%v", node.Brokers)
		}
		return nil
	})
	f.waitReady()

	code, out, problem := f.nodes[0].ottla("", "cluster", "alter", "default", "--brokers", "5")
	require.Zero(t, code, problem)
	require.Contains(t, out, "cluster default gets 5 brokers")
	grown := f.begin(f.nodes[1], http.MethodPatch, "/cluster/default", object{"num_brokers": 5})
	f.awaitTask(grown.ID, "done")
	require.Len(t, brokerNodes(s, "default"), 5)
	shrunk := f.begin(s, http.MethodPatch, "/cluster/default", object{"num_brokers": 3})
	f.awaitTask(shrunk.ID, "done")
	require.Len(t, brokerNodes(f.nodes[2], "default"), 3)
	f.nodes[0].call(http.MethodPatch, "/cluster/default", object{"num_brokers": 3}).want(http.StatusOK)
	f.nodes[0].call(http.MethodPatch, "/cluster/default", object{"num_brokers": 2}).wantError(http.StatusUnprocessableEntity, "not_allowed")
	f.waitReady()
	l.check()
}
