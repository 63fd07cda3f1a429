package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// result is the result of a campaign. Its JSON is a line of the results file.
type result struct {
	Campaign      string         `json:"campaign"`
	Seed          int64          `json:"seed"`
	Version       string         `json:"version"`
	Date          string         `json:"date"`
	Seconds       int            `json:"seconds"`
	Rounds        int            `json:"rounds"`
	Strikes       map[string]int `json:"strikes"`
	Acked         int            `json:"acked"`
	Log           int            `json:"log"`                        // records in the final logs
	Delivered     int            `json:"delivered"`                  // to members of groups
	Jobs          int            `json:"jobs"`                       // of queues, that were acknowledged
	KafkaAcked    int            `json:"kafka_acked,omitempty"`      // of Acked, by Kafka clients
	KafkaGiven    int            `json:"kafka_delivered,omitempty"`  // of Delivered, to Kafka clients
	SharedGiven   int            `json:"shared_delivered,omitempty"` // of Delivered, to consumers of HTTP in the group that Kafka clients have, too
	OffsetCalls   int            `json:"offset_calls"`
	OffsetUnknown int            `json:"offset_unknown"`  // offset calls without a known outcome
	SlowestMS     int64          `json:"slowest_ms"`      // slowest recovery, until new acknowledgements
	Scrubbed      int            `json:"scrubbed"`        // copies in which the last scrub found damage
	Terms         int            `json:"terms,omitempty"` // of fleets: terms of partitions that had a leader, each one
	Violations    []violation    `json:"violations"`
}

const shownViolations = 20

func (r *result) print(out io.Writer) {
	for i, v := range r.Violations {
		if i == shownViolations {
			fmt.Fprintf(out, "... and %d more\n", len(r.Violations)-i)
			break
		}
		fmt.Fprintln(out, "VIOLATION", v)
	}
	kinds := map[string]int{}
	for _, v := range r.Violations {
		kinds[v.Kind]++
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(out, "VIOLATIONS %s: %d\n", kind, kinds[kind])
	}
	var strikes []string
	for _, name := range slices.Sorted(maps.Keys(r.Strikes)) {
		strikes = append(strikes, fmt.Sprintf("%d %s", r.Strikes[name], name))
	}
	fmt.Fprintf(out, "%s\n%s\n%d records acknowledged, %d in the logs, %d delivered, %d jobs done, %d calls on committed offsets (%d unknown), slowest recovery %d ms, damage in %d copies found by the scrub, %d terms with a leader, %d s, seed %d, %s: %d violations\n",
		strings.Repeat("-", 60), strings.Join(strikes, ", "), r.Acked, r.Log, r.Delivered, r.Jobs, r.OffsetCalls, r.OffsetUnknown, r.SlowestMS, r.Scrubbed, r.Terms, r.Seconds, r.Seed, r.Version, len(r.Violations))
}

// printKafka prints what Kafka clients have done.
func (r *result) printKafka(out io.Writer) {
	fmt.Fprintf(out, "of them Kafka clients: %d acknowledged, %d delivered, and %d to consumers of HTTP in their group\n", r.KafkaAcked, r.KafkaGiven, r.SharedGiven)
}

// append adds the result to a file, unless path is "". Of many violations it keeps
// the first ones.
func (r *result) append(path string) error {
	if path == "" {
		return nil
	}
	short := *r
	short.Violations = short.Violations[:min(len(short.Violations), shownViolations)]
	line, err := json.Marshal(&short)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// sumResults adds up the runs of each campaign and prints a Markdown table.
func sumResults(paths []string, out io.Writer) error {
	sums := map[string]*result{}
	runs := map[string]int{}
	seeds := map[string][]string{}
	for _, path := range paths {
		err := readResults(path, func(r *result) {
			s := sums[r.Campaign]
			if s == nil {
				s = &result{Campaign: r.Campaign, Version: r.Version, Strikes: map[string]int{}}
				sums[r.Campaign] = s
			}
			runs[r.Campaign]++
			seeds[r.Campaign] = append(seeds[r.Campaign], fmt.Sprint(r.Seed))
			s.add(r)
		})
		if err != nil {
			return err
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| campaign\t| runs\t| faults\t| acknowledged\t| in the logs\t| delivered\t| jobs\t| offset calls\t| violations\t| slowest recovery\t| commits\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, s := range slices.SortedFunc(maps.Values(sums), func(a, b *result) int { return cmp.Compare(a.Campaign, b.Campaign) }) {
		fmt.Fprintf(w, "| %s\t| %d\t| %d\t| %d\t| %d\t| %d\t| %d\t| %d\t| %d\t| %.1f s\t| %s\t|\n",
			s.Campaign, runs[s.Campaign], s.Rounds, s.Acked, s.Log, s.Delivered, s.Jobs, s.OffsetCalls, len(s.Violations), float64(s.SlowestMS)/1000, s.Version)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(out, "\n%s: seeds %s", name, strings.Join(seeds[name], ", "))
	}
	fmt.Fprintln(out)
	return nil
}

func (r *result) add(other *result) {
	r.Rounds += other.Rounds
	r.Acked += other.Acked
	r.Log += other.Log
	r.Delivered += other.Delivered
	r.Jobs += other.Jobs
	r.OffsetCalls += other.OffsetCalls
	r.OffsetUnknown += other.OffsetUnknown
	r.Scrubbed += other.Scrubbed
	r.Terms += other.Terms
	r.SlowestMS = max(r.SlowestMS, other.SlowestMS)
	r.Violations = append(r.Violations, other.Violations...)
	for name, n := range other.Strikes {
		r.Strikes[name] += n
	}
	if !strings.Contains(r.Version, other.Version) {
		r.Version += ", " + other.Version
	}
}

func readResults(path string, each func(*result)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		each(&r)
	}
	return lines.Err()
}
