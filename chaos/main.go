package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

type options struct {
	binary    string
	dir       string
	kills     int
	producers int
	consumers int
	seed      int64
	power     bool
	minUp     time.Duration
	maxUp     time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/ottla", "the broker")
	flag.StringVar(&o.dir, "dir", "", "working directory (default: a temporary one)")
	flag.IntVar(&o.kills, "kills", 20, "how often the broker is killed")
	flag.BoolVar(&o.power, "power", false, "cut the power instead: the data is on an ext4 image of which only what was synced survives (needs root)")
	flag.IntVar(&o.producers, "producers", 8, "producers, each with an id")
	flag.IntVar(&o.consumers, "consumers", 3, "consumers, each a group of its own")
	flag.Int64Var(&o.seed, "seed", time.Now().UnixNano(), "of all random decisions")
	flag.DurationVar(&o.minUp, "min-up", 20*time.Millisecond, "shortest time between ready and kill")
	flag.DurationVar(&o.maxUp, "max-up", time.Second, "longest")
	flag.Parse()
	violations, err := run(&o, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
	if len(violations) > 0 {
		os.Exit(1)
	}
}

const (
	chaosTopic      = "chaos"
	chaosPartitions = 3
)

// run is the campaign: start, kill, start, ..., and the check at the end.
func run(o *options, out io.Writer) ([]violation, error) {
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "ottla-chaos-")
		if err != nil {
			return nil, err
		}
		o.dir = dir
	}
	fmt.Fprintf(out, "seed %d, working directory %s\n", o.seed, o.dir)
	rnd := rand.New(rand.NewSource(o.seed))
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 64
	s, err := newServer(o.binary, o.dir)
	if err != nil {
		return nil, err
	}
	end := s.kill
	if o.power {
		v, err := newVolume(o.dir)
		if err != nil {
			return nil, err
		}
		defer func() {
			_ = s.kill() // if it still runs, it holds the volume
			if err := v.detach(); err != nil {
				fmt.Fprintln(out, err)
			}
		}()
		s.dir = filepath.Join(v.mount, "data")
		s.boots = 1
		end = func() error { return v.cut(s) }
	}
	if _, err := s.start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	status, _ := call(ctx, http.MethodPost, s.url("/topic"), nil, fmt.Appendf(nil, `{"name":%q,"partitions":%d,"segment_bytes":262144}`, chaosTopic, chaosPartitions))
	if status != http.StatusCreated {
		return nil, fmt.Errorf("create topic: status %d", status)
	}
	rec := &recorder{}
	var wg sync.WaitGroup
	for n := range o.producers {
		wg.Go(func() { producer(ctx, s, rec, chaosTopic, n+1) })
	}
	for n := range o.consumers {
		wg.Go(func() { consumer(ctx, s, rec, chaosTopic, n+1) })
	}
	slowest, err := killLoop(o, s, end, rec, rnd, out)
	if err != nil {
		return nil, err
	}
	pause(ctx, 500*time.Millisecond) // a last stretch without a kill
	cancel()
	wg.Wait()
	return finish(s, rec, slowest, o, out)
}

func killLoop(o *options, s *server, end func() error, rec *recorder, rnd *rand.Rand, out io.Writer) (slowest time.Duration, err error) {
	for k := 1; k <= o.kills; k++ {
		pause(context.Background(), o.minUp+time.Duration(rnd.Int63n(int64(o.maxUp-o.minUp))))
		if err := end(); err != nil {
			return slowest, fmt.Errorf("kill %d: %w", k, err)
		}
		took, err := s.start()
		if err != nil {
			return slowest, fmt.Errorf("after kill %d: %w", k, err)
		}
		slowest = max(slowest, took)
		if k%10 == 0 || k == o.kills {
			fmt.Fprintf(out, "%d kills, %d records acknowledged, slowest start %s\n", k, rec.acked(), slowest.Round(time.Millisecond))
		}
	}
	return slowest, nil
}

// finish reads the log through the API and from every broker's files, and
// checks.
func finish(s *server, rec *recorder, slowest time.Duration, o *options, out io.Writer) ([]violation, error) {
	// What clients had under way when they were cut off ends with a clean stop.
	if err := s.stop(); err != nil {
		return nil, fmt.Errorf("clean stop: %w", err)
	}
	if _, err := s.start(); err != nil {
		return nil, fmt.Errorf("after a clean stop: %w", err)
	}
	final, err := s.readLog(chaosTopic, chaosPartitions)
	if err != nil {
		return nil, err
	}
	if err := s.stop(); err != nil {
		return nil, fmt.Errorf("clean stop: %w", err)
	}
	finals := [][]record{final}
	for b := 1; b <= 3; b++ {
		copyOfLog, err := s.readFiles(b, chaosTopic, chaosPartitions)
		if err != nil {
			return nil, err
		}
		finals = append(finals, copyOfLog)
	}
	violations := check(&rec.h, finals)
	for i, v := range violations {
		if i == 20 {
			fmt.Fprintf(out, "... and %d more\n", len(violations)-i)
			break
		}
		fmt.Fprintln(out, "VIOLATION", v)
	}
	fmt.Fprintf(out, "%s\n%d kills, %d records acknowledged, %d in the log, %d deliveries, %d offsets seen, slowest start %s: %d violations\n",
		strings.Repeat("-", 60), o.kills, rec.acked(), len(final), len(rec.h.deliveries), len(rec.h.committed), slowest.Round(time.Millisecond), len(violations))
	return violations, nil
}
