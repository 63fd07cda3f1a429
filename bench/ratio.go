package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// Ratio measures echo and another workload in turn, Runs times, prints the
// ratio of their rates for each pair, and returns the median ratio. Both sides
// of a pair run on the same machine in the same minute, so their ratio says more
// than either rate.
func Ratio(ctx context.Context, o Options, name string, out io.Writer) (float64, error) {
	o.Workloads = []string{"echo", name}
	if err := o.Validate(); err != nil {
		return 0, err
	}
	t := targets{o: &o, progress: &progress{out: o.Progress}}
	defer t.stop()
	connections := o.Connections[0]
	var ratios []float64
	for i := range o.Runs {
		rates := map[string]float64{}
		order := slices.Clone(o.Workloads)
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, name := range order {
			list, err := t.run(ctx, find(name), connections)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			if list[0].Errors > 0 {
				return 0, fmt.Errorf("%s: %d errors, the first: %s", name, list[0].Errors, list[0].FirstError)
			}
			rates[name] = list[0].RequestsPerSecond
		}
		ratio := rates[name] / rates["echo"]
		ratios = append(ratios, ratio)
		fmt.Fprintf(out, "run %d: %s %s/s, echo %s/s, ratio %.3f\n", i+1, name, thousands(rates[name]), thousands(rates["echo"]), ratio)
	}
	m := median(ratios)
	fmt.Fprintf(out, "median ratio %.3f: %s / echo, %d connections, %d replicas, fsync %s\n", m, name, connections, o.Replicas, o.Fsync)
	return m, nil
}
