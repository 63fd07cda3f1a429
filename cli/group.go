package cli

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ottla/protocol"
)

func newGroup(p *process) *cobra.Command {
	r := &remote{p: p}
	cmd := family("group", "List, describe, seek and delete consumer groups",
		newGroupList(r), newGroupDescribe(r), newGroupSeek(r), newGroupDelete(r))
	r.addFlags(cmd)
	return cmd
}

func clusterFlag(cmd *cobra.Command, cluster *string, usage string) *cobra.Command {
	cmd.Flags().StringVar(cluster, "cluster", "", usage)
	return cmd
}

func newGroupList(r *remote) *cobra.Command {
	var cluster string
	return clusterFlag(&cobra.Command{
		Use: "list", Short: "List consumer groups", Args: exactArgs(),
		Example: "  ottla group list --cluster default",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.get(cmd, "/groups", []string{"cluster", cluster}, table(groupRows))
		},
	}, &cluster, "only groups of this cluster")
}

func newGroupDescribe(r *remote) *cobra.Command {
	var cluster string
	return clusterFlag(&cobra.Command{
		Use: "describe NAME", Short: "Show a group's members and their partitions", Args: exactArgs("a NAME"),
		Example: "  ottla group describe mailer",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.get(cmd, path("groups", args[0]), []string{"cluster", cluster}, table(describeGroup))
		},
	}, &cluster, "the group's cluster")
}

func newGroupSeek(r *remote) *cobra.Command {
	var cluster, topic, to string
	var partition int
	cmd := clusterFlag(&cobra.Command{
		Use:   "seek NAME --topic TOPIC --to WHERE",
		Short: "Move a group's committed offsets",
		Long: "Move a group's committed offsets of one topic, in all its partitions or in one.\n" +
			"WHERE is earliest, latest, an offset, or a time such as 2026-11-22T17:16:03Z.\n" +
			"Live members get a new generation and continue from there.",
		Example: "  ottla group seek mailer --topic liked --to earliest\n" +
			"  ottla group seek mailer --topic liked --partition 0 --to 42",
		Args: exactArgs("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if topic == "" || to == "" {
				return usageError{fmt.Errorf("%s needs --topic and --to", cmd.CommandPath())}
			}
			target, err := seekTarget(to, time.Now())
			if err != nil {
				return err
			}
			fields := map[string]any{"topic": topic, "to": target}
			if cmd.Flags().Changed("partition") {
				fields["partition"] = partition
			}
			return r.change(cmd, http.MethodPost, path("groups", args[0], "seek"), []string{"cluster", cluster}, fields, table(offsetRows))
		},
	}, &cluster, "the group's cluster")
	cmd.Flags().StringVar(&topic, "topic", "", "`TOPIC` to move in (required)")
	cmd.Flags().StringVar(&to, "to", "", "`WHERE` to: earliest, latest, an offset or a time (required)")
	cmd.Flags().IntVar(&partition, "partition", 0, "only this partition")
	return cmd
}

// seekTarget returns a value of --to as the API expects it.
func seekTarget(to string, now time.Time) (any, error) {
	if to == "earliest" || to == "latest" {
		return to, nil
	}
	if n, err := strconv.ParseInt(to, 10, 64); err == nil && n >= 0 {
		return n, nil
	}
	if t, ok := parseTime(to, now); ok {
		return map[string]int64{"timestamp": t.UnixMilli()}, nil
	}
	return nil, usageError{fmt.Errorf("%q must be earliest, latest, an offset, %s", to, pointsInTime)}
}

func newGroupDelete(r *remote) *cobra.Command {
	var cluster string
	return clusterFlag(&cobra.Command{
		Use: "delete NAME", Short: "Delete a group without live members", Args: exactArgs("a NAME"),
		Example: "  ottla group delete mailer",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.remove(cmd, path("groups", args[0]), []string{"cluster", cluster}, "group "+args[0])
		},
	}, &cluster, "the group's cluster")
}

// groupRows is the table of `ottla group list`.
func groupRows(a *struct{ Groups []protocol.GroupInfo }) [][]string {
	rows := [][]string{{"CLUSTER", "GROUP", "STATE", "GENERATION", "MEMBERS", "LAG"}}
	for _, g := range a.Groups {
		rows = append(rows, []string{
			g.Cluster, g.Group, g.State, number(g.Generation),
			strconv.Itoa(len(g.Members)), number(g.Lag),
		})
	}
	return rows
}

// describeGroup is the table of `ottla group describe`.
func describeGroup(g *protocol.GroupInfo) [][]string {
	rows := [][]string{
		{"GROUP", g.Group},
		{"CLUSTER", g.Cluster},
		{"CREATED", when(g.CreatedAt)},
		{"STATE", g.State},
		{"GENERATION", number(g.Generation)},
		{"LAG", number(g.Lag)},
	}
	lease := "lease until"
	if g.State == "empty" { // no member is live; those listed may still come back
		lease = "lease expired at"
	}
	for _, m := range g.Members {
		var owned []string
		for _, a := range m.Assignment {
			owned = append(owned, fmt.Sprintf("%s-%d", a.Topic, a.Partition))
		}
		rows = append(rows, []string{
			fmt.Sprintf("CONSUMER %d", m.ConsumerID),
			fmt.Sprintf("%s %s, partitions %s", lease, when(m.LeaseExpiresAt), printable(strings.Join(owned, " "))),
		})
	}
	return rows
}
