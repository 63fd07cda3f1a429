package bench

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
)

// Compare runs the workloads of o against two builds of the broker in turn,
// Runs times each. For every figure it prints both medians, their ratio, and the
// probability of such a difference by chance.
func Compare(ctx context.Context, o Options, base, head string, out io.Writer) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if o.Server != "" {
		return fmt.Errorf("comparing two builds, the bench starts their brokers itself")
	}
	var sides [2]Result
	for i := range o.Runs {
		for j := range sides {
			// The order alternates, so that neither build always runs second.
			side := (i + j) % 2
			o.Binary = [2]string{base, head}[side]
			list, err := runOnce(ctx, &o)
			if err != nil {
				return fmt.Errorf("%s: %w", o.Binary, err)
			}
			sides[side].Measurements = append(sides[side].Measurements, list...)
		}
	}
	return writeComparison(out, &sides[0], &sides[1])
}

// figures are the results by which two builds are compared.
var figures = []struct {
	name string
	of   func(*Measurement) float64
	text func(float64) string
}{
	{"records/s", func(m *Measurement) float64 { return m.RecordsPerSecond }, thousands},
	{"p50", func(m *Measurement) float64 { return m.Latency.P50 }, duration},
	{"p99", func(m *Measurement) float64 { return m.Latency.P99 }, duration},
	{
		"broker CPU s/1M records", func(m *Measurement) float64 { return m.BrokerCores / m.RecordsPerSecond * 1e6 },
		func(v float64) string { return fmt.Sprintf("%.2f", v) },
	},
}

func writeComparison(out io.Writer, base, head *Result) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "workload\tconns\tfigure\tbase\thead\thead/base\tp\t")
	for _, m := range base.Medians() {
		for _, f := range figures {
			a, b := base.values(&m, f.of), head.values(&m, f.of)
			if len(a) == 0 || len(b) == 0 {
				continue
			}
			ma, mb, p := median(a), median(b), mannWhitney(a, b)
			verdict := ""
			if p < 0.05 {
				verdict = " *"
			}
			fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%.3f\t%.3f%s\t\n", m.Name, m.Connections, f.name, f.text(ma), f.text(mb), mb/ma, p, verdict)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	n := len(base.values(&base.Measurements[0], figures[0].of))
	fmt.Fprintf(out, "%d runs each; p by Mann-Whitney, * below 0.05", n)
	if n < 4 {
		fmt.Fprint(out, "; fewer than 4 runs cannot get there")
	}
	_, err := fmt.Fprintln(out)
	return err
}

// values are one figure of all runs of the same measurement as like.
func (r *Result) values(like *Measurement, of func(*Measurement) float64) []float64 {
	var v []float64
	for i := range r.Measurements {
		if m := &r.Measurements[i]; m.Name == like.Name && m.Connections == like.Connections {
			v = append(v, of(m))
		}
	}
	return v
}
