// Command peers measures Ottla and its peers side by side: one machine, one
// load generator, one payload, in turn, so that each sees the same conditions.
//
//	echo             bare fasthttp: what HTTP alone costs
//	ottla            single events, batches, the Go client, fetches; 3 replicas and 1
//	kafka            Kafka's protocol, Ottla and Kafka itself: batches and fetches, raw and by franz-go
//	Durable Streams  single events, batches, fetches and subscribers over HTTP; one copy, synced or in memory
//	Ursula           the same protocol; 3 nodes, synced and not
//	etcd             single events and transactions over its JSON gateway, 3 members
//	webdis + Redis   single events over HTTP by XADD, appendfsync always and everysec; XREADGROUP on Redis
//	NATS JetStream   single events, asynchronous publishes, atomic and fast batches, an ordered consumer,
//	                 consumers that pull one message and confirm its acknowledgement;
//	                 file storage, 3 replicas and 1
//
// It is a separate module, so that the peers' code is no dependency of Ottla.
// Redis, webdis and etcd come from the system's packages, Durable Streams and Ursula
// from crates; the output says which of them are not installed and therefore left out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"ottla/bench"
)

// errMissing marks peers that are not installed.
var errMissing = errors.New("not installed")

// suite has what all measurements of a round share.
type suite struct {
	o      bench.Options
	result bench.Result
	run    int
	only   string

	kafkaJars string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == natsCommand {
		exit(serveNATS(os.Args[2:]))
	}
	s := &suite{o: bench.DefaultOptions()}
	out := flag.String("out", "", "write `NAME`.json and NAME.svg")
	flag.StringVar(&s.o.Binary, "ottla", "bin/ottla", "`FILE` of the broker")
	flag.StringVar(&s.o.DataDir, "data-dir", "", "`DIR` below which all data is kept for the time")
	flag.StringVar(&s.only, "only", "", "comma-separated list of ottla, kafka, durable, ursula, etcd, redis, nats, nats-3, nats-1 (default: all)")
	flag.StringVar(&s.kafkaJars, "kafka-jars", "bin/kafka-java", "`DIR` with the jars of Kafka")
	flag.DurationVar(&s.o.Duration, "duration", s.o.Duration, "how long to measure each")
	flag.DurationVar(&s.o.Warmup, "warmup", s.o.Warmup, "how long to run before that")
	flag.IntVar(&s.o.Runs, "runs", 3, "rounds; medians are shown")
	flag.Parse()
	if text, err := exec.Command(s.o.Binary, "version").Output(); err == nil {
		s.o.Version = strings.TrimPrefix(strings.TrimSpace(string(text)), "ottla ")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	exit(s.all(ctx, *out))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// all runs every round and prints the results, also after a failure.
func (s *suite) all(ctx context.Context, out string) error {
	var err error
	if s.result.Environment, err = bench.Describe(s.o); err != nil {
		return err
	}
	for s.run = 1; s.run <= s.o.Runs && err == nil; s.run++ {
		err = s.round(ctx)
	}
	s.result.Options = s.o
	if len(s.result.Measurements) == 0 {
		return err
	}
	err = errors.Join(err, s.result.WriteTable(os.Stdout))
	if out == "" {
		return err
	}
	base := strings.TrimSuffix(out, ".json")
	return errors.Join(err, save(base+".json", s.result.WriteJSON), save(base+".svg", s.result.WriteSVG))
}

func save(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func (s *suite) round(ctx context.Context) error {
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"ottla", s.ottla}, {"kafka", s.kafka}, {"durable", s.durable}, {"ursula", s.ursula}, {"etcd", s.etcd}, {"redis", s.redis}, {"nats-3", s.nats(3)}, {"nats-1", s.nats(1)}} {
		if s.only != "" && !slices.ContainsFunc(strings.Split(s.only, ","), func(name string) bool {
			return strings.HasPrefix(part.name, name)
		}) {
			continue
		}
		err := part.run(ctx)
		if errors.Is(err, errMissing) {
			fmt.Fprintf(os.Stderr, "peers: left out: %v\n", err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// add adds a measurement of this round.
func (s *suite) add(m bench.Measurement) {
	m.Run = s.run
	s.result.Measurements = append(s.result.Measurements, m)
}

// ottlaLoads are what is measured of Ottla, and of the echo server, the upper bound of any
// HTTP server.
var ottlaLoads = []struct {
	what        string // further words of the name
	workloads   []string
	connections []int
	replicas    int
	set         func(*bench.Options)
}{
	{"", []string{"echo"}, []int{64, 256}, 3, nil},
	{"R3", []string{"produce-single"}, []int{64, 256}, 3, nil},
	{"R1", []string{"produce-single"}, []int{64, 256}, 1, nil},
	{"R1, interval", []string{"produce-single"}, []int{64}, 1, func(o *bench.Options) { o.Fsync = "interval" }},
	{"R3, 16 partitions", []string{"produce-single"}, []int{256}, 3, func(o *bench.Options) { o.Partitions = 16 }},
	{"R3, 20,000/s", []string{"produce-single"}, []int{256}, 3, func(o *bench.Options) { o.Rate = 20_000 }},
	{"R3", []string{"produce-batch", "produce-async", "fetch"}, []int{16}, 3, nil},
	{"R1", []string{"produce-batch", "produce-async", "fetch"}, []int{16}, 1, nil},
	{"R3", []string{"poll", "commit", "poll-commit"}, []int{64}, 3, nil},
	{"R3", []string{"fanout", "fanout-groups"}, []int{fanoutSubscribers}, 3, nil},
}

// ottla measures Ottla and the echo server.
func (s *suite) ottla(ctx context.Context) error {
	for _, load := range ottlaLoads {
		o := s.o
		o.Runs, o.Replicas, o.Workloads, o.Connections = 1, load.replicas, load.workloads, load.connections
		if load.set != nil {
			load.set(&o)
		}
		r, err := bench.Run(ctx, o)
		if err != nil {
			return err
		}
		for _, m := range r.Measurements {
			if load.what != "" {
				m.Name = fmt.Sprintf("ottla %s %s", m.Name, load.what)
			}
			s.add(m)
		}
	}
	return nil
}

// payloads are values of single events, about as large as those of the bench.
var payloads = func() (list [1000][]byte) {
	for i := range list {
		list[i] = fmt.Appendf(nil, `{"post":%d,"text":"the quick brown fox jumps over the lazy dog and the quick brown fox"}`, 1000+i)
	}
	return list
}()

// payload is one of payloads; it must not be changed.
func payload(i int) []byte { return payloads[i%len(payloads)] }
