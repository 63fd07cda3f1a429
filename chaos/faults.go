package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// fault is something that can go wrong. inject returns with the broker's process
// running; whether the broker serves again is checked afterwards.
type fault struct {
	name   string
	needs  need // without these the fault is left out
	uses   need // with these the fault is worse
	inject func(w *world) error
}

type need int

const (
	needsImage     need = 1 << iota // the data lies on a disk image
	needsIntercept                  // the broker's syncs can be intercepted
)

var (
	faultKill       = &fault{"kill -9", 0, 0, func(w *world) error { return w.restart(w.s.kill) }}
	faultStop       = &fault{"orderly stop", 0, 0, func(w *world) error { return w.restart(w.s.stop) }}
	faultPower      = &fault{"power cut", needsImage, 0, func(w *world) error { return w.restart(func() error { return w.disk.cut(w.s) }) }}
	faultPowerAgain = &fault{"power cuts while starting", needsImage, needsIntercept, on(wideFaults.powerWhileStarting)}
	faultKillAgain  = &fault{"kill -9 while starting", 0, needsIntercept, on(wideFaults.killWhileStarting)}
	faultPause      = &fault{"pause", 0, 0, pauseProcess}
	faultFull       = &fault{"full disk", needsImage, 0, fullDisk}
	faultSync       = &fault{"failed sync", needsIntercept, needsImage, failSyncs}
	faultDying      = &fault{"failing disk", needsIntercept, needsImage, dyingDisk}
	faultHang       = &fault{"slow sync", needsIntercept, 0, slowSyncs}
	faultFlip       = &fault{"damage while down", 0, needsImage, on(fileFaults.damageWhileDown)}
	faultLive       = &fault{"damage while running", 0, 0, on(func(w fileFaults) error { return w.damage(1 + w.rnd.Intn(2)) })}
	faultAll        = &fault{"damage in all copies", 0, needsImage, on(fileFaults.damageInAllCopies)}
	faultDelete     = &fault{"deleted directory", 0, needsImage, on(fileFaults.deletedDirectory)}
	faultSwap       = &fault{"swapped directories", 0, needsImage, on(fileFaults.swappedDirectories)}
	faultOld        = &fault{"outdated directory", 0, needsImage, on(fileFaults.outdatedDirectory)}
	faultAdmin      = &fault{"brokers stopped and started", 0, 0, stopBrokers}
	faultStorm      = &fault{"rebalance storm", 0, 0, rebalanceStorm}
)

// on makes a fault of a method of some part of the world.
func on[T ~struct{ *world }](inject func(T) error) func(*world) error {
	return func(w *world) error { return inject(T{w}) }
}

// restart ends the process in some way and starts it again.
func (w *world) restart(end func() error) error {
	if err := end(); err != nil {
		return err
	}
	err := w.startAll()
	if err != nil {
		w.rec.violate("stuck", "after a restart: %v", err)
	}
	return err
}

// end ends the process in one of the ways that are possible on this machine.
func (w *world) end() error {
	switch n := w.rnd.Intn(3); {
	case n == 0:
		return w.s.stop()
	case n == 1 && w.disk != nil:
		return w.disk.cut(w.s)
	}
	return w.s.kill()
}

// pauseProcess stops the process, mostly for less than session timeouts and polls
// last, sometimes for longer, and lets it go on.
func pauseProcess(w *world) error {
	span := w.between(10*time.Millisecond, 1500*time.Millisecond)
	if w.rnd.Intn(5) == 0 {
		span = w.between(1500*time.Millisecond, 5*time.Second)
	}
	if err := w.s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pause(context.Background(), span)
	return w.s.cmd.Process.Signal(syscall.SIGCONT)
}

// rebalanceStorm lets members leave, sleep and join all the time.
func rebalanceStorm(w *world) error {
	w.storm.Store(true)
	defer w.storm.Store(false)
	pause(context.Background(), w.between(time.Second, 3*time.Second))
	return nil
}

// stopBrokers stops some or all brokers by the API and starts them again, in
// random order.
func stopBrokers(w *world) error {
	order := w.rnd.Perm(brokers)[:1+w.rnd.Intn(brokers)]
	if w.rnd.Intn(2) == 0 {
		order = order[:1]
	}
	for _, b := range order {
		w.setBroker(b+1, "stop")
		pause(context.Background(), w.between(0, 300*time.Millisecond))
	}
	pause(context.Background(), w.between(0, time.Second))
	w.rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for _, b := range order {
		w.setBroker(b+1, "start")
		pause(context.Background(), w.between(0, 100*time.Millisecond))
	}
	return nil
}

func (w *world) setBroker(id int, action string) {
	path := fmt.Sprintf("/cluster/default/brokers/%d/%s", id, action)
	if status, a := w.s.call(context.Background(), "POST", path, nil, nil); status != 200 {
		w.rec.violate("admin", "POST %s: status %d %s (outcome %s)", path, status, a.Code, a.Outcome)
	}
}
