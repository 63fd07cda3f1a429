package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"ottla/certs"
	"ottla/protocol"
)

func newNode(p *process) *cobra.Command {
	r := &remote{p: p}
	list, describe := newNodeList(r), newNodeDescribe(r)
	r.addFlags(list)
	r.addFlags(describe)
	drain, resume := newNodeDrain(r, "drain", "Have leadership leave a node, before its machine is taken down"), newNodeDrain(r, "resume", "Let leadership come back to a node")
	replace, decommission, rebalance, tasks := newNodeReplace(r), newNodeDecommission(r), newNodeRebalance(r), newNodeTasks(r)
	for _, cmd := range []*cobra.Command{drain, resume, replace, decommission, rebalance, tasks} {
		r.addFlags(cmd)
	}
	return family("node", "Work with the nodes of a fleet", list, describe, drain, resume, replace, decommission, rebalance, tasks, newNodeCert(p))
}

func newNodeList(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the nodes of the fleet", Args: noArgs,
		Example: "  ottla node list\n  ottla node list --output json | jq '.nodes[] | select(.state != \"active\")'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.list(cmd, path("nodes"), "nodes", nil, table(nodeRows))
		},
	}
}

func newNodeDescribe(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "describe ID", Short: "Show a node", Args: exactArgs("an ID"),
		Example: "  ottla node describe 2",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.get(cmd, path("nodes", args[0]), nil, table(describeNode))
		},
	}
}

// newNodeDrain is `node drain` or `node resume`.
func newNodeDrain(r *remote, verb, short string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " ID", Short: short, Args: exactArgs("an ID"),
		Example: "  ottla node " + verb + " 2",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.send(cmd, request{method: http.MethodPost, path: path("nodes", args[0], verb)}, table(describeNode))
		},
	}
}

func newNodeReplace(r *remote) *cobra.Command {
	var with uint64
	cmd := &cobra.Command{
		Use: "replace ID", Short: "Have the brokers of a lost node begin anew at another one", Args: exactArgs("an ID"),
		Long: "Have the brokers of a lost node begin anew at another one, which the remaining copies\n" +
			"fill. The lost node may never come back with its data: only with an empty directory,\n" +
			"as a new node. It is refused while the node is heard of.",
		Example: "  ottla node replace 2 --with 4",
		RunE: func(cmd *cobra.Command, args []string) error {
			if with == 0 {
				return usageError{errors.New("--with ID is missing: the node that takes its place")}
			}
			return r.change(cmd, http.MethodPost, path("nodes", args[0], "replace"), nil, map[string]any{"with": with}, table(describeTask))
		},
	}
	cmd.Flags().Uint64Var(&with, "with", 0, "`ID` of the node that takes its place")
	return cmd
}

func newNodeDecommission(r *remote) *cobra.Command {
	cancel := false
	cmd := &cobra.Command{
		Use: "decommission ID", Short: "Move all brokers of a node to others; the node is gone then", Args: exactArgs("an ID"),
		Long: "Move all brokers of a node to others, replica by replica, while everything goes on.\n" +
			"The node is gone then and may be stopped for good. It is refused where copies of\n" +
			"records would be at fewer nodes than they need. 'ottla node tasks' says how far it is,\n" +
			"and what it waits for; --cancel takes it back: what is on its way returns.",
		Example: "  ottla node decommission 2\n  ottla node decommission 2 --cancel",
		RunE: func(cmd *cobra.Command, args []string) error {
			if cancel {
				return r.send(cmd, request{method: http.MethodDelete, path: path("nodes", args[0], "decommission")}, table(describeNode))
			}
			return r.send(cmd, request{method: http.MethodPost, path: path("nodes", args[0], "decommission")}, table(describeTask))
		},
	}
	cmd.Flags().BoolVar(&cancel, "cancel", false, "take it back")
	return cmd
}

func newNodeRebalance(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "rebalance", Short: "Move brokers until all nodes have about as many", Args: noArgs,
		Long:    "Move brokers until all nodes have about as many, those of each cluster at as many nodes\nand racks as there are. For after a node has joined.",
		Example: "  ottla node rebalance",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.send(cmd, request{method: http.MethodPost, path: path("nodes", "rebalance")}, table(describeTask))
		},
	}
}

func newNodeTasks(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "tasks", Short: "Show what the fleet is doing or has done", Args: noArgs,
		Example: "  ottla node tasks",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.list(cmd, path("tasks"), "tasks", nil, table(taskRows))
		},
	}
}

// taskRows is the table of `ottla node tasks`.
func taskRows(a *struct{ Tasks []protocol.TaskInfo }) [][]string {
	rows := [][]string{{"ID", "KIND", "STATE", "OF", "WITH", "MOVED", "LEFT", "WAITS FOR", "STARTED"}}
	for i := range a.Tasks {
		t := &a.Tasks[i]
		rows = append(rows, []string{
			t.ID, t.Kind, t.State, taskOf(t), nodeNumber(t.With),
			strconv.Itoa(t.Moved), strconv.Itoa(t.Left), t.WaitingFor, when(t.StartedAt),
		})
	}
	return rows
}

func describeTask(t *protocol.TaskInfo) [][]string {
	what := "brokers move"
	switch t.Kind {
	case "replace":
		what = fmt.Sprintf("node %d takes the place of node %d", t.With, t.Node)
	case "decommission":
		what = fmt.Sprintf("the brokers of node %d move to others", t.Node)
	case "resize":
		what = fmt.Sprintf("cluster %s gets %s", t.Cluster, count(t.Brokers, "broker"))
	}
	if t.State == protocol.TaskDone {
		return [][]string{{fmt.Sprintf("task %s: %s; done", t.ID, what)}}
	}
	return [][]string{{fmt.Sprintf("task %s: %s; %s left", t.ID, what, count(t.Left, "replica"))}}
}

// taskOf is the node or the cluster that a task is about, empty where it is about all.
func taskOf(t *protocol.TaskInfo) string {
	if t.Cluster != "" {
		return t.Cluster
	}
	return nodeNumber(t.Node)
}

// nodeNumber is the number of a node, empty for 0.
func nodeNumber(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// nodeRows is the table of `ottla node list`.
func nodeRows(a *struct{ Nodes []protocol.NodeInfo }) [][]string {
	rows := [][]string{{"ID", "NAME", "STATE", "HTTP", "LINK", "RACK", "BROKERS", "LEADERS", "REPLICAS", "VERSION"}}
	for i := range a.Nodes {
		n := &a.Nodes[i]
		rows = append(rows, []string{
			strconv.FormatUint(n.ID, 10), n.Name, n.State, n.HTTP, n.Link, n.Rack,
			strconv.Itoa(len(n.Brokers)), strconv.Itoa(n.Leaders), strconv.Itoa(n.Replicas), n.Version,
		})
	}
	return rows
}

func describeNode(n *protocol.NodeInfo) [][]string {
	rows := [][]string{
		{"ID", strconv.FormatUint(n.ID, 10)},
		{"NAME", n.Name},
		{"STATE", n.State},
		{"UUID", n.UUID},
		{"HTTP", n.HTTP},
		{"LINK", n.Link},
		{"RACK", n.Rack},
		{"VERSION", n.Version},
		{"CREATED", when(n.CreatedAt)},
		{"LEADERS", strconv.Itoa(n.Leaders)},
		{"REPLICAS", strconv.Itoa(n.Replicas)},
	}
	for _, b := range n.Brokers {
		rows = append(rows, []string{"BROKER", fmt.Sprintf("%d of %s", b.ID, b.Cluster)})
	}
	return rows
}

// Days that certificates are valid.
const (
	authorityDays = 3650
	maxCertDays   = 3650
)

func newNodeCert(p *process) *cobra.Command {
	var (
		dir   string
		hosts []string
		days  int
	)
	cmd := &cobra.Command{
		Use:   "cert NAME...",
		Short: "Make certificates for the connections between nodes",
		Long: "Make a certificate and its key for each node: NAME.pem and NAME.key, where NAME is\n" +
			"the node's name (node.name, by default its host name). The fleet's authority, ca.pem\n" +
			"and ca.key, is used if it is in DIR, else it is made first, for ten years. Files that\n" +
			"exist are never replaced: move them away to make new ones.\n\n" +
			"Each node needs its own two files and ca.pem. Whoever has ca.key can make further\n" +
			"nodes: keep it off the nodes, and keep it.",
		Example: "  ottla node cert node-1 node-2 node-3\n  ottla node cert node-4 --dir /safe/ottla --days 365",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("a NAME is missing")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, names []string) error {
			if days < 1 || days > maxCertDays {
				return usageError{fmt.Errorf("--days %d must be from 1 to %d", days, maxCertDays)}
			}
			return makeCerts(p, dir, names, hosts, time.Duration(days)*24*time.Hour)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "certs", "`DIR` of the authority and of the new files; made if it does not exist")
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "further `HOSTS`, names or addresses, that the certificates are for")
	cmd.Flags().IntVar(&days, "days", 1825, "days that the nodes' certificates are valid, at most as long as the authority's")
	return cmd
}

func makeCerts(p *process, dir string, names, hosts []string, valid time.Duration) error {
	ca, err := certs.OpenAuthority(dir, authorityDays*24*time.Hour)
	if err != nil {
		return err
	}
	if ca.Made() {
		fmt.Fprintf(p.stdout, "%s/%s: a new authority, until %s; its key is %s/%s\n",
			dir, certs.AuthorityCert, ca.Until().Format(time.DateOnly), dir, certs.AuthorityKey)
	}
	for _, name := range names {
		files, err := ca.Issue(name, hosts, valid)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stdout, "%s with %s\n", files.Cert, files.Key)
	}
	return nil
}
