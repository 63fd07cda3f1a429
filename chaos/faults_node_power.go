package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// One node of a fleet has its data on a disk image, and its machine loses power: what it had
// not synced is gone, and it goes on with others that were away meanwhile.

var faultNodePower = &fault{"a node loses power", needsImage, 0, on(powerCuts.cutNode)}

// powerCuts are those of the node on the image.
type powerCuts struct{ *world }

// imageOne puts the directory of one node on a disk image, where that is possible.
func (w powerCuts) imageOne() error {
	images, err := imageDir(w.o)
	if err != nil {
		return err
	}
	disk, err := newVolume(w.o.dir, images)
	if missing := (*missingError)(nil); errors.As(err, &missing) {
		fmt.Fprintln(w.out, "LEFT OUT:", missing)
		return os.RemoveAll(images)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(images))
	}
	w.disk = disk
	w.imaged = int(uint64(w.o.seed) % uint64(len(w.nodes)))
	s := w.nodes[w.imaged]
	s.dir, s.boots = filepath.Join(disk.mount, "data"), 1
	return nil
}

// cutNode cuts the power of the node on the image. Another node stands still before that and
// a while after the node is back, or is killed at the same time and comes back later: what
// goes on then goes by what the image had.
func (w powerCuts) cutNode() error {
	s := w.nodes[w.imaged]
	other := w.nodes[(w.imaged+1+w.rnd.Intn(len(w.nodes)-1))%len(w.nodes)]
	cut := func() error { return w.disk.cut(s) }
	start := func() error {
		pause(context.Background(), w.between(0, time.Second))
		return s.launch()
	}
	switch w.rnd.Intn(3) {
	case 0:
		return errors.Join(cut(), start())
	case 1:
		if err := other.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		pause(context.Background(), w.between(0, 2*time.Second))
		err := errors.Join(cut(), start())
		pause(context.Background(), w.between(0, 3*time.Second))
		return errors.Join(err, other.cmd.Process.Signal(syscall.SIGCONT))
	}
	if err := errors.Join(cut(), other.kill(), start()); err != nil {
		return err
	}
	pause(context.Background(), w.between(0, 3*time.Second))
	return other.launch()
}
