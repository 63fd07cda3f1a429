package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ottla/bench"
)

// benchFlags are the flags of `ottla bench` and its subcommands.
type benchFlags struct {
	p      *process
	o      bench.Options
	output string
	out    string
	min    float64
	binary string

	tokenFile string
}

func newBench(p *process) *cobra.Command {
	f := &benchFlags{p: p, o: bench.DefaultOptions()}
	cmd := &cobra.Command{
		Use:   "bench [WORKLOAD ...]",
		Short: "Measure a broker over HTTP",
		Long: "Measure a broker over HTTP: rates, latencies, and both over time. Without --server it\n" +
			"starts a broker of its own on a fresh data directory, so one command repeats a run.\n\n" +
			"Workloads (all of them without an argument):\n" + listed(bench.Names(), bench.About) +
			"\nClosed loop: the next request is sent when the last is answered. With --rate requests\n" +
			"are sent when they are due, and latency counts from then.",
		Example: "  ottla bench echo produce-single --connections 64,256 --runs 5 --out result.json\n" +
			"  ottla bench produce-single --rate 20000 --fsync interval\n" +
			"  ottla bench fetch --server http://127.0.0.1:8080",
		ValidArgs: bench.Names(),
		RunE: func(_ *cobra.Command, args []string) error {
			f.o.Workloads = args
			if len(args) == 0 {
				f.o.Workloads = bench.Names()
			}
			return f.run(f.measure)
		},
	}
	f.addFlags(cmd)
	cmd.AddCommand(f.newRatio(), f.newCompare(), f.newScale(), f.newEchoServer())
	return cmd
}

// listed is the part of a help text that describes each name.
func listed(names []string, about func(name string) string) string {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "  %-16s %s\n", name, about(name))
	}
	return b.String()
}

func (f *benchFlags) addFlags(cmd *cobra.Command) {
	o, flags := &f.o, cmd.PersistentFlags()
	flags.StringVar(&o.Server, "server", "", "`URL` of a running broker (default: start one)")
	flags.StringVar(&f.tokenFile, "token-file", "", "`FILE` with the token to show to --server, - for standard input (default: OTTLA_TOKEN)")
	flags.StringVar(&o.KafkaServer, "kafka-server", "", "`HOST:PORT` of --server for Kafka clients, of the workloads kafka-...")
	flags.StringVar(&o.Cluster, "cluster", "", "`NAME` of the cluster to use on --server")
	flags.IntSliceVar(&o.Connections, "connections", o.Connections, "connections, one `N` or several to run with each")
	flags.Float64Var(&o.Rate, "rate", 0, "requests per second of an open loop (default: closed loop)")
	flags.DurationVar(&o.Duration, "duration", o.Duration, "how long to measure")
	flags.DurationVar(&o.Warmup, "warmup", o.Warmup, "how long to run before that")
	flags.IntVar(&o.Runs, "runs", o.Runs, "how often; medians are shown")
	flags.IntVar(&o.Payload, "payload", o.Payload, "`bytes` of the body of a single produce")
	flags.IntVar(&o.BatchSize, "batch", o.BatchSize, "`records` of a batch and of a fetch")
	flags.IntVar(&o.RecordBytes, "record-bytes", o.RecordBytes, "`bytes` of the value of a record of a batch")
	flags.BoolVar(&o.Keyed, "keyed", o.Keyed, "give records keys, 1,024 different ones")
	flags.StringVar(&o.Compression, "compression", o.Compression, "of produce-async: none, gzip or zstd")
	flags.IntVar(&o.Partitions, "partitions", o.Partitions, "partitions of the topics")
	flags.IntVar(&o.Replicas, "replicas", o.Replicas, "replicas of the topics")
	flags.StringVar(&o.Fsync, "fsync", o.Fsync, "of the broker that is started: always or interval")
	flags.IntVar(&o.Nodes, "nodes", o.Nodes, "nodes of the broker that is started; connections are spread over them")
	flags.StringVar(&o.DataDir, "data-dir", "", "`DIR` below which the broker that is started keeps its data for the time")
	flags.StringVar(&f.binary, "binary", "", "`FILE` of the broker to start (default: this one)")
	flags.StringVar(&f.output, "output", "table", "what to print: table or json")
	flags.StringVar(&f.out, "out", "", "also write `FILE`.json and a picture beside it, .svg")
}

// newRatio is `ottla bench ratio`, which checks that a build is not slower.
func (f *benchFlags) newRatio() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ratio [WORKLOAD]",
		Short: "Compare a workload's rate with that of a bare echo server",
		Long: "Measure echo and a workload (default produce-single) in turn and print the ratio of\n" +
			"their rates, which depends much less on the machine than a rate does. Fails if the median\n" +
			"is below --min.",
		Example: "  ottla bench ratio produce-single --min 0.30 --connections 256",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name := "produce-single"
			if len(args) == 1 {
				name = args[0]
			}
			f.o.Workloads = []string{name}
			if err := f.check(); err != nil {
				return err
			}
			return f.run(func(ctx context.Context) error {
				ratio, err := bench.Ratio(ctx, f.o, name, f.p.stdout)
				if err == nil && ratio < f.min {
					err = fmt.Errorf("the ratio %.3f is below %.2f", ratio, f.min)
				}
				return err
			})
		},
	}
	cmd.Flags().Float64Var(&f.min, "min", 0, "lowest ratio that is good enough")
	return cmd
}

func (f *benchFlags) newCompare() *cobra.Command {
	var base string
	cmd := &cobra.Command{
		Use:   "compare --base FILE [WORKLOAD ...]",
		Short: "Compare two builds of the broker",
		Long: "Run workloads (default produce-single) against two builds in turn, --runs times each,\n" +
			"and print medians, their ratio, and the p value of the Mann-Whitney test.",
		Example:   "  ottla bench compare --base old/ottla produce-single --runs 5",
		ValidArgs: bench.Names(),
		RunE: func(_ *cobra.Command, args []string) error {
			if base == "" {
				return usageError{errors.New("compare needs --base, the binary to compare with")}
			}
			if f.o.Workloads = args; len(args) == 0 {
				f.o.Workloads = []string{"produce-single"}
			}
			if err := f.check(); err != nil {
				return err
			}
			return f.run(func(ctx context.Context) error {
				return bench.Compare(ctx, f.o, base, f.o.Binary, f.p.stdout)
			})
		},
	}
	cmd.Flags().StringVar(&base, "base", "", "`FILE` of the build to compare with")
	return cmd
}

// newEchoServer is a hidden command that the bench starts as a child process.
func (f *benchFlags) newEchoServer() *cobra.Command {
	return &cobra.Command{
		Use:    "echo-server",
		Hidden: true,
		Args:   noArgs,
		RunE: func(*cobra.Command, []string) error {
			ctx, stop := f.context()
			defer stop()
			return bench.ServeEcho(ctx, "127.0.0.1:0", f.p.stdout)
		},
	}
}

// context ends with the first signal.
func (f *benchFlags) context() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	done := f.p.heeds()
	go func() {
		select {
		case sig := <-f.p.signals:
			cancel(fmt.Errorf("stopped by %s", sig))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil); done() }
}

// run completes the options and runs do, whose context ends with the first signal.
func (f *benchFlags) run(do func(context.Context) error) error {
	o := &f.o
	o.Version, o.Binary = buildVersion(), f.binary
	if o.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this binary, to start it: %w", err)
		}
		o.Binary = self
	}
	if f.output != "table" && f.output != "json" {
		return usageError{errors.New("--output must be table or json")}
	}
	if f.p.fancy() {
		o.Progress = f.p.stderr
	}
	ctx, stop := f.context()
	defer stop()
	return do(ctx)
}

// check returns invalid options as wrong usage.
func (f *benchFlags) check() error {
	if err := f.o.Validate(); err != nil {
		return usageError{err}
	}
	if f.o.Server == "" {
		return nil // the broker that is started asks for none
	}
	var err error
	f.o.Token, err = (&serverFlags{tokenFile: f.tokenFile}).shownToken(f.p)
	return err
}

// measure runs the workloads and reports what was measured, also after an error.
func (f *benchFlags) measure(ctx context.Context) error {
	if err := f.check(); err != nil {
		return err
	}
	result, err := bench.Run(ctx, f.o)
	if result == nil || len(result.Measurements) == 0 {
		return err
	}
	err = errors.Join(err, f.handOut(result))
	if f.out == "" {
		return err
	}
	return errors.Join(err, f.saveAs(".svg", result.WriteSVG))
}

// handOut prints a result as --output says, and writes the JSON file that --out
// names.
func (f *benchFlags) handOut(result interface {
	WriteTable(w io.Writer) error
	WriteJSON(w io.Writer) error
},
) error {
	write := result.WriteTable
	if f.output == "json" {
		write = result.WriteJSON
	}
	err := write(f.p.stdout)
	if f.out == "" {
		return err
	}
	return errors.Join(err, f.saveAs(".json", result.WriteJSON))
}

// saveAs writes the file that --out names, with another extension.
func (f *benchFlags) saveAs(ending string, write func(io.Writer) error) error {
	path := strings.TrimSuffix(f.out, ".json") + ending
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = saveFile(path, write)
	}
	if err != nil {
		return fmt.Errorf("save the result: %w", err)
	}
	return nil
}

func saveFile(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}
