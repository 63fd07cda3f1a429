package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// Nodes join a fleet, leave it, take the place of lost ones and have brokers spread over
// them, while nodes are killed and links are cut.

var (
	faultLeave     = &fault{"a node decommissioned", 0, 0, on(func(w growth) error { return w.leave(false) })}
	faultStay      = &fault{"a decommission called off", 0, 0, on(func(w growth) error { return w.leave(true) })}
	faultReplaced  = &fault{"a node lost and replaced", 0, 0, on(growth.replaceNode)}
	faultRebalance = &fault{"brokers rebalanced", 0, 0, on(growth.rebalance)}
	faultResized   = &fault{"a cluster grown and shrunk", 0, 0, on(growth.resizeCluster)}
)

// spares is how many nodes more than founders a fleet has that grows and shrinks.
const spares = 1

// moveLimit is how long moves may take once nothing is in their way.
const moveLimit = 3 * time.Minute

// growth are the faults of a fleet whose nodes and brokers move.
type growth struct{ *world }

// joinLater has the spare nodes join the fleet of the others.
func (w growth) joinLater() error {
	seeds := strings.Join(w.net.addresses()[:len(w.nodes)-spares], ",")
	for _, s := range w.nodes {
		for i := range s.args {
			if s.args[i] == "--seeds" {
				s.args[i+1] = seeds
			}
		}
	}
	return nil
}

// nodeState is a node as the fleet describes it.
type nodeState struct {
	ID    uint64 `json:"id"`
	Name  string `json:"name"`
	State string `json:"state"`

	Brokers []any `json:"brokers"`
}

// states asks the nodes for all of them; the numbers are those of the newest of each name.
// Who is gone does not learn it from the fleet's metadata any more, the others do.
func (w growth) states() map[string]nodeState {
	all := map[string]nodeState{}
	for _, s := range w.nodes {
		var list struct{ Nodes []nodeState }
		if status, body := s.get("/nodes"); status != http.StatusOK || json.Unmarshal(body, &list) != nil {
			continue
		}
		for _, n := range list.Nodes {
			if have := all[n.Name]; n.ID > have.ID || n.ID == have.ID && n.State == "gone" {
				all[n.Name] = n
			}
		}
	}
	return all
}

// order asks nodes, one after the other, for something until one agrees. False: it is
// refused for a reason that may be.
func (w growth) order(method, path, body string) bool {
	status, last := 0, answer{}
	ok := until(func() bool {
		s := w.nodes[w.rnd.Intn(len(w.nodes))]
		status, last = s.call(context.Background(), method, path, nil, []byte(body))
		return status >= 200 && status < 300 || status == http.StatusUnprocessableEntity || status == http.StatusNotFound
	})
	if !ok {
		w.rec.violate("stuck", "%s %s: still status %d %s", method, path, status, last.Code)
	}
	return ok && status < 300
}

// harm kills a node or cuts links, while brokers move.
func (w growth) harm() error {
	switch w.rnd.Intn(3) {
	case 0:
		return nodeFaults(w).killNodes(1)
	case 1:
		n := nodeFaults(w)
		return n.cut(n.pair(true))
	}
	pause(context.Background(), w.between(0, 500*time.Millisecond))
	return nil
}

// settleMoves waits until no task is under way.
func (w growth) settleMoves() error {
	last := ""
	for deadline := time.Now().Add(moveLimit); time.Now().Before(deadline); pause(context.Background(), 100*time.Millisecond) {
		status, body := w.nodes[w.rnd.Intn(len(w.nodes))].get("/tasks")
		if status == http.StatusOK && !strings.Contains(string(body), `"state":"running"`) {
			return nil
		}
		last = fmt.Sprintf("%d %.800s", status, body)
	}
	return fmt.Errorf("tasks do not end: %s", last)
}

// leave decommissions a node while others are harmed. Called off, it stays; else it comes
// back with an empty directory, as a new node.
func (w growth) leave(callOff bool) error {
	i := w.rnd.Intn(len(w.nodes))
	n := w.states()[nodeName(i)]
	path := fmt.Sprintf("/nodes/%d/decommission", n.ID)
	if n.State != "active" {
		return nil
	}
	// A refusal says nothing of an order before it whose outcome is not known.
	w.order(http.MethodPost, path, "")
	if err := w.harm(); err != nil {
		return err
	}
	if callOff {
		w.order(http.MethodDelete, path, "")
	}
	if err := w.settleMoves(); err != nil {
		return err
	}
	if gone, err := w.isGone(i, n.ID); err != nil || !gone {
		return err
	}
	if err := w.comeBack(i, w.nodes[i].stop); err != nil {
		return err
	}
	return w.spread()
}

// staysFor is how long all must say that a node is a member, none that it leaves, until it
// counts as staying: who has just been started may know no better yet.
const staysFor = 2 * time.Second

// isGone waits until it is clear whether node i, with that number, has left for good. It asks
// the others: who is gone does not learn it.
func (w *world) isGone(i int, id uint64) (bool, error) {
	stays, last := time.Time{}, ""
	for deadline := time.Now().Add(moveLimit); time.Now().Before(deadline); pause(context.Background(), 50*time.Millisecond) {
		seen := w.stateElsewhere(i, id)
		last = strings.Join(seen, ", ")
		switch {
		case slices.Contains(seen, "gone"):
			return true, nil
		case len(seen) < len(w.nodes)-1 || slices.Contains(seen, "leaving"):
			stays = time.Time{}
		case stays.IsZero():
			stays = time.Now()
		case time.Since(stays) > staysFor:
			return false, nil
		}
	}
	w.rec.violate("stuck", "node %d neither stays nor goes: others say %s", id, last)
	return false, fmt.Errorf("node %d neither stays nor goes: others say %s", id, last)
}

// stateElsewhere is what each of the other nodes that answer says of a node's state.
func (w *world) stateElsewhere(i int, id uint64) (seen []string) {
	for k, s := range w.nodes {
		var list struct{ Nodes []nodeState }
		if k == i {
			continue
		}
		if status, body := s.get("/nodes"); status != http.StatusOK || json.Unmarshal(body, &list) != nil {
			continue
		}
		for _, n := range list.Nodes {
			if n.ID == id {
				seen = append(seen, n.State)
			}
		}
	}
	return seen
}

// comeBack has a node that is gone join anew, with an empty directory.
func (w growth) comeBack(i int, end func() error) error {
	s := w.nodes[i]
	if err := end(); err != nil {
		return err
	}
	if err := os.Rename(s.dir, fmt.Sprintf("%s.gone-%d", s.dir, time.Now().UnixNano())); err != nil {
		return err
	}
	for k := range s.args { // founders that are alive take it in; its own address among the seeds would do no harm
		if s.args[k] == "--seeds" {
			s.args[k+1] = strings.Join(w.net.addresses(), ",")
		}
	}
	// Who has not heard yet that the node is gone takes it for another one of its name.
	for deadline := time.Now().Add(startLimit); ; pause(context.Background(), 200*time.Millisecond) {
		err := s.start()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		_ = s.kill() // if it runs
	}
}

// replaceNode loses a node's disk, and has another one take its place.
func (w growth) replaceNode() error {
	i := w.rnd.Intn(len(w.nodes))
	lost := w.states()[nodeName(i)]
	var with nodeState // the one with the fewest brokers: two copies at one node would be a majority
	for _, n := range w.states() {
		if n.Name != lost.Name && n.State == "active" && (with.ID == 0 || len(n.Brokers) < len(with.Brokers)) {
			with = n
		}
	}
	if lost.State != "active" || with.State != "active" {
		return nil
	}
	if err := w.nodes[i].kill(); err != nil {
		return err
	}
	pause(context.Background(), 1500*time.Millisecond) // so that it is not heard of any more
	done := w.order(http.MethodPost, fmt.Sprintf("/nodes/%d/replace", lost.ID), fmt.Sprintf(`{"with":%d}`, with.ID))
	if !done {
		if gone, err := w.isGone(i, lost.ID); err != nil {
			return err
		} else if !gone {
			return w.nodes[i].start()
		}
	}
	if err := w.comeBack(i, func() error { return nil }); err != nil {
		return err
	}
	if err := w.settleMoves(); err != nil {
		return err
	}
	return w.spread()
}

// spread has brokers move apart again, so that the loss of another node is one of a copy.
func (w growth) spread() error {
	if !w.order(http.MethodPost, "/nodes/rebalance", "") {
		return nil
	}
	return w.settleMoves()
}

// rebalance has brokers move to where there are fewest.
func (w growth) rebalance() error {
	if !w.order(http.MethodPost, "/nodes/rebalance", "") {
		return nil
	}
	if err := w.harm(); err != nil {
		return err
	}
	return w.settleMoves()
}

// resizeCluster gives the cluster more brokers, or the number that it had.
func (w growth) resizeCluster() error {
	w.grown = !w.grown
	n := brokers
	if w.grown {
		n = brokers + spares // no more than nodes, so that copies are apart
	}
	if !w.order(http.MethodPatch, "/cluster/default", fmt.Sprintf(`{"num_brokers":%d}`, n)) {
		return nil
	}
	if err := w.harm(); err != nil {
		return err
	}
	if err := w.settleMoves(); err != nil {
		return err
	}
	return w.spread()
}

// finishGrown brings the number of brokers back, as what is checked in the end expects.
func (w growth) finishGrown() error {
	if w.grown {
		return w.resizeCluster()
	}
	return nil
}
