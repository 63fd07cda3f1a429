package bench

import (
	"context"
	"fmt"

	"ottla/client"
)

// Result is the result of a bench.
type Result struct {
	Environment  Environment   `json:"environment"`
	Options      Options       `json:"options"`
	Measurements []Measurement `json:"measurements"`
}

// Run measures all workloads that o names, one after the other, Runs times.
// Within a run they share a broker, or use the one that o names.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	env, err := Describe(o)
	if err != nil {
		return nil, err
	}
	result := &Result{Environment: env, Options: o}
	for run := 1; run <= o.Runs; run++ {
		list, err := runOnce(ctx, &o)
		for i := range list {
			list[i].Run = run
		}
		result.Measurements = append(result.Measurements, list...)
		if err != nil {
			return result, err
		}
	}
	return result, nil
}

// runOnce goes through the workloads once.
func runOnce(ctx context.Context, o *Options) ([]Measurement, error) {
	t := targets{o: o, progress: &progress{out: o.Progress}}
	defer t.stop()
	var all []Measurement
	for _, name := range o.Workloads {
		w := find(name)
		connections := o.Connections
		if w.fixed > 0 {
			connections = []int{w.fixed}
		}
		for _, n := range connections {
			list, err := t.run(ctx, w, n)
			if err != nil {
				return all, fmt.Errorf("%s with %d connections: %w", name, n, err)
			}
			all = append(all, list...)
		}
	}
	return all, nil
}

// targets are the measured processes; each is started when it is first needed.
type targets struct {
	o            *Options
	progress     *progress
	echo, broker *process
	asks         *process // a broker that asks for tokens
	asksWith     *Options // how it was started
}

// run measures one workload.
func (t *targets) run(ctx context.Context, w *workload, connections int) ([]Measurement, error) {
	s := &session{Options: t.o, workload: w, connections: connections, progress: t.progress}
	defer t.progress.line("")
	if w.echo {
		if err := t.startEcho(); err != nil {
			return nil, err
		}
		s.targets, s.pids = t.echo.addrs(), t.echo.pids()
		return w.run(ctx, s)
	}
	if err := t.reach(ctx, s); err != nil {
		return nil, err
	}
	defer s.client.CloseIdleConnections()
	return w.run(ctx, s)
}

func (t *targets) startEcho() (err error) {
	if t.echo == nil {
		t.echo, err = startProcess(t.o.Binary, nil, "bench", "echo-server")
	}
	return err
}

// reach makes s use the broker.
func (t *targets) reach(ctx context.Context, s *session) (err error) {
	url := t.o.Server
	s.cluster, s.kafka = t.o.Cluster, t.o.KafkaServer
	if url == "" {
		p, err := t.own(ctx, s)
		if err != nil {
			return err
		}
		s.kafka = p.kafka
		url, s.targets, s.pids, s.cluster = p.url, p.addrs(), p.pids(), ownCluster
	}
	if s.client, err = client.New(url, client.WithToken(s.Token)); err != nil {
		return err
	}
	if t.o.Server == "" {
		return createOwnCluster(ctx, s.client, t.o)
	}
	target, err := address(url)
	s.targets = []string{target}
	return err
}

// own is the broker that the bench starts for s, when it is first needed.
func (t *targets) own(ctx context.Context, s *session) (p *process, err error) {
	broker := &t.broker
	if s.workload.tokens {
		if t.asksWith == nil {
			t.asksWith = guarded(t.o)
		}
		broker, s.Options = &t.asks, t.asksWith
	}
	if *broker == nil {
		t.progress.line("starting a broker ...")
		*broker, err = startBroker(ctx, s.Options)
	}
	return *broker, err
}

// createOwnCluster makes the cluster of a broker that the bench has started.
func createOwnCluster(ctx context.Context, c *client.Client, o *Options) error {
	_, err := c.CreateCluster(ctx, client.ClusterSpec{
		Name: ownCluster, NumBrokers: max(minBrokers, o.Replicas), ReplicationFactor: o.Replicas, Fsync: o.Fsync,
	})
	return err
}

const (
	ownCluster = "bench"
	minBrokers = 3 // even for a cluster whose topics have one replica
)

func (t *targets) stop() {
	for _, p := range []*process{t.echo, t.broker, t.asks} {
		if p != nil {
			p.stop()
		}
	}
}
