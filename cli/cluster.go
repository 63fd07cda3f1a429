package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ottla/protocol"
)

func newCluster(p *process) *cobra.Command {
	r := &remote{p: p}
	cmd := family("cluster", "Create, list, describe, alter and delete clusters; stop and start their brokers",
		newClusterCreate(r), newClusterList(r), newClusterDescribe(r), newClusterAlter(r), newClusterDelete(r),
		newBrokerSwitch(r, "stop"), newBrokerSwitch(r, "start"))
	r.addFlags(cmd)
	return cmd
}

func newClusterCreate(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a cluster and start its brokers",
		Long: "Create a cluster and start its brokers. That it exists already is an error; with\n" +
			"--if-not-exists only where a setting that is given is another. Settings that are not\n" +
			"given are the server's defaults.",
		Example: "  ottla cluster create orders\n  ottla cluster create scratch --num-brokers 1 --retention-hours 1",
		Args:    exactArgs("a NAME"),
	}
	flags := cmd.Flags()
	flags.Int("num-brokers", 3, "brokers of the cluster, 1 to 9")
	flags.String("log-directory", "", "`DIR` of its logs below the data directory (default: the name)")
	flags.Int("partitions", 3, "default number of partitions of its topics, 1 to 1024")
	retention := hoursFlag(168)
	flags.Var(&retention, "retention-hours", "how long records are kept: `TIME` in hours, or such as 90m or 7d; -1 for ever")
	flags.Int("replication-factor", 0, "replicas of each partition (default: 3, or the number of brokers if that is less)")
	flags.String("fsync", "always", "when to sync: always, or interval (a power cut can lose acknowledged records)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		fields := changed(cmd.Flags(), map[string]string{"retention-hours": "retention_policies"})
		fields["name"] = args[0]
		return r.create(cmd, "/cluster", "cluster "+args[0], fields, table(describeCluster))
	}
	addIfNotExists(cmd)
	return cmd
}

func newClusterAlter(r *remote) *cobra.Command {
	brokers := 0
	cmd := &cobra.Command{
		Use: "alter NAME", Short: "Change the number of brokers of a cluster", Args: exactArgs("a NAME"),
		Long: "Change the number of brokers of a cluster, while everything goes on. Replicas move to\n" +
			"new brokers, or away from those with the highest numbers, which end then. 'ottla node\n" +
			"tasks' says how far it is; the number before takes it back.",
		Example: "  ottla cluster alter default --brokers 5",
		RunE: func(cmd *cobra.Command, args []string) error {
			if brokers == 0 {
				return usageError{errors.New("--brokers N is missing")}
			}
			return r.change(cmd, http.MethodPatch, path("cluster", args[0]), nil, map[string]any{"num_brokers": brokers}, table(describeTask))
		},
	}
	cmd.Flags().IntVar(&brokers, "brokers", 0, "brokers of the cluster, 1 to 9")
	return cmd
}

func newClusterList(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List clusters", Args: exactArgs(),
		Long:    "List clusters. PARTITIONS, REPLICAS and RETENTION are what a new topic gets by default.",
		Example: "  ottla cluster list\n  ottla cluster list --output json | jq '.clusters[].name'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.list(cmd, "/cluster", "clusters", nil, table(clusterRows))
		},
	}
}

func hours(n float64) string {
	if n == -1 {
		return "for ever"
	}
	return strconv.FormatFloat(n, 'f', -1, 64) + "h"
}

func newClusterDescribe(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "describe NAME", Short: "Show a cluster's brokers and topics", Args: exactArgs("a NAME"),
		Long: "Show a cluster's brokers and topics. PARTITIONS, REPLICAS and RETENTION are what a new\n" +
			"topic gets by default.",
		Example: "  ottla cluster describe default",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.get(cmd, path("cluster", args[0]), nil, table(describeCluster))
		},
	}
}

func describeCluster(c *protocol.ClusterDetail) [][]string {
	rows := [][]string{
		{"NAME", c.Name},
		{"CREATED", when(c.CreatedAt)},
		{"DIRECTORY", c.LogDirectory},
		{"PARTITIONS", strconv.Itoa(c.Partitions)},
		{"REPLICAS", strconv.Itoa(c.ReplicationFactor)},
		{"RETENTION", hours(c.RetentionHours)},
		{"FSYNC", c.Fsync},
	}
	for _, b := range c.Brokers {
		rows = append(rows, []string{fmt.Sprintf("BROKER %d", b.ID), fmt.Sprintf("%s, %s:%d, %s", b.State, b.Host, b.Port, b.Directory)})
	}
	for i := range c.Topics {
		rows = append(rows, []string{"TOPIC " + c.Topics[i].Name, summary(&c.Topics[i])})
	}
	return rows
}

func newClusterDelete(r *remote) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a cluster with all its topics", Args: exactArgs("a NAME"),
		Long:    "Delete a cluster with all its topics and records, for good. On a terminal it asks before.",
		Example: "  ottla cluster delete scratch\n  ottla cluster delete scratch --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.confirmed(yes, "Delete cluster "+printable(args[0])+" with all its topics and records?"); err != nil {
				return err
			}
			return r.remove(cmd, path("cluster", args[0]), nil, "cluster "+args[0])
		},
	}
	addYes(cmd, &yes)
	return cmd
}

// newBrokerSwitch is `cluster stop-broker` or `cluster start-broker`.
func newBrokerSwitch(r *remote, verb string) *cobra.Command {
	return &cobra.Command{
		Use:     verb + "-broker NAME ID",
		Short:   strings.ToUpper(verb[:1]) + verb[1:] + " one broker of a cluster",
		Example: "  ottla cluster " + verb + "-broker default 2",
		Args:    exactArgs("a NAME", "a broker's ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.send(cmd, request{method: http.MethodPost, path: path("cluster", args[0], "brokers", args[1], verb)}, table(brokerRows))
		},
	}
}

// clusterRows is the table of `ottla cluster list`.
func clusterRows(a *struct{ Clusters []protocol.ClusterInfo }) [][]string {
	rows := [][]string{{"NAME", "BROKERS", "RUNNING", "PARTITIONS", "REPLICAS", "RETENTION", "FSYNC", "DIRECTORY"}}
	for i := range a.Clusters {
		c := &a.Clusters[i]
		running := 0
		for _, b := range c.Brokers {
			if b.State == "running" {
				running++
			}
		}
		rows = append(rows, []string{
			c.Name, strconv.Itoa(c.NumBrokers), strconv.Itoa(running), strconv.Itoa(c.Partitions),
			strconv.Itoa(c.ReplicationFactor), hours(c.RetentionHours), c.Fsync, c.LogDirectory,
		})
	}
	return rows
}

// brokerRows says in which state a broker is.
func brokerRows(b *protocol.BrokerInfo) [][]string {
	return [][]string{{fmt.Sprintf("broker %d is %s", b.ID, b.State)}}
}
