package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Directories of nodes of a fleet are restored from older copies or wiped. What one has lost
// comes back from the others; where too many were restored at once nothing is acknowledged
// that could be lost, until the right ones are back.
var (
	faultOldNode     = &fault{"a node's directory restored", 0, 0, on(directories.oldNode)}
	faultOldNodes    = &fault{"two nodes' directories restored at once", 0, 0, on(directories.oldNodes)}
	faultWipedNode   = &fault{"a node's directory wiped", 0, 0, on(directories.wipedNode)}
	faultWipedBroker = &fault{"a broker's directory of a node wiped", 0, 0, on(directories.wipedBroker)}
	faultSwappedNode = &fault{"the directories of two nodes exchanged", 0, 0, on(directories.swappedNodes)}
)

// directories are the faults of nodes whose directories are not what they were.
type directories struct{ *world }

// copied is where the older copy of a node's directory is.
func (s *server) copied() string { return s.dir + ".copy" }

// keepCopy copies the directory of a node that has ended, unless there is a copy.
func (s *server) keepCopy() error {
	if _, err := os.Stat(s.copied()); err == nil {
		return nil
	}
	return program("cp", "-a", s.dir, s.copied())
}

// endNode ends a node in order or not.
func (w directories) endNode(s *server) error {
	if w.rnd.Intn(2) == 0 {
		return s.stop()
	}
	return s.kill()
}

// oldNode copies a node's directory, and the next time replaces the directory with that copy.
// The others run meanwhile.
func (w directories) oldNode() error {
	s := w.nodes[w.rnd.Intn(len(w.nodes))]
	if err := w.endNode(s); err != nil {
		return err
	}
	if _, err := os.Stat(s.copied()); err != nil {
		return errors.Join(s.keepCopy(), s.launch())
	}
	if err := errors.Join(os.RemoveAll(s.dir), os.Rename(s.copied(), s.dir)); err != nil {
		return err
	}
	return errors.Join(s.launch(), w.rebuilt())
}

// oldNodes does so with two at once, which with three nodes is most of them: what they had
// acknowledged since may not be lost, so that nothing goes on before the right ones are back.
func (w directories) oldNodes() error {
	order := w.rnd.Perm(len(w.nodes))[:2]
	for _, i := range order {
		if err := w.endNode(w.nodes[i]); err != nil {
			return err
		}
	}
	restored := 0
	for _, i := range order {
		s := w.nodes[i]
		if _, err := os.Stat(s.copied()); err != nil {
			if err := s.keepCopy(); err != nil {
				return err
			}
			continue
		}
		restored++
		if err := errors.Join(os.Rename(s.dir, s.dir+".now"), os.Rename(s.copied(), s.dir)); err != nil {
			return err
		}
	}
	if err := w.launchAll(order); err != nil {
		return err
	}
	if restored == 0 {
		return nil
	}
	pause(context.Background(), w.between(500*time.Millisecond, 4*time.Second))
	if restored == 1 {
		// It may have been rebuilt, and have voted: it goes on with what it has.
		for _, i := range order {
			if err := os.RemoveAll(w.nodes[i].dir + ".now"); err != nil {
				return err
			}
		}
		return w.rebuilt()
	}
	for _, i := range order {
		s := w.nodes[i]
		if err := s.kill(); err != nil && !s.hasEnded() {
			return err
		}
		if err := errors.Join(os.RemoveAll(s.dir), os.Rename(s.dir+".now", s.dir)); err != nil {
			return err
		}
	}
	return errors.Join(w.launchAll(order), w.rebuilt())
}

func (w directories) launchAll(order []int) error {
	for _, i := range order {
		if err := w.nodes[i].launch(); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) hasEnded() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

// wipedNode starts a node with an empty directory, under its old name. It must be refused,
// with a sentence, and the others must not be harmed; with its directory it goes on.
func (w directories) wipedNode() error {
	s := w.nodes[w.rnd.Intn(len(w.nodes))]
	if err := errors.Join(w.endNode(s), os.Rename(s.dir, s.dir+".now")); err != nil {
		return err
	}
	if err := s.launch(); err != nil {
		return err
	}
	if err := w.refused(s, "wiped"); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(s.dir), os.Rename(s.dir+".now", s.dir), s.launch(), w.rebuilt())
}

// refused waits until a node that cannot belong to the fleet as it is has ended or says why it
// waits, and ends it.
func (w directories) refused(s *server, what string) error {
	said := ""
	for end := time.Now().Add(20 * time.Second); ; pause(context.Background(), 20*time.Millisecond) {
		status, body := s.get("/readyz")
		said = fmt.Sprintf("%d %.500s", status, body)
		if s.hasEnded() || status == http.StatusServiceUnavailable && strings.Contains(string(body), `"joining":"`) {
			break
		}
		if status == http.StatusOK || time.Now().After(end) {
			w.rec.violate("admin", "a %s node is not refused: %s", what, said)
			break
		}
	}
	pause(context.Background(), w.between(0, time.Second))
	if err := s.kill(); err != nil && !s.hasEnded() {
		return err
	}
	return nil
}

// wipedBroker removes the directory of a broker while its node is down.
func (w directories) wipedBroker() error {
	s := w.nodes[w.rnd.Intn(len(w.nodes))]
	if err := w.endNode(s); err != nil {
		return err
	}
	dirs, err := filepath.Glob(filepath.Join(s.clusterDir(), "broker-?"))
	if err != nil || len(dirs) == 0 {
		return errors.Join(err, s.launch())
	}
	return errors.Join(os.RemoveAll(dirs[w.rnd.Intn(len(dirs))]), s.launch(), w.rebuilt())
}

// swappedNodes starts two nodes with each other's directories, while the others run. They are
// not who their names say; when the directories are back all is as it was.
func (w directories) swappedNodes() error {
	order := w.rnd.Perm(len(w.nodes))[:2]
	a, b := w.nodes[order[0]], w.nodes[order[1]]
	exchange := func() error {
		return errors.Join(os.Rename(a.dir, a.dir+".now"), os.Rename(b.dir, a.dir), os.Rename(a.dir+".now", b.dir))
	}
	if err := errors.Join(w.endNode(a), w.endNode(b), exchange(), w.launchAll(order)); err != nil {
		return err
	}
	pause(context.Background(), w.between(500*time.Millisecond, 4*time.Second))
	for _, s := range []*server{a, b} {
		if err := s.kill(); err != nil && !s.hasEnded() {
			return err
		}
	}
	return errors.Join(exchange(), w.launchAll(order), w.rebuilt())
}

// anyBroker is harmed where some copies of each are.
const anyBroker = -1

// spare is called before copies of one broker, or of any, are lost. If those of another one may
// not be complete yet it waits until they are: else two of three would be gone.
func (w *world) spare(broker int) error {
	before := w.harmed
	w.harmed = broker
	if before == 0 || before == broker && broker != anyBroker {
		return nil
	}
	return directories{w}.rebuilt()
}

// rebuilt waits until all copies are in sync, so that the next directory that is lost is one
// of three.
func (w directories) rebuilt() error {
	if err := w.waitReady(startLimit); err != nil {
		w.rec.violate("stuck", "after a directory was restored or lost: %v", err)
		return err
	}
	last := ""
	for end := time.Now().Add(inSyncLimit); time.Now().Before(end); pause(context.Background(), 50*time.Millisecond) {
		if last = w.behind(); last == "" {
			return nil
		}
	}
	w.rec.violate("stuck", "not all replicas are in sync after %s: %s", inSyncLimit, last)
	return fmt.Errorf("not all replicas are in sync after %s: %s", inSyncLimit, last)
}

// behind says which partition is not in sync everywhere, of topics that are not deleted
// meanwhile.
func (w directories) behind() string {
	for _, topic := range []string{"__cluster_metadata", "__consumer_offsets", mainTopic, shortTopic, keyTopic, jobTopic, deadNone, deadKey} {
		status, body := w.s.get("/topic/" + topic)
		var info struct {
			Partitions []struct {
				InSync []int `json:"in_sync"`
			} `json:"partitions"`
		}
		if status != http.StatusOK || json.Unmarshal(body, &info) != nil || len(info.Partitions) == 0 {
			return fmt.Sprintf("%s: %d %.200s", topic, status, body)
		}
		for p, row := range info.Partitions {
			if len(row.InSync) != brokers {
				return fmt.Sprintf("%s-%d is in sync on %v only", topic, p, row.InSync)
			}
		}
	}
	if status, body := w.s.get("/readyz"); status != http.StatusOK || !strings.Contains(string(body), `"degraded":[]`) {
		return fmt.Sprintf("%d %.300s", status, body)
	}
	return ""
}
