package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// fullDisk fills the disk for a while. Sometimes the broker is killed meanwhile,
// and sometimes it is then started while there is still no space: it may refuse to
// start, but must be able to start once there is space.
func fullDisk(w *world) error {
	if err := w.disk.fill(int64(w.rnd.Intn(256 << 10))); err != nil {
		return err
	}
	pause(context.Background(), w.between(100*time.Millisecond, 1500*time.Millisecond))
	way := w.rnd.Intn(4)
	if way < 2 {
		return w.disk.free()
	}
	if err := w.s.kill(); err != nil {
		return err
	}
	if way == 2 {
		if err := w.disk.free(); err != nil {
			return err
		}
		return w.s.start()
	}
	if err := w.s.launch(); err != nil {
		return err
	}
	pause(context.Background(), w.between(100*time.Millisecond, 2*time.Second))
	if err := w.disk.free(); err != nil {
		return err
	}
	err := w.s.waitReady(startLimit)
	if err != nil {
		w.rec.violate("stuck", "after a start on a full disk: %v", err)
	}
	return err
}

// failSyncs makes some syncs of one broker fail, sometimes of all brokers. A broker
// whose sync failed must not acknowledge anything; with one such broker the others
// go on serving. Then the process is ended, also by a power cut, which loses what
// was not synced.
func failSyncs(w *world) error {
	broker, left := 1+w.rnd.Intn(brokers), 1+w.rnd.Intn(5)
	all := w.rnd.Intn(5) == 0
	harmed := broker
	if all {
		harmed = anyBroker
	}
	if err := w.spare(harmed); err != nil {
		return err
	}
	errno := []syscall.Errno{syscall.EIO, syscall.EIO, syscall.ENOSPC}[w.rnd.Intn(3)]
	mine := fmt.Sprintf("/broker-%d/", broker)
	w.s.intercept.Set(func(path string) (syscall.Errno, time.Duration) {
		switch {
		case !strings.HasPrefix(path, w.s.dir):
			return 0, 0
		case path == w.s.dir: // syncfs fails as long as the sync of one of its files would
			if left > 0 {
				return errno, 0
			}
			return 0, 0
		case left > 0 && (all || strings.Contains(path, mine)):
			left--
			return errno, 0
		}
		return 0, 0
	})
	pause(context.Background(), w.between(50*time.Millisecond, time.Second))
	if !all {
		if err := w.waitServing(fmt.Sprintf("failed syncs of broker %d", broker), time.Now()); err != nil {
			return err
		}
	}
	w.s.intercept.Set(nil)
	return w.restart(w.end)
}

// dyingDisk makes every sync fail and then cuts the power: nothing that was written
// in between is there afterwards, so none of it may have been acknowledged.
func dyingDisk(w *world) error {
	w.s.intercept.Set(func(path string) (syscall.Errno, time.Duration) {
		if strings.HasPrefix(path, w.s.dir) {
			return syscall.EIO, 0
		}
		return 0, 0
	})
	pause(context.Background(), w.between(50*time.Millisecond, 500*time.Millisecond))
	return w.restart(func() error {
		end := w.s.kill
		if w.disk != nil {
			end = func() error { return w.disk.cut(w.s) }
		}
		err := end()
		w.s.intercept.Set(nil)
		return err
	})
}

// slowSyncs makes all syncs of one broker slow.
func slowSyncs(w *world) error {
	mine := fmt.Sprintf("/broker-%d/", 1+w.rnd.Intn(brokers))
	long := w.between(20*time.Millisecond, time.Second)
	w.s.intercept.Set(func(path string) (syscall.Errno, time.Duration) {
		if path == w.s.dir || strings.Contains(path, mine) {
			return 0, long
		}
		return 0, 0
	})
	pause(context.Background(), w.between(100*time.Millisecond, 2*time.Second))
	w.s.intercept.Set(nil)
	return nil
}
