package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// ScaleResult is the result of Scale.
type ScaleResult struct {
	Environment Environment  `json:"environment"`
	Options     Options      `json:"options"`
	Scale       ScaleOptions `json:"scale"`
	Figures     []Figure     `json:"figures"`
}

// Figure is one number that a case measures, with a value for each run.
type Figure struct {
	Case   string    `json:"case"`
	Name   string    `json:"name"`
	Unit   string    `json:"unit,omitempty"`
	Values []float64 `json:"values"`
	Median float64   `json:"median"`

	// Target is what the figure should reach: at least that, or at most that where
	// less is better. Nil: there is no target.
	Target  *float64 `json:"target,omitempty"`
	AtLeast bool     `json:"at_least,omitempty"`
	Reached bool     `json:"reached,omitempty"`
}

// goal is a target of a figure.
type goal struct {
	value   float64
	atLeast bool
}

func atLeast(v float64) *goal { return &goal{v, true} }
func atMost(v float64) *goal  { return &goal{v, false} }

// figure adds the values of the runs; without a goal it is for information.
func (s *scaleRun) figure(name, unit string, g *goal, values ...float64) {
	f := Figure{Case: s.name, Name: name, Unit: unit, Values: values, Median: median(values)}
	if g != nil {
		f.Target, f.AtLeast = &g.value, g.atLeast
		f.Reached = f.Median <= g.value
		if g.atLeast {
			f.Reached = f.Median >= g.value
		}
	}
	s.result.Figures = append(s.result.Figures, f)
}

// WriteTable prints the result for people.
func (r *ScaleResult) WriteTable(w io.Writer) error {
	e, o := &r.Environment, &r.Options
	fmt.Fprintf(w, "ottla %s on %s, %d cores, %s, %s\n%d replicas, fsync %s, %s with fdatasync p50 %s\n", e.Version, e.CPU, e.Cores,
		e.System, e.Go, o.Replicas, o.Fsync, e.Filesystem, duration(e.SyncMicros))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "case\tfigure\tmedian\ttarget\truns\t")
	for i := range r.Figures {
		f := &r.Figures[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t\n", f.Case, f.Name, f.text(f.Median), f.target(), f.runs())
	}
	return t.Flush()
}

// text formats a value with its significant digits.
func (f *Figure) text(v float64) string {
	var s string
	switch {
	case v >= 10_000:
		s = thousands(v)
	case v >= 100:
		s = fmt.Sprintf("%.0f", v)
	case v >= 10:
		s = fmt.Sprintf("%.1f", v)
	default:
		s = fmt.Sprintf("%.3g", v)
	}
	if f.Unit != "" {
		s += " " + f.Unit
	}
	return s
}

func (f *Figure) target() string {
	if f.Target == nil {
		return "-"
	}
	sign, verdict := "<=", "missed"
	if f.AtLeast {
		sign = ">="
	}
	if f.Reached {
		verdict = "ok"
	}
	return fmt.Sprintf("%s %s: %s", sign, f.text(*f.Target), verdict)
}

// shownRuns is of how many runs a table shows each, rather than the range of all.
const shownRuns = 12

func (f *Figure) runs() string {
	switch {
	case len(f.Values) < 2:
		return ""
	case len(f.Values) > shownRuns:
		return fmt.Sprintf("%d, from %s to %s", len(f.Values), f.text(slices.Min(f.Values)), f.text(slices.Max(f.Values)))
	}
	list := make([]string, len(f.Values))
	for i, v := range f.Values {
		list[i] = strings.TrimSuffix(f.text(v), " "+f.Unit)
	}
	return strings.Join(list, " ")
}

// WriteJSON writes the whole result as JSON.
func (r *ScaleResult) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
