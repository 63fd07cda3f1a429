package main

import (
	"context"
	"syscall"
	"time"
)

// widePartitions is of how many partitions wideTopic is. A broker opens 64 logs at the same
// time, and when so many are being opened they are synced together, by a sync of the whole
// filesystem.
const widePartitions = 120

// wideStart is about as long as a start takes.
const wideStart = 400 * time.Millisecond

// wideFaults end a process while it opens many logs.
type wideFaults struct{ *world }

// powerWhileStarting cuts the power, and does so again while logs are being opened.
func (w wideFaults) powerWhileStarting() error {
	return w.endAgain(func() error { return w.disk.cut(w.s) })
}

// killWhileStarting is the same with kill -9, after which the kernel goes on.
func (w wideFaults) killWhileStarting() error { return w.endAgain(w.s.kill) }

// endAgain ends the process in this way, or by kill -9, starts it, and does so up to three more
// times before it is ready. In a third of the rounds some syncs of the whole filesystem fail
// at each start.
func (w wideFaults) endAgain(end func() error) error {
	failing := w.s.intercept != nil && w.rnd.Intn(3) == 0
	if failing {
		defer w.s.intercept.Set(nil)
	}
	again := func(how func() error) error {
		err := how()
		if failing {
			w.failWhole(1 + w.rnd.Intn(3))
		}
		return err
	}
	return w.restart(func() error {
		for range 1 + w.rnd.Intn(3) {
			how := end
			if w.rnd.Intn(3) == 0 {
				how = w.s.kill
			}
			if err := again(how); err != nil {
				return err
			}
			if err := w.s.launch(); err != nil {
				return err
			}
			pause(context.Background(), w.between(0, wideStart))
		}
		return again(end)
	})
}

// failWhole makes so many syncs of the whole filesystem fail from the next start on. The first call for the data
// directory is a sync of that itself, without which there is no start.
func (w wideFaults) failWhole(left int) {
	first := true
	w.s.intercept.Set(func(path string) (syscall.Errno, time.Duration) {
		switch {
		case path != w.s.dir || left == 0:
			return 0, 0
		case first:
			first = false
			return 0, 0
		}
		left--
		return syscall.EIO, 0
	})
}
