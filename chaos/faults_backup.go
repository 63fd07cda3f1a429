package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
)

// A topic of a fleet is copied into a directory, and into another cluster of the fleet, while
// nodes are killed and links are cut.

var (
	faultBackup  = &fault{"backup", 0, 0, on(copies.backUp)}
	faultRestore = &fault{"backup and restore", 0, 0, on(copies.restore)}
)

// copies are the faults while a topic is copied.
type copies struct{ *world }

// restoredPrefix begins the names of topics and groups that clients would have to tell from
// those of the other cluster.
const restoredPrefix = "old-"

// tool runs a command of the binary for all nodes.
func (w copies) tool(args ...string) error {
	var urls []string
	for _, s := range w.nodes {
		urls = append(urls, s.url(""))
	}
	return program(w.o.binary, append(args, "--server", strings.Join(urls, ","))...)
}

// duringHarm runs a command while a node is killed or links are cut.
func (w copies) duringHarm(args ...string) (failed, err error) {
	done := make(chan error, 1)
	go func() { done <- w.tool(args...) }()
	err = growth(w).harm()
	return <-done, err
}

func (w copies) backups() string { return filepath.Join(w.o.dir, "backup") }

// backUp makes a backup, of what is new since the one before. It waits for leaders.
func (w copies) backUp() error {
	failed, err := w.duringHarm("backup", "create", w.backups(), "--topic", mainTopic)
	if failed != nil {
		w.rec.violate("admin", "a backup failed: %v", failed)
	}
	return err
}

// restore restores a backup, and compares it with what was acknowledged before the
// backup began.
func (w copies) restore() error {
	before := w.rec.acknowledged(mainTopic)
	if err := w.backUp(); err != nil {
		return err
	}
	if err := program(w.o.binary, "backup", "verify", w.backups()); err != nil {
		w.rec.violate("damaged", "a backup: %v", err)
	}
	w.restored++ // each of a name of its own, as leaders are told apart by that
	cluster := fmt.Sprintf("again-%d", w.restored)
	again := []string{"restore", w.backups(), "--cluster", cluster, "--prefix", restoredPrefix}
	failed, err := w.duringHarm(again...)
	if err != nil {
		return err
	}
	if err := w.waitReady(startLimit); err != nil {
		return err
	}
	if failed != nil { // a new cluster is not made while a node is away; what was begun goes on
		if failed = w.tool(again...); failed != nil {
			w.rec.violate("admin", "a restore failed: %v", failed)
			return nil
		}
	}
	if err := w.waitReady(startLimit); err != nil {
		return err
	}
	w.compareRestored(before)
	if !until(func() bool {
		status, _ := w.nodes[w.rnd.Intn(len(w.nodes))].call(context.Background(), http.MethodDelete, "/cluster/"+cluster, nil, nil)
		return status == http.StatusNoContent || status == http.StatusNotFound
	}) {
		return fmt.Errorf("cluster %s cannot be deleted", cluster)
	}
	return nil
}

func (w copies) compareRestored(before []produced) {
	log, err := w.s.readLog(restoredPrefix + mainTopic)
	if err != nil {
		w.rec.violate("unreadable", "a restored topic: %v", err)
		return
	}
	at := map[place]string{}
	for _, r := range log.records {
		at[r.at] = r.value
	}
	for _, p := range before {
		if got, there := at[p.at]; got != p.value {
			w.rec.violate("lost", "%s was acknowledged at %v before a backup began, which has %q there (%t)", p.value, p.at, got, there)
			return
		}
	}
}

// acknowledged are the records of a topic that were acknowledged so far.
func (r *recorder) acknowledged(topic string) (list []produced) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.h.produced {
		if p.topic == topic && p.outcome == acked {
			list = append(list, p)
		}
	}
	return list
}
