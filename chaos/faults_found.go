package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// faultFound is a round of its own: a fleet is founded while nodes are killed and
// lose their disks.
var faultFound = &fault{"founding", 0, 0, func(*world) error { return errors.New("it has rounds of its own") }}

// foundings is the campaign of it.
type foundings struct{ *world }

// run founds one fleet in each round. There must be one in the end, or none
// where most founders have lost their disks, and never two.
func (w foundings) run(*campaign) (*result, error) {
	began := time.Now()
	n := 0
	for n < w.o.rounds && (w.o.within == 0 || time.Since(began) < w.o.within) {
		n++
		if err := w.founding(filepath.Join(w.o.dir, fmt.Sprintf("round-%d", n))); err != nil {
			return nil, fmt.Errorf("round %d: %w", n, err)
		}
		if n%10 == 0 || n == w.o.rounds {
			fmt.Fprintf(w.out, "%d foundings, %d records acknowledged, slowest %s\n", n, w.rec.acks.Load(), w.slowest.Round(time.Millisecond))
		}
	}
	w.injected[faultFound.name] = n
	res := &result{
		Campaign: w.o.campaign, Seed: w.o.seed, Rounds: n, Strikes: w.injected, Version: w.foundVersion, Acked: int(w.rec.acks.Load()), Log: int(w.rec.acks.Load()),
		SlowestMS: w.slowest.Milliseconds(), Date: began.UTC().Format(time.DateTime), Seconds: int(time.Since(began).Seconds()), Violations: w.rec.h.violations,
	}
	res.print(w.out)
	return res, res.append(w.o.results)
}

func (w foundings) founding(dir string) (err error) {
	if err := w.newFleetIn(dir); err != nil {
		return err
	}
	defer w.net.close()
	defer w.endAll()
	down, lost := map[int]bool{}, 0
	for _, i := range w.rnd.Perm(len(w.nodes)) {
		if err := w.nodes[i].launch(); err != nil {
			return err
		}
		pause(context.Background(), w.between(0, 300*time.Millisecond))
		for range w.rnd.Intn(3) {
			if lost, err = w.disturb(down, lost); err != nil {
				return err
			}
		}
	}
	for i := range down {
		if err := w.nodes[i].launch(); err != nil {
			return err
		}
	}
	launched := time.Now()
	if most := len(w.nodes)/2 + 1; len(w.nodes)-lost < most {
		pause(context.Background(), 2*time.Second) // it may be founded, or not
		w.onlyOneFleet()
		w.endAll()
		return os.RemoveAll(dir)
	}
	if err := w.waitReady(progressLimit); err != nil {
		w.rec.violate("stuck", "the fleet is not founded (%d disks lost): %v", lost, err)
		return nil
	}
	w.slowest = max(w.slowest, time.Since(launched))
	w.onlyOneFleet()
	w.eachServes()
	w.foundVersion = verdict(w).version()
	w.endAll()
	return os.RemoveAll(dir)
}

func (w foundings) newFleetIn(dir string) (err error) {
	if w.nodes, w.net, err = newNodes(w.o.binary, dir, w.o.nodes); err == nil {
		w.s = w.nodes[0]
	}
	return err
}

// disturb kills a node that runs, or starts one that does not; one that is killed may
// lose its disk, and comes back under a new name.
func (w foundings) disturb(down map[int]bool, lost int) (int, error) {
	i := w.rnd.Intn(len(w.nodes))
	s := w.nodes[i]
	switch {
	case s.cmd == nil:
	case down[i]:
		delete(down, i)
		if err := s.launch(); err != nil {
			return lost, err
		}
	default:
		if err := s.kill(); err != nil {
			return lost, err
		}
		down[i] = true
		if w.rnd.Intn(3) == 0 {
			lost++
			s.args[len(s.args)-1] += "x" // the last argument is its name
			if err := os.RemoveAll(s.dir); err != nil {
				return lost, err
			}
		}
	}
	pause(context.Background(), w.between(0, 300*time.Millisecond))
	return lost, nil
}

// onlyOneFleet checks what the nodes have written down.
func (w foundings) onlyOneFleet() {
	fleets := map[string][]int{}
	for i, s := range w.nodes {
		data, err := os.ReadFile(filepath.Join(s.dir, "node.json"))
		if err != nil {
			continue // it belongs to none
		}
		var node struct {
			Fleet string `json:"fleet"`
		}
		if err := json.Unmarshal(data, &node); err != nil || node.Fleet == "" {
			w.rec.violate("two fleets", "node.json of node %d cannot be read: %v %s", i+1, err, data)
		}
		fleets[node.Fleet] = append(fleets[node.Fleet], i+1)
	}
	if len(fleets) > 1 {
		w.rec.violate("two fleets", "%v", fleets)
	}
}

// eachServes produces by way of each node, and reads by way of each.
func (w foundings) eachServes() {
	topic := "founded"
	status, a := w.s.call(context.Background(), http.MethodPost, "/topic", nil, topicBody(topic, `"segment_bytes":65536`))
	if status != http.StatusCreated {
		w.rec.violate("admin", "create topic: status %d %s", status, a.Code)
		return
	}
	for i, s := range w.nodes {
		body := fmt.Appendf(nil, `{"topic":%q,"partition":0,"value":%d}`, topic, i)
		if status, a := s.call(context.Background(), http.MethodPost, "/events", nil, body); status != http.StatusOK || a.Offset != int64(i) {
			w.rec.violate("answer", "produce by way of node %d: status %d %s, offset %d", i+1, status, a.Code, a.Offset)
			return
		}
		w.rec.acks.Add(1)
	}
	pause(context.Background(), fence)
	for i, s := range w.nodes {
		status, a := s.call(context.Background(), http.MethodGet, recordsPath(topic, 0, 0, 100), nil, nil)
		if status != http.StatusOK || len(a.Records) != len(w.nodes) {
			w.rec.violate("lost", "node %d shows %d records of %d: status %d %s", i+1, len(a.Records), len(w.nodes), status, a.Code)
		}
	}
}
