package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ottla/chaos/intercept"
)

// campaign is a list of faults, one of which is injected in each round. A fault
// that is listed twice is twice as likely.
type campaign struct {
	name   string
	faults []*fault
	fleet  bool // of several processes
	wide   bool // there is a topic with many partitions, too
	spares int  // nodes more than -nodes says

	prepare  func(*world) error // the nodes of a fleet, before they start; may be nil
	conclude func(*world) error // after the last round, while the clients run; may be nil
}

var campaigns = []campaign{
	{name: "kill", faults: []*fault{faultKill}},
	{name: "power", faults: []*fault{faultPower}},
	{name: "pause", faults: []*fault{faultPause}},
	{name: "full", faults: []*fault{faultFull}},
	{name: "sync", faults: []*fault{faultSync, faultSync, faultDying, faultHang}},
	{name: "damage", faults: []*fault{faultFlip, faultLive, faultAll, faultKill}},
	{name: "dirs", faults: []*fault{faultDelete, faultSwap, faultKill}},
	{name: "outdated", faults: []*fault{faultOld, faultOld, faultKill}},
	{name: "brokers", faults: []*fault{faultAdmin}},
	{name: "storm", faults: []*fault{faultStorm, faultAdmin, faultStop}},
	{name: "wide", wide: true, faults: []*fault{faultPowerAgain, faultPowerAgain, faultPowerAgain, faultKillAgain, faultPower, faultDying}},
	{name: "brief", faults: []*fault{faultKill, faultStop, faultPower, faultPause, faultSync, faultHang, faultDelete, faultSwap, faultAdmin, faultStorm}},
	{name: "mix", faults: []*fault{
		faultKill, faultKill, faultStop, faultPower, faultPower, faultPause, faultPause, faultFull, faultSync, faultDying, faultHang,
		faultFlip, faultLive, faultDelete, faultSwap, faultAdmin, faultAdmin, faultStorm,
	}},
	{name: "nodes", fleet: true, prepare: on(powerCuts.imageOne), faults: []*fault{faultNodeKill, faultNodeKill, faultNodePause, faultNodePause, faultNodePower, faultNodePower, faultMostKilled, faultAllKilled}},
	{name: "split", fleet: true, faults: []*fault{faultOneWay, faultPair, faultAlone, faultHalves, faultBridge, faultRing, faultFlap, faultDelay, faultReset}},
	{name: "roll", fleet: true, faults: []*fault{faultRoll}},
	{name: "disk1", fleet: true, prepare: on(nodeFaults.interceptAll), faults: []*fault{faultDiskHangs, faultDiskHangs, faultDiskSlow, faultDiskFails, faultDiskFails}},
	{name: "clock", fleet: true, prepare: on(nodeFaults.simulateClocks), faults: []*fault{faultClockSet, faultClockSet, faultClockStart, faultClockJumps, faultClockKill}},
	{name: "old", fleet: true, faults: []*fault{faultOldNode, faultOldNode, faultOldNodes, faultWipedNode, faultWipedBroker, faultSwappedNode}},
	{name: "backup", fleet: true, faults: []*fault{faultBackup, faultRestore}},
	{name: "netns", fleet: true, prepare: on(cables.part), faults: []*fault{faultRouteOneWay, faultRoutePair, faultRouteAlone, faultCable, faultNodeKill}},
	{name: "mixed", fleet: true, prepare: on(mixture.startMixed), conclude: on(mixture.finalize), faults: []*fault{faultVersionChanged, faultVersionChanged, faultVersionKilled, faultVersionsRolled, faultNodeKill, faultNodePause, faultPair}},
	{name: "grow", fleet: true, spares: spares, prepare: on(growth.joinLater), conclude: on(growth.finishGrown), faults: []*fault{faultLeave, faultLeave, faultStay, faultReplaced, faultRebalance, faultResized, faultNodeKill}},
	{name: "found", fleet: true, faults: []*fault{faultFound}},
}

func listCampaigns(out io.Writer) {
	for _, c := range campaigns {
		var names []string
		for _, f := range c.faults {
			if !strings.Contains(strings.Join(names, ", "), f.name) {
				names = append(names, f.name)
			}
		}
		fmt.Fprintf(out, "%-9s %s\n", c.name, strings.Join(names, ", "))
	}
}

func findCampaign(name string) (*campaign, error) {
	for i := range campaigns {
		if campaigns[i].name == name {
			return &campaigns[i], nil
		}
	}
	return nil, fmt.Errorf("no campaign %q, see -list", name)
}

// runCampaign sets up, injects faults round by round, and checks. It returns an
// error when the campaign itself failed or the broker did not come back;
// violations are in the result.
func runCampaign(o *options, out io.Writer) (*result, error) {
	c, err := findCampaign(o.campaign)
	if err == nil && c.fleet && o.kafka && !slices.Contains(kafkaOnFleets, c.name) {
		err = fmt.Errorf("-kafka is, of campaigns on a fleet, for %s only", strings.Join(kafkaOnFleets, ", "))
	}
	if err == nil && c.fleet && (o.nodes < brokers || o.nodes > maxNodes) {
		err = fmt.Errorf("-nodes %d must be from %d to %d", o.nodes, brokers, maxNodes)
	}
	if err != nil {
		return nil, err
	}
	temporary := o.dir == ""
	for _, path := range []*string{&o.binary, &o.before, &o.dir} { // servers run elsewhere
		if *path != "" {
			if *path, err = filepath.Abs(*path); err != nil {
				return nil, err
			}
		}
	}
	if temporary {
		if o.dir, err = os.MkdirTemp("", "ottla-chaos-"); err != nil {
			return nil, err
		}
	}
	transport := http.DefaultTransport.(*http.Transport)
	transport.MaxIdleConnsPerHost, transport.DialContext = 64, dial
	w := &world{
		o: o, out: out, rnd: rand.New(rand.NewSource(o.seed)), rec: newRecorder(), queues: newQueues(),
		victim: 1 + int(uint64(o.seed)%brokers), injected: map[string]int{}, wide: c.wide,
	}
	fmt.Fprintf(out, "campaign %s, seed %d, working directory %s\nrepeat with: %s\n", o.campaign, o.seed, o.dir, o.again())
	run := w.campaign
	if c.faults[0] == faultFound {
		run = foundings{w}.run
	}
	res, err := run(c)
	bad := err != nil || len(res.Violations) > 0
	if err != nil { // without an error the result has printed them
		for _, v := range w.rec.h.violations {
			fmt.Fprintln(out, "VIOLATION", v)
		}
	}
	if w.spaces != nil {
		w.spaces.remove()
	}
	if w.disk != nil {
		err = errors.Join(err, w.disk.detach(bad))
		if bad {
			fmt.Fprintln(out, "the disk is kept:", w.disk.image())
		}
	}
	if temporary && !bad {
		err = errors.Join(err, os.RemoveAll(o.dir))
	}
	return res, err
}

// again returns the command that repeats the campaign's decisions. The instants
// at which they take effect are never the same.
func (o *options) again() string {
	return fmt.Sprintf("go run ./chaos -binary %s -before=%s -campaign %s -rounds %d -seed %d -producers %d -nodes %d -min-up %s -max-up %s -kafka=%t",
		o.binary, o.before, o.campaign, o.rounds, o.seed, o.producers, o.nodes, o.minUp, o.maxUp, o.kafka)
}

// campaign sets up, injects faults and checks. Nothing of it runs on afterwards.
func (w *world) campaign(c *campaign) (*result, error) {
	faults, err := w.setUp(c)
	if err != nil {
		return nil, err
	}
	defer w.endAll()
	if err := w.startAll(); err != nil {
		return nil, err
	}
	if err := w.createTopics(); err != nil {
		return nil, err
	}
	if err := w.createQueues(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	w.clients(ctx, &wg)
	rounds, err := w.rounds(faults)
	if err == nil && c.conclude != nil {
		err = c.conclude(w)
	}
	if err == nil {
		pause(ctx, 500*time.Millisecond) // without a fault
	}
	cancel()
	wg.Wait()
	if err != nil {
		return nil, fmt.Errorf("round %d: %w", rounds, err)
	}
	return verdict{w}.finish(rounds)
}

// setUp prepares disk and server, and returns the faults that are possible on this
// machine. If none is, that is an error.
func (w *world) setUp(c *campaign) ([]*fault, error) {
	var all need
	for _, f := range c.faults {
		all |= f.needs | f.uses
	}
	if c.fleet {
		err := w.newFleet(w.o.nodes + c.spares)
		if err == nil && c.prepare != nil {
			err = c.prepare(w)
		}
		possible := slices.DeleteFunc(slices.Clone(c.faults), func(f *fault) bool { return f.needs&needsImage != 0 && w.disk == nil })
		return possible, err
	}
	var err error
	if w.s, err = newServer(w.o.binary, w.o.dir); err != nil {
		return nil, err
	}
	w.nodes = []*server{w.s}
	if w.o.kafka {
		if w.kafka, err = freeInARow(brokers); err != nil {
			return nil, err
		}
		w.s.args = append(w.s.args, "--kafka", w.kafka[0])
	}
	var missing error
	if all&needsIntercept != 0 {
		if err := intercept.Available(); err != nil {
			missing = &missingError{"making syncs fail needs seccomp: " + err.Error()}
			all &^= needsIntercept
		} else {
			w.s.intercept = &intercept.Interceptor{}
		}
	}
	if all&needsImage != 0 {
		if err := w.mount(); err != nil {
			missing = err
			all &^= needsImage
		}
	}
	var possible []*fault
	for _, f := range c.faults {
		if f.needs&^all == 0 {
			possible = append(possible, f)
		}
	}
	if len(possible) == 0 {
		return nil, missing
	}
	if missing != nil {
		fmt.Fprintln(w.out, "LEFT OUT:", missing)
	}
	return possible, nil
}

// mount puts the data directory on a disk image.
func (w *world) mount() error {
	images, err := imageDir(w.o)
	if err != nil {
		return err
	}
	if w.disk, err = newVolume(w.o.dir, images); err != nil {
		return errors.Join(err, os.RemoveAll(images))
	}
	w.s.dir = filepath.Join(w.disk.mount, "data")
	w.s.boots = 1
	return nil
}

// rounds injects faults until all rounds are done, the time is over or the program
// is interrupted, and returns how many rounds were done.
func (w *world) rounds(faults []*fault) (int, error) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	began := time.Now()
	for n := 1; n <= w.o.rounds; n++ {
		pause(ctx, w.between(w.o.minUp, w.o.maxUp))
		if ctx.Err() != nil || w.o.within > 0 && time.Since(began) > w.o.within {
			return n - 1, nil
		}
		f := faults[w.rnd.Intn(len(faults))]
		w.injected[f.name]++
		fmt.Fprintf(w.s.log, "chaos: round %d: %s\n", n, f.name)
		injected := time.Now()
		if err := f.inject(w); err != nil {
			return n, fmt.Errorf("%s: %w", f.name, err)
		}
		if err := w.waitServing(fmt.Sprintf("round %d, %s", n, f.name), injected); err != nil {
			return n, err
		}
		if n%10 == 0 || n == w.o.rounds {
			fmt.Fprintf(w.out, "%d rounds, %d records acknowledged, slowest recovery %s\n", n, w.rec.acks.Load(), w.slowest.Round(time.Millisecond))
		}
	}
	return w.o.rounds, nil
}
