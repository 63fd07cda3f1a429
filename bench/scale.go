package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"ottla/client"
)

// ScaleOptions say how large the cases of Scale are.
type ScaleOptions struct {
	Polls          int   `json:"polls"`           // parked at the same time
	PollTopics     int   `json:"poll_topics"`     // that they wait for; 0: one for each 1,000
	IdlePartitions int   `json:"idle_partitions"` // with o.Replicas replicas each
	StartBytes     int64 `json:"start_bytes"`     // of log files, all replicas together
	AgeBytes       int64 `json:"age_bytes"`       // likewise
	Stops          int   `json:"stops"`           // of a leader's broker

	StartPartitions int `json:"start_partitions"` // of a broker that is killed and started, with o.Replicas replicas each

	// CPU time at rest is measured over Window, starting Settle after the last
	// request.
	Settle time.Duration `json:"settle_ns"`
	Window time.Duration `json:"window_ns"`
}

// DefaultScaleOptions are those of `ottla bench scale`.
func DefaultScaleOptions() ScaleOptions {
	return ScaleOptions{
		Polls: 10_000, IdlePartitions: 300, StartBytes: 5 << 30, AgeBytes: 10 << 30, Stops: 50,
		StartPartitions: 3334,
		Settle:          10 * time.Second, Window: 20 * time.Second,
	}
}

// Validate returns an error that names the first invalid option or case.
func (so *ScaleOptions) Validate(o *Options, cases []string) error {
	for _, name := range cases {
		if findScale(name) == nil {
			return fmt.Errorf("unknown case %q: there are %s", name, strings.Join(ScaleNames(), ", "))
		}
	}
	switch {
	case so.Polls < 1 || so.PollTopics < 0 || so.PollTopics > so.Polls || so.IdlePartitions < 1 || so.StartBytes < 1 || so.AgeBytes < 1 || so.Stops < 1 || so.StartPartitions < 1:
		return errors.New("polls, partitions, bytes and stops must be positive")
	case so.Settle < 0 || so.Window < 100*time.Millisecond:
		return errors.New("a window below 100ms says nothing, and nobody can settle for less than nothing")
	case o.Server != "":
		return errors.New("the cases of scale start their brokers themselves")
	}
	return o.Validate()
}

// scaleCase measures a cost that should stay the same while something else
// grows.
type scaleCase struct {
	name, about string
	run         func(*scaleRun, context.Context) error
}

var scaleCases = []scaleCase{
	{"ack", "one connection: time to the ack, against one fdatasync", (*scaleRun).ack},
	{"partitions", "single keyed events over 16 partitions, against one", (*scaleRun).partitions},
	{"failover", "the leader's broker is stopped under load: the longest time without an ack", (*scaleRun).failover},
	{"idle", "many partitions without traffic: CPU and memory", (*scaleRun).idle},
	{"polls", "many parked reads and polls: CPU, memory, waking 1,000 by one event", (*scaleRun).polls},
	{"start", "time to get ready with a large log, after a stop and after kill -9", (*scaleRun).start},
	{"start-many", "time to get ready with many replicas, after kill -9", startMany},
	{"age", "rate of writing to a large log, against an empty one", (*scaleRun).age},
}

// ScaleNames are the names of all cases.
func ScaleNames() []string {
	names := make([]string, len(scaleCases))
	for i := range scaleCases {
		names[i] = scaleCases[i].name
	}
	return names
}

// ScaleAbout says what a case does.
func ScaleAbout(name string) string {
	for i := range scaleCases {
		if scaleCases[i].name == name {
			return scaleCases[i].about
		}
	}
	return ""
}

// Scale runs cases, o.Runs times where a case has one figure per run. Each case
// starts its own brokers. After an error the result has the figures so far.
func Scale(ctx context.Context, o Options, so ScaleOptions, names []string) (*ScaleResult, error) {
	o.Workloads = []string{"produce-single"}
	if err := so.Validate(&o, names); err != nil {
		return nil, err
	}
	env, err := Describe(o)
	if err != nil {
		return nil, err
	}
	result := &ScaleResult{Environment: env, Options: o, Scale: so}
	for _, name := range names {
		s := &scaleRun{Options: o, so: so, name: name, result: result, show: &progress{out: o.Progress}}
		err := findScale(name).run(s, ctx)
		s.show.line("")
		if err != nil {
			return result, fmt.Errorf("%s: %w", name, err)
		}
	}
	return result, nil
}

func findScale(name string) *scaleCase {
	for i := range scaleCases {
		if scaleCases[i].name == name {
			return &scaleCases[i]
		}
	}
	return nil
}

// scaleRun is a case that is running.
type scaleRun struct {
	Options // a copy: a case may change it
	so      ScaleOptions
	name    string
	result  *ScaleResult
	show    *progress
}

// note shows on the terminal what the case does.
func (s *scaleRun) note(format string, args ...any) {
	s.show.line(s.name + ": " + fmt.Sprintf(format, args...))
}

// measured measures one workload on t.
func (s *scaleRun) measured(ctx context.Context, t *targets, workload string, connections int) (*Measurement, error) {
	list, err := t.run(ctx, find(workload), connections)
	if err != nil {
		return nil, err
	}
	if m := &list[0]; m.Errors > 0 {
		return nil, fmt.Errorf("%d errors, the first: %s", m.Errors, m.FirstError)
	}
	return &list[0], nil
}

// broker starts a broker with the cluster of the bench, and a session with it.
func (s *scaleRun) broker(ctx context.Context) (*session, *process, error) {
	s.note("starting a broker ...")
	p, err := startBroker(ctx, &s.Options)
	if err != nil {
		return nil, nil, err
	}
	ses, err := s.sessionWith(p)
	if err == nil {
		err = createOwnCluster(ctx, ses.client, &s.Options)
	}
	if err != nil {
		p.stop()
		return nil, nil, err
	}
	return ses, p, nil
}

// sessionWith is a session with a broker that has the cluster already.
func (s *scaleRun) sessionWith(p *process) (*session, error) {
	c, err := client.New(p.url)
	if err != nil {
		return nil, err
	}
	return &session{
		Options: &s.Options, workload: &workload{name: s.name}, client: c, targets: p.addrs(), cluster: ownCluster,
		pids: []int{p.cmd.Process.Pid}, progress: s.show,
	}, nil
}

// cpuOver is the CPU time that a process uses without requests, in percent of a
// core, and its memory at the end, in MB.
func cpuOver(ctx context.Context, pid int, d time.Duration) (percent, mb float64, err error) {
	before, start := usageOf(pid), time.Now()
	if !waitUntil(ctx, start.Add(d)) {
		return 0, 0, context.Cause(ctx)
	}
	after := usageOf(pid)
	return 100 * (after.cpu - before.cpu).Seconds() / time.Since(start).Seconds(), float64(after.rss) / 1e6, nil
}

// probeDir is the directory of the broker's data.
func (s *scaleRun) probeDir() string {
	if s.DataDir != "" {
		return s.DataDir
	}
	return os.TempDir()
}
