package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"ottla/protocol"
)

// newStatus is `ottla status`.
func newStatus(p *process) *cobra.Command {
	r := &remote{p: p}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the server is, and what is wrong",
		Long: "Say in one sentence how the server is, then what is wrong, its brokers, and the\n" +
			"groups that have most to read. The exit status is 1 when something is wrong.",
		Example: "  ottla status\n  ottla status --output json | jq -r '.problems[].message'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := r.call(cmd, request{method: http.MethodGet, path: "/overview"})
			if err != nil {
				return err
			}
			var o protocol.Overview
			if err := json.Unmarshal(answer, &o); err != nil {
				return fmt.Errorf("the answer is not what an Ottla server gives: %w", err)
			}
			if r.output == "json" {
				err = printJSON(p.stdout, answer)
			} else {
				err = printStatus(p.stdout, &o, nodesOf(cmd, r, &o))
			}
			if err == nil && o.Status != protocol.StatusOK {
				err = fmt.Errorf("the server is %s: %s", o.Status, count(len(o.Problems), "problem"))
			}
			return err
		},
	}
	r.addFlags(cmd)
	return cmd
}

// nodesOf lists the nodes of the fleet, if the server is of one. That they cannot be
// listed is no reason to say nothing of the rest.
func nodesOf(cmd *cobra.Command, r *remote, o *protocol.Overview) (list []protocol.NodeInfo) {
	if o.Counts.Nodes == 0 {
		return nil
	}
	answer, err := r.call(cmd, request{method: http.MethodGet, path: "/nodes"})
	if err != nil {
		return nil
	}
	var all struct{ Nodes []protocol.NodeInfo }
	_ = json.Unmarshal(answer, &all) // the same
	return all.Nodes
}

func nodeStatusRows(nodes []protocol.NodeInfo) (rows [][]string) {
	for i, n := range nodes {
		if i == 0 {
			rows = append(rows, []string{"NODE", "STATE", "LEADS", "COPIES", "ADDRESS"})
		}
		rows = append(rows, []string{n.Name, n.State, strconv.Itoa(n.Leaders), strconv.Itoa(n.Replicas), n.HTTP})
	}
	return rows
}

// printStatus prints an overview for people.
func printStatus(w io.Writer, o *protocol.Overview, nodes []protocol.NodeInfo) error {
	fmt.Fprintln(w, printable(o.Health))
	for _, rows := range [][][]string{problemRows(o), nodeStatusRows(nodes), brokerStatusRows(o), countRows(o), laggingRows(o)} {
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintln(w)
		if err := printTable(w, rows); err != nil {
			return err
		}
	}
	return nil
}

func problemRows(o *protocol.Overview) (rows [][]string) {
	for _, p := range o.Problems {
		rows = append(rows, []string{p.Severity, p.Message})
		for _, at := range p.Partitions {
			rows = append(rows, []string{"", fmt.Sprintf("%s %d: %s", at.Topic, at.Partition, at.Reason)})
		}
		if more := p.Count - len(p.Partitions); more > 0 {
			rows = append(rows, []string{"", fmt.Sprintf("and %s more", count(more, "partition"))})
		}
	}
	return rows
}

func brokerStatusRows(o *protocol.Overview) [][]string {
	rows := [][]string{{"CLUSTER", "BROKER", "STATE", "LEADS", "COPIES"}}
	for _, c := range o.Clusters {
		for _, b := range c.Brokers {
			rows = append(rows, []string{c.Name, strconv.Itoa(b.ID), b.State, strconv.Itoa(b.Leaders), strconv.Itoa(b.Replicas)})
		}
	}
	return rows
}

func countRows(o *protocol.Overview) [][]string {
	c := &o.Counts
	rows := [][]string{
		{"TOPICS", fmt.Sprintf("%d with %s, %s", c.Topics, count(c.Partitions, "partition"), size(c.LogBytes))},
		{"GROUPS", fmt.Sprintf("%d with %s, lag %d", c.Groups, count(c.Members, "member"), c.Lag)},
	}
	if c.DiskTotal > 0 {
		rows = append(rows, []string{"DISK", fmt.Sprintf("%s of %s free", size(c.DiskFree), size(c.DiskTotal))})
	}
	if n := len(o.Rates); n > 0 {
		now := &o.Rates[n-1]
		rows = append(rows,
			[]string{"WRITTEN", fmt.Sprintf("%.0f records/s, %s/s", now.ProducedRecords, size(int64(now.ProducedBytes)))},
			[]string{"READ", fmt.Sprintf("%.0f records/s, %s/s", now.FetchedRecords, size(int64(now.FetchedBytes)))})
	}
	return rows
}

func laggingRows(o *protocol.Overview) (rows [][]string) {
	for i, g := range o.Lagging {
		if i == 0 {
			rows = append(rows, []string{"GROUP", "CLUSTER", "MEMBERS", "LAG"})
		}
		rows = append(rows, []string{g.Group, g.Cluster, strconv.Itoa(g.Members), strconv.FormatInt(g.Lag, 10)})
	}
	return rows
}

// size is a number of bytes for people.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, unit := float64(n), 0
	for v >= 1024 && unit < len(units)-1 {
		v, unit = v/1024, unit+1
	}
	if unit == 0 || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, units[unit])
	}
	return fmt.Sprintf("%.1f %s", v, units[unit])
}

// newHealth is `ottla health`.
func newHealth(p *process) *cobra.Command {
	r := &remote{p: p}
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Check that the server answers, for containers",
		Long: "Check that the server answers: the exit status is 0 if it does, else 1. With --ready,\n" +
			"also that every partition has a leader. A container that only lacks a leader should\n" +
			"not be restarted, so use --ready to decide who gets requests, not what is restarted.",
		Example: "  ottla health\n  ottla health --ready --timeout 2s",
		Args:    noArgs,
	}
	r.addFlags(cmd)
	_ = cmd.PersistentFlags().MarkHidden("output")
	ready := cmd.Flags().Bool("ready", false, "also check that every partition has a leader")
	timeout := cmd.Flags().Duration("timeout", 5*time.Second, "how long to wait for an answer")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *timeout <= 0 {
			return usageError{errors.New("--timeout must be positive")}
		}
		path := "/healthz"
		if *ready {
			path = "/readyz"
		}
		a, err := r.client()
		if err != nil {
			return err
		}
		ctx, stop := r.context(cmd)
		defer stop()
		expired := time.AfterFunc(*timeout, stop)
		defer expired.Stop()
		if _, err = a.do(ctx, request{method: http.MethodGet, path: path}); ctx.Err() != nil {
			return fmt.Errorf("no answer from %s within %s", a.name, *timeout)
		}
		if err == nil {
			_, err = fmt.Fprintln(p.stdout, "ok")
		}
		return err
	}
	return cmd
}
