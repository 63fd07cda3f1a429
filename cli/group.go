package cli

import (
	"encoding/json"
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
			return r.list(cmd, "/groups", "groups", []string{"cluster", cluster}, table(groupRows))
		},
	}, &cluster, "only groups of this cluster")
}

func newGroupDescribe(r *remote) *cobra.Command {
	var cluster string
	return clusterFlag(&cobra.Command{
		Use: "describe NAME", Short: "Show a group's members, its partitions and their lag", Args: exactArgs("a NAME"),
		Example: "  ottla group describe mailer",
		RunE: func(cmd *cobra.Command, args []string) error {
			if r.output == "json" {
				return r.get(cmd, path("groups", args[0]), []string{"cluster", cluster}, nil)
			}
			answer, err := r.call(cmd, request{method: http.MethodGet, path: path("groups", args[0]), query: query("cluster", cluster)})
			if err != nil {
				return err
			}
			rows, err := table(describeGroup)(answer)
			if err != nil {
				return err
			}
			offsets, err := r.offsetsOf(cmd, cluster, args[0])
			if err != nil {
				return err
			}
			if err := printTable(r.p.stdout, rows); err != nil || len(offsets) == 0 {
				return err
			}
			fmt.Fprintln(r.p.stdout)
			return printTable(r.p.stdout, lagRows(&struct{ Offsets []protocol.OffsetInfo }{offsets}))
		},
	}, &cluster, "the group's cluster")
}

// offsetsOf asks where a group is on its partitions.
func (r *remote) offsetsOf(cmd *cobra.Command, cluster, group string) ([]protocol.OffsetInfo, error) {
	answer, err := r.call(cmd, request{method: http.MethodGet, path: "/offset", query: query("group", group, "cluster", cluster)})
	if err != nil {
		return nil, err
	}
	var list struct{ Offsets []protocol.OffsetInfo }
	return list.Offsets, json.Unmarshal(answer, &list)
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
	rows = append(rows, memberRows(g.Members, "lease until")...)
	return append(rows, memberRows(g.LapsedMembers, "lease expired at")...)
}

func memberRows(members []protocol.MemberInfo, lease string) (rows [][]string) {
	for _, m := range members {
		var owned []string
		for _, a := range m.Assignment {
			owned = append(owned, fmt.Sprintf("%s-%d", a.Topic, a.Partition))
		}
		id := "CONSUMER " + strconv.FormatInt(int64(m.ConsumerID), 10)
		if m.MemberID != "" {
			id = "KAFKA CLIENT " + printable(m.MemberID)
		}
		rows = append(rows, []string{
			id,
			fmt.Sprintf("%s %s, partitions %s", lease, when(m.LeaseExpiresAt), printable(strings.Join(owned, " "))),
		})
	}
	return rows
}
