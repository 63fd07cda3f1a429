package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Nodes of a fleet run two versions of the broker, and change from one to the other and
// back, before the level of the fleet is raised. In the end all run the newer one, and it
// is raised.

// mixture are the faults of a fleet of two versions.
type mixture struct{ *world }

var (
	faultVersionChanged = &fault{"a node changes its version", 0, 0, on(func(w mixture) error { return w.changeVersions(1, false) })}
	faultVersionKilled  = &fault{"a node killed, with another version afterwards", 0, 0, on(func(w mixture) error { return w.changeVersions(1, true) })}
	faultVersionsRolled = &fault{"all nodes change their version in turn", 0, 0, on(func(w mixture) error { return w.changeVersions(len(w.nodes), false) })}
)

// startMixed has nodes begin with the version before.
func (w mixture) startMixed() error {
	if w.o.before == "" {
		return &missingError{"the program of a version before: -before, or make chaos-mixed REF=commit"}
	}
	for _, s := range w.nodes {
		s.binary, s.env = w.o.before, []string{leadersLogged}
	}
	return nil
}

// other gives a node the other version. The newer one holds the level of the fleet.
func (w mixture) other(s *server) {
	if s.binary == w.o.before {
		s.binary, s.env = w.o.binary, []string{leadersLogged, "OTTLA_NODE_FINALIZE=manual"}
	} else {
		s.binary, s.env = w.o.before, []string{leadersLogged}
	}
}

// changeVersions restarts some nodes, one after the other, with the other version.
func (w mixture) changeVersions(n int, kill bool) error {
	for _, i := range w.rnd.Perm(len(w.nodes))[:n] {
		s := w.nodes[i]
		end := s.stop
		if kill {
			end = s.kill
		}
		if err := end(); err != nil {
			return err
		}
		w.other(s)
		pause(context.Background(), w.between(0, 300*time.Millisecond))
		fmt.Fprintf(w.s.log, "chaos: node %d runs %s\n", i+1, s.binary)
		if err := s.start(); err != nil {
			return err
		}
	}
	return nil
}

// finalize has all nodes run the newer version, and the fleet go to its level.
func (w mixture) finalize() error {
	for _, s := range w.nodes {
		if s.binary != w.o.before {
			continue
		}
		if err := s.stop(); err != nil {
			return err
		}
		w.other(s)
		if err := s.start(); err != nil {
			return err
		}
	}
	if err := w.waitReady(startLimit); err != nil {
		return err
	}
	last := ""
	raised := until(func() bool {
		status, a := w.s.call(context.Background(), http.MethodPost, "/fleet/finalize", nil, nil)
		last = fmt.Sprintf("status %d %s", status, a.Code)
		return status == http.StatusOK
	})
	if !raised {
		return errors.New("the level is not raised: " + last)
	}
	for i, s := range w.nodes {
		var body []byte
		if !until(func() bool {
			_, body = s.get("/fleet")
			var fleet struct{ Level, Newest int }
			return json.Unmarshal(body, &fleet) == nil && fleet.Level == fleet.Newest && fleet.Level > 0
		}) {
			w.rec.violate("level", "node %d does not know the level: %s", i+1, body)
		}
	}
	pause(context.Background(), time.Second) // under load
	return nil
}
