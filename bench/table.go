package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable prints a result for people: one line for each workload and
// number of connections, the medians where there were several runs.
func (r *Result) WriteTable(w io.Writer) error {
	e, o := &r.Environment, &r.Options
	where := fmt.Sprintf("%s, %d cores, %s, %s", e.CPU, e.Cores, e.System, e.Go)
	what := fmt.Sprintf("%d replicas, %d partitions, fsync %s, %s with fdatasync p50 %s", o.Replicas, o.Partitions, o.Fsync,
		e.Filesystem, duration(e.SyncMicros))
	if o.Server != "" {
		what = "server " + o.Server
	}
	fmt.Fprintf(w, "ottla %s on %s\n%s; %d runs of %s, medians\n", e.Version, where, what, o.Runs, o.Duration)
	if e.Filesystem == "tmpfs" {
		fmt.Fprintln(w, "The data is on tmpfs: nothing is made durable. Name a disk with --data-dir.")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "workload\tconns\tloop\trequests/s\trecords/s\tMB/s\tp50\tp90\tp99\tp99.9\tmax\terrors\tbroker CPU\tRSS MB\t")
	for _, m := range r.Medians() {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%.1f\t%s\t%s\t%s\t%s\t%s\t%d\t%.2f\t%.0f\t\n",
			m.Name, m.Connections, m.loop(), thousands(m.RequestsPerSecond), thousands(m.RecordsPerSecond), m.MegabytesPerSecond,
			duration(m.Latency.P50), duration(m.Latency.P90), duration(m.Latency.P99), duration(m.Latency.P999), duration(m.Latency.Max),
			m.Errors, m.BrokerCores, m.BrokerMB)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, m := range r.Measurements {
		if m.Errors > 0 {
			fmt.Fprintf(w, "%s, run %d: %d errors, the first: %s\n", m.Name, m.Run, m.Errors, strings.TrimSpace(m.FirstError))
		}
		if m.Overdue > m.Requests/100 { // at any time a few are due
			fmt.Fprintf(w, "%s, run %d: %d requests were due and never sent: the rate is too high\n", m.Name, m.Run, m.Overdue)
		}
	}
	return nil
}

// loop says whether requests were sent in a closed or an open loop.
func (m *Measurement) loop() string {
	if m.OpenRate > 0 {
		return "open " + ratePerSecond(m.OpenRate)
	}
	return "closed"
}

// WriteJSON writes the whole result as JSON.
func (r *Result) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Medians has one measurement for each workload and number of connections, in
// their order, each figure the median of the runs, without the series.
func (r *Result) Medians() []Measurement {
	type key struct {
		name        string
		connections int
	}
	groups := map[key][]Measurement{}
	var order []key
	for _, m := range r.Measurements {
		k := key{m.Name, m.Connections}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], m)
	}
	list := make([]Measurement, len(order))
	for i, k := range order {
		list[i] = medianOf(groups[k])
	}
	return list
}

func medianOf(ms []Measurement) Measurement {
	m := ms[0]
	m.Series, m.Run = nil, 0
	m.counts = counts{}
	for _, o := range ms {
		m.add(o.counts)
	}
	for _, figure := range []func(*Measurement) *float64{
		func(m *Measurement) *float64 { return &m.RequestsPerSecond },
		func(m *Measurement) *float64 { return &m.RecordsPerSecond },
		func(m *Measurement) *float64 { return &m.MegabytesPerSecond },
		func(m *Measurement) *float64 { return &m.Latency.P50 },
		func(m *Measurement) *float64 { return &m.Latency.P90 },
		func(m *Measurement) *float64 { return &m.Latency.P99 },
		func(m *Measurement) *float64 { return &m.Latency.P999 },
		func(m *Measurement) *float64 { return &m.Latency.Max },
		func(m *Measurement) *float64 { return &m.Latency.Mean },
		func(m *Measurement) *float64 { return &m.BrokerCores },
		func(m *Measurement) *float64 { return &m.BrokerMB },
		func(m *Measurement) *float64 { return &m.LoadCores },
	} {
		values := make([]float64, len(ms))
		for i := range ms {
			values[i] = *figure(&ms[i])
		}
		*figure(&m) = median(values)
	}
	return m
}
