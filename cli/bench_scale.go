package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"ottla/bench"
)

// newScale is `ottla bench scale`.
func (f *benchFlags) newScale() *cobra.Command {
	so := bench.DefaultScaleOptions()
	cmd := &cobra.Command{
		Use:   "scale [CASE ...]",
		Short: "Measure what large logs, many polls and many partitions cost",
		Long: "Measure what large logs, many parked polls, many partitions and stopped brokers cost,\n" +
			"each against its target. Cases (all of them without an argument):\n" + listed(bench.ScaleNames(), bench.ScaleAbout),
		Example:   "  ottla bench scale polls idle\n  ottla bench scale start --start-bytes 1073741824 --runs 3",
		ValidArgs: bench.ScaleNames(),
		RunE: func(_ *cobra.Command, names []string) error {
			if len(names) == 0 {
				names = bench.ScaleNames()
			}
			return f.run(func(ctx context.Context) error { return f.scale(ctx, so, names) })
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&so.Polls, "polls", so.Polls, "parked polls")
	flags.IntVar(&so.PollTopics, "poll-topics", so.PollTopics, "topics that they wait for (default: one for each 1,000)")
	flags.IntVar(&so.IdlePartitions, "idle-partitions", so.IdlePartitions, "partitions of idle")
	flags.Int64Var(&so.StartBytes, "start-bytes", so.StartBytes, "`bytes` of log files of start, all replicas together")
	flags.IntVar(&so.StartPartitions, "start-partitions", so.StartPartitions, "partitions of start-many")
	flags.Int64Var(&so.AgeBytes, "age-bytes", so.AgeBytes, "`bytes` of log files of age, all replicas together")
	flags.IntVar(&so.Stops, "stops", so.Stops, "how often failover stops a broker")
	flags.DurationVar(&so.Settle, "settle", so.Settle, "rest before CPU time at rest is taken")
	flags.DurationVar(&so.Window, "window", so.Window, "how long CPU time at rest is taken")
	return cmd
}

// scale runs the cases and reports what was measured, also after an error.
func (f *benchFlags) scale(ctx context.Context, so bench.ScaleOptions, names []string) error {
	f.o.Workloads = bench.Names() // for Validate; cases are not workloads
	if err := so.Validate(&f.o, names); err != nil {
		return usageError{err}
	}
	result, err := bench.Scale(ctx, f.o, so, names)
	if result == nil || len(result.Figures) == 0 {
		return err
	}
	return errors.Join(err, f.handOut(result))
}
